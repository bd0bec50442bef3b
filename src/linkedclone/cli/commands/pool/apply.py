"""linkedclone pool apply."""

from pathlib import Path

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.parameters import pool_file, yes_option


@click.command(cls=Verb)
@pool_file
@yes_option
@click.pass_obj
def command(choices: Choices, file: Path, *, yes: bool) -> int:
    """Bring a pool to what its file says.

    Makes what is missing, replaces what is not as it should be, deletes what
    is too many; never faster than the file's rollout allows, and never what is
    held or in use. Asks first, unless nothing is taken away. When stopped, it
    goes on where it was with the next call.
    """
    from linkedclone.cli.pools import apply_pool, open_pool, read_spec

    with open_pool(choices, file, read_spec(file)) as opened:
        return apply_pool(choices, opened, yes=yes, verb="pool apply")
