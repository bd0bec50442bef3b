"""What commands that act on VMs have in common: asking first, and telling what was done."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.options.types import read_scan
from linkedclone.cli.output import emit
from linkedclone.cli.terminal import has_terminal, printable, say
from linkedclone.cli.views.name_ranges import collapse_names
from linkedclone.cli.views.reports import choose_notes, render_actions, say_action_failures
from linkedclone.errors import InputError
from linkedclone.model.plan import (
    DeleteMemory,
    DeleteSnapshot,
    DeleteVm,
    Plan,
    PromoteVm,
    RemoveStray,
    RevertSnapshot,
    Step,
    UnregisterVm,
)
from linkedclone.model.pool_report import PoolOutlook
from linkedclone.model.report import STILL_RUNNING, ActionReport
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection
    from linkedclone.app.proposal import Care, Proposal
    from linkedclone.execution.progress import Progress

_Plan = TypeVar("_Plan", Plan, PoolOutlook)
_Report = TypeVar("_Report")

_MOST_SINGLY = 20
"""More VMs than so many are shown as ranges."""


def confirm(plan: Plan | PoolOutlook, endpoint: str) -> bool:
    """Show what would be done, and ask whether it may be."""
    if isinstance(plan, PoolOutlook):
        from linkedclone.cli.views.pools import summarize_plan

        head = f"at {endpoint}, pool {plan.pool}:"
        lines: Sequence[str] = summarize_plan(plan.plan)
        notes: Sequence[str] = plan.plan.notes
    else:
        head, lines = f"at {endpoint} this will", describe_plan(plan)
        # A deletion has to name the places that were not searched.
        takes = any(isinstance(step, DeleteVm | DeleteSnapshot) for step in plan.steps)
        absent = (f"there is no VM {ref!r}" for ref in plan.absent)
        notes = (*choose_notes(plan.notes, plan.routine, verbose=takes), *absent)
    say(printable(head))
    for line in lines:
        say(f"  {printable(line)}")
    _say_notes(notes)
    return click.confirm("Go on?", err=True)


def carry_out(
    proposal: "Proposal[_Plan, _Report]", progress: "Progress", *, asks: str
) -> "_Report | None":
    """Carry out what is proposed at an endpoint, asking first where one is named; None for a no."""
    if not asks:
        return proposal.carry_out(progress)
    return proposal.apply(progress=progress) if confirm(proposal.plan, asks) else None


def describe_plan(plan: Plan) -> Sequence[str]:
    """Write a plan as lines; everything that goes is there, where it is many VMs as ranges."""
    deletions = [step for step in plan.steps if isinstance(step, DeleteVm)]
    names = _shorten([step.vm_name for step in deletions])
    bases = dict.fromkeys(layer for step in deletions for layer in step.takes_base)
    return [
        *(f"delete {name}" for name in names),
        *(f"  and with the last of them the base {layer}" for layer in bases),
        *_describe_promotions([step for step in plan.steps if isinstance(step, PromoteVm)]),
        *(line for step in plan.steps for line in _describe(step)),
    ]


def _describe_promotions(steps: Sequence[PromoteVm]) -> Sequence[str]:
    if len(steps) <= _MOST_SINGLY:
        return [f"promote {step.vm_name}: copy {_copied([step])}" for step in steps]
    names = collapse_names(step.vm_name for step in steps)
    return [*(f"promote {name}" for name in names), f"  and copy {_copied(steps)} in all"]


def _copied(steps: Sequence[PromoteVm]) -> str:
    known = [step.copy_bytes for step in steps if step.copy_bytes is not None]
    return render_size(sum(known)) if known else "what it shares"


def _shorten(names: Sequence[str]) -> Sequence[str]:
    return names if len(names) <= _MOST_SINGLY else collapse_names(names)


def _say_notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {printable(note)}")


def _describe(step: Step) -> Sequence[str]:
    match step:
        case DeleteSnapshot():
            return [f"delete snapshot {step.name} of {step.vm_name}"]
        case DeleteMemory():
            return [f"delete the memory of snapshot {step.name} of {step.vm_name}; its disks stay"]
        case RevertSnapshot():
            return [f"revert {step.vm_name} to {step.name}; what it wrote since is lost"]
        case UnregisterVm():
            kept = [f"  and keep the base {layer}" for layer in step.keeps]
            return [f"unregister {step.vm_name}; its files stay", *kept]
        case RemoveStray():
            return [f"remove {step.stray.layer} ({render_size(step.stray.used_bytes)})"]
        case _:
            return []  # Told above; and a stop before a deletion needs no line of its own.


def act(
    choices: Choices,
    change: "Callable[[Connection, Progress], ActionReport]",
    *,
    accel: str | None = None,
) -> int:
    """Open the endpoint, change VMs, and show what was done; return the exit code.

    Args:
        choices: The options of every command.
        change: What is done.
        accel: What machines are to be started with.
    """
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    with open_session(choices, accel=accel) as connection, watch(choices) as progress:
        report = change(connection, progress)
    return finish(choices, report)


def act_if_sure(
    choices: Choices,
    sure: Sure,
    propose: "Callable[[Connection, Care], Proposal[Plan, ActionReport]]",
    *,
    scan: tuple[str, ...] = (),
) -> int:
    """Do what takes something away: shown first, and done if the answer is yes.

    Args:
        choices: The options of every command.
        sure: What was answered on the command line.
        propose: What is to be done.
        scan: Where to look for files of no VM.
    """
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection, watch(choices) as progress:
        care: Care = {
            "force": sure["force"],
            "despite_unreadable": sure["despite_unreadable"],
            "scan": read_scan(scan),
        }
        proposal = propose(connection, care)
        asks = not (sure["yes"] or proposal.plan.empty)
        report = carry_out(proposal, progress, asks=connection.address if asks else "")
        nothing = ActionReport(endpoint=connection.address)
    if report is not None:
        return finish(choices, report, asked=asks)
    emit(choices, document=nothing.document, text=lambda: render_actions(nothing))
    say("nothing was done")
    return 1


def require_answer(yes: bool, *, verb: str) -> None:  # noqa: FBT001 - a flag of the command line
    """Refuse to go on without a terminal to ask on."""
    if not yes and not has_terminal():
        brief = f"{verb} asks first, and there is no terminal to ask on"
        raise InputError(brief, hint="repeat with --yes")


def finish(choices: Choices, report: ActionReport, *, asked: bool = False) -> int:
    """Show what was done, with its notes unless a person was asked; return the exit code."""
    emit(choices, document=report.document, text=lambda: render_actions(report))
    say_action_failures(report)
    if not asked:
        _say_notes(choose_notes(report.notes, report.routine, verbose=choices.verbose))
    _say_unchanged(report)
    if report.interrupted:
        going = sum(r.note == STILL_RUNNING for r in report.results)
        say(f"interrupted; {going} still under way at the endpoint")
    return report.exit_code


def _say_unchanged(report: ActionReport) -> None:
    """Name the VMs that were as requested before."""
    names = [printable(name) for name in report.unchanged]
    if report.results and names:
        say(f"{list_names(names)}: already as requested")
    elif not report.results:
        say(f"nothing to do: {list_names(names) or 'everything'} already as requested")
