"""linkedclone list."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """List all VMs with their parents."""
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session, say_fallback
    from linkedclone.cli.terminal import foreign, printable, say
    from linkedclone.cli.views.vms import render_vms
    from linkedclone.model.inventory import tell_unreadable

    with open_session(choices) as connection:
        rows = connection.vms.list()
    emit(
        choices,
        document=lambda: {"vms": [row.document() for row in rows]},
        text=lambda: render_vms(rows),
    )
    for row in rows:
        if row.vm.unreadable and row.vm.unreadable not in row.trouble:
            say(printable(tell_unreadable(row.vm)))
        if row.trouble:
            say(f"{printable(row.vm.name)}: {foreign('; '.join(row.trouble.splitlines()))}")
    if not rows:
        say("there are no VMs here, or none that you may see")
        say_fallback(choices)
    return 0
