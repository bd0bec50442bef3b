"""linkedclone show."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(choices: Choices, name: str) -> int:
    """Show one VM with its disk chains and snapshots.

    NAME is a name, an inventory path or a UUID.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.vms import render_vm

    with open_session(choices) as connection:
        row = connection.vms.show(name)
    emit(choices, document=lambda: row.document(whole=True), text=lambda: render_vm(row))
    return 0
