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
    from linkedclone.cli.confirm import ask_unless, finish, require_answer
    from linkedclone.cli.options.types import read_scan

    require_answer(sure["yes"], verb="snapshot revert")

    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection:
        question = ask_unless(sure["yes"], connection.address)
        with watch(choices) as progress:
            report = connection.snapshots.revert(
                vm,
                name,
                force=sure["force"],
                despite_unreadable=sure["despite_unreadable"],
                scan=read_scan(scan),
                confirm=question,
                progress=progress,
            )
    return finish(choices, report, question)
