"""linkedclone console."""

import sys

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(choices: Choices, name: str) -> int:
    """Join this terminal to a VM's serial console; Ctrl-] leaves it.

    For local: only.
    """
    from linkedclone.cli.session import open_session
    from linkedclone.cli.streams import say
    from linkedclone.errors import InputError

    if sys.stdin is None or sys.stdout is None:
        raise InputError("a console needs standard input and output, and one is closed")
    with open_session(choices) as connection:
        say(f"console of {name}: Ctrl-] leaves it")
        connection.attach_console(
            name,
            input_descriptor=sys.stdin.fileno(),
            output_descriptor=sys.stdout.fileno(),
        )
    return 0
