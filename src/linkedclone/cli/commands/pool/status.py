"""linkedclone pool status."""

from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.pass_obj
def command(choices: Choices, file: Path) -> int:
    """Show the state of each clone of a pool: health, image, size, age, hold."""
    from linkedclone.cli.output import emit
    from linkedclone.cli.pool_runs import open_pool, read_spec
    from linkedclone.cli.views.pools import render_status, say_status

    with open_pool(choices, file, read_spec(file)) as (pools, scene):
        status = pools.status(scene)
    emit(choices, document=status.document, text=lambda: render_status(status))
    say_status(status)
    return 0
