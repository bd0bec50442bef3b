"""linkedclone pool rollback."""

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
    """Move a pool back to its previous image.

    The clones themselves record which image that was. Writes it into FILE and applies
    it. Clones that are still on that image are left as they are.
    """
    from linkedclone.cli.pool_runs import change_and_apply, find_rollback, read_spec

    before = read_spec(file)
    settings = find_rollback(choices, before)
    return change_and_apply(choices, file, settings, sure=sure, verb="pool rollback", before=before)
