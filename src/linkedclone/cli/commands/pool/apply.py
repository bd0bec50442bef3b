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
    """Bring a pool into the state that its file describes.

    Creates missing clones, replaces those that differ, and deletes surplus ones; never
    faster than the file's rollout allows, and never clones that are held or in use.
    Asks first if anything is replaced or deleted. A stopped run continues with the next
    call.
    """
    from linkedclone.cli.pool_runs import apply_pool, open_pool, read_spec

    with open_pool(choices, file, read_spec(file)) as opened:
        return apply_pool(choices, opened, sure=sure, verb="pool apply")
