"""What nothing uses any more, as people are shown it."""

from collections.abc import Collection

from linkedclone.cli.terminal import printable, say
from linkedclone.cli.views.reports import say_failures
from linkedclone.cli.views.tables import GOOD_BAD, Column, render_table
from linkedclone.model.garbage import Waste, WasteKind, WasteReport
from linkedclone.model.report import Status
from linkedclone.model.values.sizes import render_size

_OPTIONS = {WasteKind.SNAPSHOT: "with --snapshots", WasteKind.IMAGE: "with --images"}


def render_waste(report: WasteReport, kinds: Collection[WasteKind]) -> str:
    """Draw the table of what was found; ``kinds`` is what would go with --yes."""
    columns = [
        Column(title="KIND", from_width=50),
        Column(title="NAME", names=True),
        Column(title="BYTES", right=True),
        Column(title="REMOVABLE", styles=GOOD_BAD, prose=True),
        Column(title="REASON", from_width=70, prose=True),
    ]
    became = {id(waste): result.status.value for waste, result in report.results}
    rows = [
        [
            waste.kind.value,
            waste.name,
            render_size(waste.used_bytes),
            became.get(id(waste)) or _removable(waste, kinds),
            waste.reason,
        ]
        for waste in report.found
    ]
    if report.results:
        columns[3] = Column(title="STATUS", styles=GOOD_BAD)
    return render_table(columns, rows)


def _removable(waste: Waste, kinds: Collection[WasteKind]) -> str:
    if waste.step is None:
        return f"no: {waste.why_not}" if waste.why_not else "no"
    return "yes" if waste.kind in kinds else _OPTIONS.get(waste.kind, "no")


def say_waste(report: WasteReport, kinds: Collection[WasteKind], *, removed: bool) -> None:
    """Tell on standard error how much it is, what failed, and what was not seen."""
    say_failures([(w.name, result.error) for w, result in report.results if result.error])
    say(_total(report, kinds, removed=removed))
    for note in report.notes:
        say(f"note: {printable(note)}")


def _total(report: WasteReport, kinds: Collection[WasteKind], *, removed: bool) -> str:
    if not report.found:
        return "nothing was found: everything that was checked is in use"
    found = f"{len(report.found)} found, {render_size(report.found_bytes)}"
    if removed:
        done = sum(result.status is Status.DONE for _, result in report.results)
        ended = "; interrupted" if report.interrupted else ""
        return f"{found}; {done} removed, {render_size(report.freed_bytes)} freed{ended}"
    free = [waste for waste in report.found if waste.step is not None and waste.kind in kinds]
    size = render_size(sum(waste.used_bytes or 0 for waste in free))
    return f"{found}; nothing was removed: --yes removes {len(free)} of them, {size}"
