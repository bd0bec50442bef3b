"""linkedclone snapshot revert."""

from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("vm", metavar="VM")
@click.argument("name", metavar="SNAPSHOT")
@scan_option
@asks_first("Also a VM that linkedclone did not create.")
@click.pass_obj
def command(
    choices: Choices, vm: str, name: str, *, scan: tuple[str, ...], **sure: Unpack[Sure]
) -> int:
    """Revert a VM to a snapshot; everything written since is lost.

    SNAPSHOT is a name, a path or an id.
    """
    from linkedclone.cli.confirm import act_if_sure, require_answer

    require_answer(sure["yes"], verb="snapshot revert")
    return act_if_sure(
        choices, sure, lambda lab, care: lab.snapshots.propose_revert(vm, name, **care), scan=scan
    )
