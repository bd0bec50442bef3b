"""linkedclone endpoints test."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="[NAME]", required=False)
@click.pass_obj
def command(choices: Choices, name: str | None) -> int:
    """Log in and show which server answers.

    Without NAME it tests the endpoint that commands would use.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.endpoints import render_identity

    choices.endpoint = name or choices.endpoint
    with open_session(choices) as connection:
        identity, address = connection.identify(), connection.address
    emit(
        choices,
        document=lambda: {"endpoint": address, **identity.document()},
        text=lambda: render_identity(address, identity),
    )
    return 0
