"""linkedclone snapshot list."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("vm", metavar="VM")
@click.pass_obj
def command(choices: Choices, vm: str) -> int:
    """List the snapshots of a VM, parents before children."""
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.vms import render_snapshots

    with open_session(choices) as connection:
        snapshots = connection.snapshots.list(vm)
    emit(
        choices,
        document=lambda: {"vm": vm, "snapshots": [one.document() for one in snapshots]},
        text=lambda: render_snapshots(snapshots),
    )
    if not snapshots:
        say(f"{vm} has no snapshot")
    return 0
