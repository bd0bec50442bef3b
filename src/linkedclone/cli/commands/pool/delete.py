"""linkedclone pool delete."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@asks_first("Also held clones, and a base whose own VM no longer exists.")
@click.pass_obj
def command(choices: Choices, file: Path, **sure: Unpack[Sure]) -> int:
    """Delete all clones of a pool, unless something depends on them.

    FILE and the golden image are kept. Held clones are refused without --force. Clones
    that have the pool's name but do not fit FILE are left alone and listed.
    """
    from linkedclone.cli.confirm import act_if_sure, require_answer

    require_answer(sure["yes"], verb="pool delete")

    from linkedclone.cli.pool_runs import read_spec

    spec = read_spec(file)
    return act_if_sure(choices, sure, lambda lab, care: lab.pools.propose_delete(spec, **care))
