"""linkedclone pool plan."""

from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.option("--check", is_flag=True, help="Exit with 3 if there is something to do.")
@click.pass_obj
def command(choices: Choices, file: Path, *, check: bool) -> int:
    """Show what pool apply would do to a pool, and why. Changes nothing."""
    from linkedclone.cli.output import emit
    from linkedclone.cli.pool_runs import open_pool, read_spec
    from linkedclone.cli.views.pools import render_outlook, say_outlook

    with open_pool(choices, file, read_spec(file)) as (pools, scene):
        outlook = pools.plan(scene)
    emit(choices, document=outlook.document, text=lambda: render_outlook(outlook))
    say_outlook(outlook)
    return 3 if check and not outlook.plan.empty else 0
