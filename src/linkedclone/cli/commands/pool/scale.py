"""linkedclone pool scale."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.grammar import Verb, asks_of_ours
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.argument("size", metavar="N", type=click.IntRange(min=0))
@asks_of_ours
@click.pass_obj
def command(choices: Choices, file: Path, size: int, **sure: Unpack[Answered]) -> int:
    """Change how many clones a pool has: write the size into FILE and apply it."""
    from linkedclone.cli.pool_runs import change_and_apply

    return change_and_apply(choices, file, {"size": size}, sure=sure, verb="pool scale")
