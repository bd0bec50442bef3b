"""linkedclone ssh."""

import os

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="NAME")
@click.argument("remote", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(choices: Choices, name: str, remote: tuple[str, ...]) -> int:
    """Log in to a running clone.

    By SSH; with a COMMAND it is run there instead. For local: only.
    """
    from linkedclone.cli.session import open_session
    from linkedclone.errors import EndpointError

    with open_session(choices) as connection:
        arguments = connection.build_ssh(name, remote)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - it becomes ssh, as was asked for
    except FileNotFoundError as error:
        raise EndpointError(
            "there is no ssh on this machine", hint="install it: apt install openssh-client"
        ) from error
