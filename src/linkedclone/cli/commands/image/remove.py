"""linkedclone image remove."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def command(choices: Choices, name: str, *, yes: bool) -> int:
    """Remove an image that nothing depends on.

    Its parent VM is deleted too.
    """
    from linkedclone.cli.confirm import require_answer
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import printable, say

    require_answer(yes, verb="image remove")
    with open_session(choices) as connection:
        asked = f"Remove image {printable(name)} of {connection.address}?"
        if not yes and not click.confirm(asked, err=True):
            say("nothing was done")
            return 1
        connection.images.remove(name)
    say(f"removed {name}")
    return 0
