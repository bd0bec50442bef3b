"""linkedclone endpoints list."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.pass_obj
def command(choices: Choices) -> int:
    """List the configured hypervisors; passwords are never shown."""
    from linkedclone.app.endpoints import list_endpoints
    from linkedclone.cli.output import emit
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.endpoints import render_endpoints

    rows = list_endpoints()
    emit(
        choices,
        document=lambda: {"endpoints": [row.document() for row in rows]},
        text=lambda: render_endpoints(rows),
    )
    if not rows:
        say("no endpoint is configured")
        say("try: linkedclone endpoints add NAME vsphere://USER@HOST/DATACENTER")
    return 0
