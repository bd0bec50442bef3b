"""linkedclone endpoints remove."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(choices: Choices, name: str) -> int:
    """Remove a hypervisor with its pin and its password.

    The hypervisor itself is not changed.
    """
    from linkedclone.app.endpoints import remove_endpoint
    from linkedclone.cli.output import emit
    from linkedclone.cli.terminal import say

    row = remove_endpoint(name)
    emit(choices, document=lambda: {"removed": row.document()}, text=lambda: "")
    say(f"removed {row.name}: {row.url}")
    if row.default:
        say("it was the default; there is none now")
    return 0
