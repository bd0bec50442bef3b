"""linkedclone pool apply."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.grammar import Verb, asks_of_ours
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@asks_of_ours
@click.pass_obj
def command(choices: Choices, file: Path, **sure: Unpack[Answered]) -> int:
    """Bring a pool to the state that its file describes.

    Makes what is missing, replaces what is not as it should be, deletes what
    is too many; never faster than the file's rollout allows, and never what is
    held or in use. Asks first, unless nothing is taken away. When stopped, it
    goes on where it was with the next call.
    """
    from linkedclone.cli.pool_runs import apply_pool, open_pool, read_spec

    with open_pool(choices, file, read_spec(file)) as opened:
        return apply_pool(choices, opened, sure=sure, verb="pool apply")
