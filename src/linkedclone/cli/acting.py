"""What commands that act on VMs have in common: asking first, and telling what was done."""

from collections.abc import Sequence

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.output import emit
from linkedclone.cli.reports import render_actions, say_action_failures
from linkedclone.cli.streams import has_terminal, printable, say
from linkedclone.errors import InputError
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    Plan,
    PromoteVm,
    RemoveStray,
    RevertSnapshot,
    Step,
    UnregisterVm,
)
from linkedclone.model.report import ActionReport, Status
from linkedclone.model.sizes import render_size

_MOST_SHOWN = 20


class Question:
    """Shows what would go, and asks whether it may.

    Attributes:
        refused: True once the answer was no.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.refused = False

    def __call__(self, plan: Plan) -> bool:
        """Ask."""
        say(printable(f"at {self._endpoint} this will"))
        lines = [line for step in plan.steps for line in _describe(step)]
        for line in lines[:_MOST_SHOWN]:
            say(f"  {printable(line)}")
        if len(lines) > _MOST_SHOWN:
            say(f"  and {len(lines) - _MOST_SHOWN} more")
        for note in plan.notes:
            say(f"note: {printable(note)}")
        self.refused = not click.confirm("Go on?", err=True)
        return not self.refused


def _describe(step: Step) -> Sequence[str]:
    match step:
        case DeleteVm():
            lost = [f"  and with it the base {layer}" for layer in step.takes_base]
            return [f"delete {step.vm_name}", *lost]
        case DeleteSnapshot():
            return [f"delete snapshot {step.name} of {step.vm_name}"]
        case RevertSnapshot():
            return [f"revert {step.vm_name} to {step.name}; what it wrote since is lost"]
        case UnregisterVm():
            kept = [f"  and keep the base {layer}" for layer in step.keeps]
            return [f"unregister {step.vm_name}; its files stay", *kept]
        case PromoteVm():
            size = render_size(step.copy_bytes) if step.copy_bytes is not None else "its base"
            return [f"promote {step.vm_name}: copy {size}"]
        case RemoveStray():
            return [f"remove {step.stray.layer} ({render_size(step.stray.used_bytes)})"]
        case _:
            return []  # Stopping a VM that is about to go needs no line of its own.


def ask_unless(yes: bool, endpoint: str) -> Question | None:  # noqa: FBT001 - a flag of the command line
    """Return who asks; None if it was answered on the command line."""
    return None if yes else Question(endpoint)


def require_answer(yes: bool, *, verb: str) -> None:  # noqa: FBT001 - a flag of the command line
    """Refuse to go on where nobody can be asked.

    Raises:
        InputError: There is no terminal, and no ``--yes``.
    """
    if not yes and not has_terminal():
        brief = f"{verb} asks first, and there is no terminal to ask on"
        raise InputError(brief, hint="repeat with --yes")


def finish(choices: Choices, report: ActionReport, question: Question | None = None) -> int:
    """Show what was done; return the exit code."""
    emit(choices, document=report.document, text=lambda: render_actions(report))
    say_action_failures(report)
    if question is not None and question.refused:
        say("nothing was done")
        return 1
    if not report.results:
        say("nothing to do: everything is so already")
    if report.interrupted:
        going = [
            r.name for r in report.results if r.status is Status.SKIPPED and "goes on" in r.note
        ]
        say(f"interrupted; {len(going)} still under way at the endpoint")
    return report.exit_code
