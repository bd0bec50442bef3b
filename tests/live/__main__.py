"""Runs all checks against the vCenter that the environment names; prints a table, writes JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from linkedclone.cli.references import render_references
from linkedclone.errors import LinkedCloneError
from tests.live import fork_beliefs, host_beliefs  # noqa: F401 - enter their checks
from tests.live.beliefs import BELIEFS, Belief, Outcome, Seen
from tests.live.lab import Lab, open_lab
from tests.live.settings import HOW, read_settings

NOT_ASKED = 2


def main() -> int:
    """Return 0 if nothing did not hold, 1 if something did not, 2 if nobody asked for it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.live",
        epilog=HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen there, too")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only this check (repeatable)"
    )
    wanted = parser.parse_args()
    settings = read_settings(os.environ)
    if settings is None:
        print(HOW, file=sys.stderr, end="")
        return NOT_ASKED
    signal.signal(signal.SIGTERM, _interrupt)
    seen: dict[str, tuple[Belief, Seen, float]] = {}
    interrupted = False
    facts: dict[str, object] = {"endpoint": settings.endpoint.address}
    try:
        with open_lab(settings, tell=_tell) as lab:
            about = lab.session.content.about
            facts |= {"product": about.fullName, "simulator": lab.simulated, "folder": lab.name}
            _tell(f"{about.fullName} at {settings.endpoint.address}; all is made in {lab.name}")
            if lab.simulated:
                _tell("THIS IS A SIMULATOR: what holds here says nothing of a real vCenter")
            alone = not lab.session.is_vcenter
            every = [one for one in BELIEFS if one.alone is alone]
            for one in (one for one in every if not wanted.only or one.name in wanted.only):
                begun = time.monotonic()
                seen[one.name] = one, _look(lab, one), time.monotonic() - begun
                _show(*seen[one.name])
    except KeyboardInterrupt:
        interrupted = True
        _tell("interrupted")
    except LinkedCloneError as error:
        _tell(render_references(f"could not go on: {error}\ntry: {error.hint}"))
        interrupted = not seen
    _sum_up(seen, facts, interrupted=interrupted, file=wanted.json)
    if interrupted:
        return 130
    return 1 if any(got.outcome is Outcome.NOT for _, got, _ in seen.values()) else 0


def _look(lab: Lab, one: Belief) -> Seen:
    """Look; what goes wrong on the way leaves it untold, and the next check goes on."""
    try:
        return one.look(lab)
    except Exception as error:  # noqa: BLE001 - one check must not end the others
        return Seen(Outcome.UNTOLD, f"{type(error).__name__}: {error}")


def _show(one: Belief, got: Seen, seconds: float) -> None:
    print(f"{got.outcome.value:<18} {one.name:<22} {seconds:6.1f} s  {one.believed}")
    print(f"{'':<18} {'':<22} {'':>8}  {one.source}; seen: {' '.join(got.words.split())[:160]}")
    sys.stdout.flush()


def _sum_up(
    seen: dict[str, tuple[Belief, Seen, float]],
    facts: dict[str, object],
    *,
    interrupted: bool,
    file: Path | None,
) -> None:
    counts = {o.value: sum(got.outcome is o for _, got, _ in seen.values()) for o in Outcome}
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if file is None:
        return
    document = facts | {
        "interrupted": interrupted,
        "counts": counts,
        "checks": [
            {
                "name": one.name,
                "believed": one.believed,
                "source": one.source,
                "outcome": got.outcome.value,
                "seen": got.words,
                "seconds": round(seconds, 1),
            }
            for one, got, seconds in seen.values()
        ],
    }
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
