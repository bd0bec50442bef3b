"""Pools as people are shown them: plans, results and states."""

from collections.abc import Sequence
from datetime import datetime

from linkedclone.cli.terminal import printable, say
from linkedclone.cli.views.ages import render_age
from linkedclone.cli.views.name_ranges import collapse_names
from linkedclone.cli.views.reports import render_seconds
from linkedclone.cli.views.tables import GOOD_BAD, Column, render_table
from linkedclone.model.pool import Act, Fitness, PoolPlan, Stranger
from linkedclone.model.pool_report import PoolOutlook, PoolReport, PoolRow, PoolStatus
from linkedclone.model.report import Status
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.planning.pool.membership import advise_on

_FITNESS = {
    Fitness.HEALTHY.value: "green",
    Fitness.STARTING.value: "cyan",
    Fitness.UNHEALTHY.value: "bold red",
    Fitness.UNKNOWN.value: "yellow",
}


def render_outlook(outlook: PoolOutlook) -> str:
    """Draw the table of what would be done."""
    columns = [
        Column(title="NAME"),
        Column(title="ACT", styles={"delete": "bold red", "replace": "yellow", "create": "green"}),
        Column(title="WHY", prose=True),
        Column(title="LEFT ALONE", from_width=90, prose=True),
    ]
    rows = [
        [change.slot, change.act.value, "; ".join(map(str, change.reasons)), ""]
        for change in outlook.plan.changes
    ]
    rows += [
        [skip.slot, skip.act.value, "; ".join(map(str, skip.reasons)), skip.because]
        for skip in outlook.plan.skipped
    ]
    return render_table(columns, rows)


def say_outlook(outlook: PoolOutlook) -> None:
    """Say in a line or two what would be done."""
    say(printable(f"pool {outlook.pool} on {_name_image(outlook.image)}"))
    if outlook.plan.empty:
        nothing = (
            "can be done now" if outlook.plan.skipped else "to do: it is as its file describes it"
        )
        say(f"nothing {nothing}")
    for line in summarize_plan(outlook.plan):
        say(printable(line))
    for note in outlook.plan.notes:
        say(f"note: {printable(note)}")
    say_refused(outlook.plan.refused)


def _name_image(image: tuple[str, str]) -> str:
    parent, snapshot = image
    return f"{parent}, snapshot {snapshot}" if snapshot else f"{parent} as it runs"


def say_refused(refused: Sequence[Stranger]) -> None:
    """Tell which clones bear the pool's name and do not fit its file, and the way out."""
    by_reason: dict[str, list[str]] = {}
    for one in refused:
        by_reason.setdefault(one.because, []).append(one.vm.path or one.vm.name)
    for because, names in by_reason.items():
        shown = list_names(collapse_names(names))
        say(printable(f"refused: {shown}: marked for a pool of this name, but {because}"))
    if refused:
        say(printable(f"try: {advise_on(refused)}"))


def summarize_plan(plan: PoolPlan) -> list[str]:
    """Return a plan as a few lines: how many of what, with names as ranges and the reasons."""
    lines = []
    for act in Act:
        changes = [change for change in plan.changes if change.act is act]
        if changes:
            names = ", ".join(collapse_names(change.slot for change in changes))
            whys = sorted({reason.why.value for change in changes for reason in change.reasons})
            lines.append(f"{act.value} {len(changes)}: {names} ({', '.join(whys)})")
    if plan.skipped:
        names = ", ".join(collapse_names(skip.slot for skip in plan.skipped))
        lines.append(f"leave {len(plan.skipped)} alone: {names}")
    return lines


def render_report(report: PoolReport) -> str:
    """Draw the table of what was done."""
    columns = [
        Column(title="NAME"),
        Column(title="ACT"),
        Column(title="STATUS", styles=GOOD_BAD),
        Column(title="TIME", right=True, from_width=50),
        Column(title="OWN", right=True, from_width=60),
        Column(title="WHY", from_width=80, prose=True),
    ]
    rows = [
        [
            result.slot,
            result.act.value,
            result.status.value,
            render_seconds(result.seconds),
            render_size(result.own_bytes),
            "; ".join(map(str, result.reasons)),
        ]
        for result in report.results
    ]
    return render_table(columns, rows)


def say_skipped(report: PoolReport) -> None:
    """Tell what was left alone, and why."""
    for skip in report.skipped:
        whys = ", ".join(reason.why.value for reason in skip.reasons)
        say(printable(f"left alone: {skip.slot} ({whys}): {skip.because}"))
    say_refused(report.refused)


def say_report(report: PoolReport) -> None:
    """Say in a line or two what came of a run."""
    done = sum(result.status is Status.DONE for result in report.results)
    failed = sum(result.status is Status.FAILED for result in report.results)
    took = render_seconds(report.seconds)
    line = f"pool {report.pool}: {done} done"
    line += f", {failed} failed" if failed else ""
    line += f" in {took}, on {_name_image(report.image)}"
    if not (report.interrupted or report.stopped or report.results or report.skipped):
        line = f"nothing to do: pool {report.pool} is as its file describes it"
    say(printable(line))
    if report.interrupted:
        say("interrupted; run it again to continue")
    elif report.stopped:
        say(printable(f"{report.stopped}; run pool apply again to continue, or pool rollback"))


def render_status(status: PoolStatus) -> str:
    """Draw the table of a pool's clones."""
    columns = [
        Column(title="NAME"),
        Column(title="POWER", styles=GOOD_BAD),
        Column(title="HEALTH", styles=_FITNESS),
        Column(title="SNAPSHOT", from_width=60),
        Column(title="OWN", right=True),
        Column(title="AGE", right=True, from_width=50),
        Column(title="ADDRESS", from_width=100),
        Column(title="HOLD", from_width=80),
        Column(title="REASON", from_width=90, prose=True),
    ]
    return render_table(columns, [_status_row(row, status.seen) for row in status.rows])


def _status_row(row: PoolRow, now: datetime) -> list[str]:
    image = row.image or "-"
    return [
        row.slot if row.slot == row.name else f"{row.slot} ({row.name})",
        row.power.value,
        row.fitness.value,
        image if row.current else f"{image} (old)",
        render_size(row.own_bytes),
        render_age(row.created, now),
        row.addresses[0] if row.addresses else "-",
        row.hold or ("in use" if row.in_use else "-"),
        row.reason or "-",
    ]


def say_status(status: PoolStatus) -> None:
    """Render the state of a pool as one line."""
    line = f"pool {status.pool}: {status.healthy} of {status.size} healthy, "
    line += f"on {_name_image(status.image)}"
    if status.spares or status.spares_ready:
        ready = f"{status.spares_ready} of {status.spares} spares"
        if status.spares_ready == status.spares:
            ready = render_count(status.spares, "spare")
        line += f"; {ready} ready"
    if status.pending:
        line += f"; pool plan has {status.pending} to do"
    say(printable(line))
    say_refused(status.refused)
