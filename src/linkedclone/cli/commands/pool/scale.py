"""linkedclone pool scale."""

from pathlib import Path

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.parameters import pool_file, yes_option


@click.command(cls=Verb)
@pool_file
@click.argument("size", metavar="N", type=click.IntRange(min=0))
@yes_option
@click.pass_obj
def command(choices: Choices, file: Path, size: int, *, yes: bool) -> int:
    """Change how many clones a pool has: FILE is changed to say so, and then applied."""
    from linkedclone.cli.pools import change_and_apply

    return change_and_apply(choices, file, {"size": size}, yes=yes, verb="pool scale")
