"""Reports for people: tables on standard output, failures and summaries on standard error."""

from collections import Counter
from collections.abc import Sequence

from linkedclone.cli.errors import describe
from linkedclone.cli.terminal import printable, say
from linkedclone.cli.views.tables import GOOD_BAD, Column, render_table
from linkedclone.model.report import (
    ActionReport,
    CloneReport,
    CloneResult,
    Difference,
    Failure,
    Status,
)
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names, render_count

_YES_NO = {True: "yes", False: "no", None: "?"}


def render_clones(report: CloneReport) -> str:
    """Draw the table of a batch of clones."""
    columns = [
        Column(title="NAME"),
        Column(title="STATUS", styles=GOOD_BAD),
        Column(title="LINKED", styles=GOOD_BAD),
        Column(title="POWER", styles=GOOD_BAD),
        Column(title="ADDRESS", from_width=72),
        Column(title="OWN", right=True, from_width=60),
        Column(title="SHARED", right=True, from_width=60),
        Column(title="TIME", right=True),
    ]
    rows = [_clone_row(clone) for clone in report.clones]
    if any(clone.snapshot not in {"", report.snapshot} for clone in report.clones):
        columns.append(Column(title="SNAPSHOT"))
        rows = [[*row, c.snapshot or "-"] for row, c in zip(rows, report.clones, strict=True)]
    if any(clone.differences for clone in report.clones):
        columns.append(Column(title="DIFFERS IN"))
        rows = [
            [*row, ", ".join(map(_name_field, c.differences)) or "-"]
            for row, c in zip(rows, report.clones, strict=True)
        ]
    waits = [_render_waits(clone) for clone in report.clones]
    if any(waits):
        columns.append(Column(title="OF WHICH", from_width=110))
        rows = [[*row, wait or "-"] for row, wait in zip(rows, waits, strict=True)]
    return render_table(columns, rows)


def _render_waits(clone: CloneResult) -> str:
    """Say how long a guest was waited for, stage by stage."""
    made = {"submitted", "cloned", "powered_on"}
    waits = [(name, seconds) for name, seconds in clone.stages if name not in made]
    return ", ".join(f"{name} {render_seconds(seconds)}" for name, seconds in waits)


def _clone_row(clone: CloneResult) -> list[str]:
    return [
        clone.name,
        clone.status.value,
        "-" if clone.id is None else _linked_word(clone),
        clone.power.value if clone.power else "-",
        _reached_at(clone),
        render_size(clone.own_bytes),
        render_size(clone.shared_bytes),
        render_seconds(clone.seconds),
    ]


def _linked_word(clone: CloneResult) -> str:
    """Say whether a clone is linked; a clone that was not to be linked is not a failure."""
    if clone.linked is False and clone.error is None:
        return clone.mode.value
    return _YES_NO[clone.linked]


def _reached_at(clone: CloneResult) -> str:
    """Return where SSH to the guest answers, if that is known, else its first address."""
    if clone.ssh is not None:
        return f"{clone.ssh.host}:{clone.ssh.port}"
    return clone.addresses[0] if clone.addresses else "-"


def render_seconds(seconds: float | None) -> str:
    """Write a time for people."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02} s"


def say_clone_failures(report: CloneReport) -> None:
    """Tell why clones failed, and how those that exist already differ from the request."""
    say_failures([(c.name, c.error) for c in report.clones if c.error])
    say_differences(report)


def say_differences(report: CloneReport) -> None:
    """Tell how clones that exist already differ from the request."""
    same: dict[str, list[str]] = {}
    for clone in report.clones:
        if clone.differences:
            words = "; ".join(map(_render_difference, clone.differences))
            same.setdefault(words, []).append(printable(clone.name))
    for words, names in same.items():
        say(f"{list_names(names)} (existing): {printable(words)}")
    if same:
        say("try: delete the clones that have to change, and run the command again")


def _render_difference(one: Difference) -> str:
    """Say what is wanted and what is there, as far as either is known."""
    name = _name_field(one)
    if one.wanted is None:
        return f"another {name} than asked for"
    wanted, found = (_render_value(one.field, value) for value in (one.wanted, one.found))
    return (
        f"{name} {found} instead of {wanted}" if one.found is not None else f"{name} not {wanted}"
    )


def _name_field(one: Difference) -> str:
    return one.field.removesuffix("_bytes").replace("_", " ")


def _render_value(field: str, value: object) -> str:
    if field.endswith("_bytes") and isinstance(value, int):
        return render_size(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def say_action_failures(report: ActionReport) -> None:
    """Tell why actions failed."""
    say_failures([(r.name, r.error) for r in report.results if r.error])


def say_failures(failures: list[tuple[str, Failure]]) -> None:
    """Tell why things failed; each reason is shown once, with all its names."""
    by_reason: dict[Failure, list[str]] = {}
    for name, failure in failures:
        by_reason.setdefault(failure, []).append(printable(name))
    for failure, names in by_reason.items():
        head = f"{list_names(names)} ({failure.stage})"
        say("\n".join(describe(failure.brief, failure.details, failure.hint, head=head)))


def summarize_clones(report: CloneReport, *, place: str) -> str:
    """Say in a line or two what came of a batch."""
    counts = Counter(clone.status for clone in report.clones)
    words = [_count(counts[status], status) for status in Status if counts[status]]
    where = f", in {place}" if place else ""
    state = _render_state(report)
    line = printable(
        f"{', '.join(words)} in {render_seconds(report.seconds)}: "
        f"{report.kind} clones of {report.parent} {state}{where}"
    )
    line += _summarize_each([c for c in report.clones if c.status is Status.CREATED])
    there = {Status.CREATED, Status.EXISTING, Status.DIFFERS}
    good = [c for c in report.clones if c.status in there]
    saved = sum(clone.shared_bytes or 0 for clone in good if clone.linked)
    if saved:
        own = sum(clone.own_bytes or 0 for clone in good)
        line += f"\n{render_size(own)} used, {render_size(saved)} saved against full copies"
        line += f" of {render_size(own + saved)}"
    line += "".join(f"\nnote: {printable(note)}" for note in report.notes)
    if report.interrupted and not counts[Status.SKIPPED]:
        line += "\ninterrupted; run the same command again to finish"
    return line


def _count(number: int, status: Status) -> str:
    """Write how many clones have a status, as part of a sentence."""
    if status is Status.DIFFERS:
        return render_count(number, "differs", "differ")
    return f"{number} {status.value}"


def _render_state(report: CloneReport) -> str:
    """Say what the clones of a batch depend on; the table has it where they depend on several."""
    several = any(clone.snapshot not in {"", report.snapshot} for clone in report.clones)
    if report.snapshot:
        return f"at snapshot {report.snapshot}" + (" (the new ones)" if several else "")
    if several:
        return "at several snapshots"
    return "as it runs" if report.kind == "instant" else "in its current state"


def _summarize_each(made: list[CloneResult]) -> str:
    """Say what one clone of a batch costs: how long it took, and what it takes."""
    seconds = sorted(clone.seconds for clone in made if clone.seconds is not None)
    if len(seconds) < 2:
        return ""
    text = (
        f"\neach took {render_seconds(seconds[len(seconds) // 2])} (median), "
        f"the slowest {render_seconds(seconds[-1])}"
    )
    own = sorted(clone.own_bytes for clone in made if clone.own_bytes is not None)
    return (
        f"{text}; each has {render_size(own[len(own) // 2])} of its own (median)" if own else text
    )


def render_actions(report: ActionReport) -> str:
    """Draw the table of what was done to VMs."""
    columns = [
        Column(title="NAME"),
        Column(title="ACTION"),
        Column(title="STATUS", styles=GOOD_BAD),
        Column(title="TIME", right=True),
    ]
    rows = [[r.name, r.action, r.status.value, render_seconds(r.seconds)] for r in report.results]
    if any(r.note for r in report.results):
        columns.append(Column(title="NOTE", prose=True))
        rows = [[*row, r.note] for row, r in zip(rows, report.results, strict=True)]
    return render_table(columns, rows)


def choose_notes(notes: Sequence[str], routine: Sequence[str], *, verbose: bool) -> Sequence[str]:
    """Leave out what is the same for every command, unless all is to be said."""
    return notes if verbose else [note for note in notes if note not in routine]
