"""linkedclone snapshot delete."""

from typing import TYPE_CHECKING, Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection
    from linkedclone.app.proposal import Care, Proposal
    from linkedclone.model.plan import Plan
    from linkedclone.model.report import ActionReport


@click.command(cls=Verb)
@click.argument("vm", metavar="VM")
@click.argument("name", metavar="SNAPSHOT")
@click.option(
    "--memory", is_flag=True, help="Only the memory that it holds; the snapshot of the disks stays."
)
@scan_option
@asks_first("Also of a VM that linkedclone did not create.")
@click.pass_obj
def command(
    choices: Choices,
    vm: str,
    name: str,
    *,
    memory: bool,
    scan: tuple[str, ...],
    **sure: Unpack[Sure],
) -> int:
    """Delete a snapshot, unless clones depend on it.

    SNAPSHOT is a name, a path or an id. Its child snapshots are kept.

    With --memory it stays, and linked clones can still be made of it. Instant clones
    that run go on; spares of a pool are in the way.
    """
    from linkedclone.cli.confirm import act_if_sure, require_answer

    require_answer(sure["yes"], verb="snapshot delete")

    def propose(lab: "Connection", care: "Care") -> "Proposal[Plan, ActionReport]":
        here = lab.snapshots
        delete = here.propose_delete_memory if memory else here.propose_delete
        return delete(vm, name, **care)

    return act_if_sure(choices, sure, propose, scan=scan)
