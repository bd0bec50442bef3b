"""The command behind ``script/bench``."""

import argparse
import json
import sys
from collections.abc import Iterable

from bench.commands import BenchError
from bench.render import build_document, render_result
from bench.row import Options, Result, Row
from bench.rows import load_rows


def main() -> int:
    """Measure the chosen rows and print them; return 1 if a tool failed."""
    rows = load_rows()
    chosen = _parse(rows)
    picked = [rows[name] for name in chosen.rows or rows]
    options = Options(repeat=chosen.repeat, quick=chosen.quick)
    try:
        results = list(_measure(picked, options, quiet=chosen.json))
    except BenchError as error:
        _tell(f"bench: {error}")
        return 1
    if chosen.json:
        sys.stdout.write(json.dumps(build_document(results), indent=2) + "\n")
    return 0


def _measure(rows: Iterable[Row], options: Options, *, quiet: bool) -> Iterable[Result]:
    for row in rows:
        _tell(f"bench: {row.name} …")
        result = row.measure(options)
        if not quiet:
            sys.stdout.write(render_result(result) + "\n")
            sys.stdout.flush()
        yield result


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def _parse(rows: dict[str, Row]) -> argparse.Namespace:
    listing = "\n".join(f"  {row.name:12}{row.title}" for row in rows.values())
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="Measure linkedclone beside its peers, in turns, and compare with the targets.",
        epilog=f"rows:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to measure (default: all)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs each (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help="one run each, slow peers on a part of the work"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args()
    for name in chosen.rows:
        if name not in rows:
            parser.error(f"there is no row {name!r}; there are {', '.join(rows)}")
    if chosen.repeat < 1:
        parser.error("--repeat must be at least 1")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
