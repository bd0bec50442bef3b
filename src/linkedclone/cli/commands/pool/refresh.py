"""linkedclone pool refresh."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.grammar import Verb, asks_of_ours
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Recreate all clones of the pool.")
@click.option(
    "--grown", is_flag=True, help="Recreate the clones that are larger than refresh_above in FILE."
)
@asks_of_ours
@click.pass_obj
def command(
    choices: Choices,
    file: Path,
    names: tuple[str, ...],
    *,
    everything: bool,
    grown: bool,
    **sure: Unpack[Answered],
) -> int:
    """Recreate clones of a pool on the same image.

    Everything the clones have written is lost. A NAME may contain ranges. Other changes
    that FILE asks for are made too, as by pool apply.
    """
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.cli.pool_runs import apply_pool, open_pool, read_spec
    from linkedclone.errors import InputError

    if sum([bool(names), everything, grown]) != 1:
        brief = "name the clones, or give one of --all and --grown"
        raise InputError(brief, hint="linkedclone pool status FILE shows the clones")
    spec = read_spec(file)
    if grown and spec.refresh_above is None:
        brief = f"--grown needs refresh_above in {file}"
        raise InputError(brief, hint="write, for example, refresh_above: 8GiB")
    asked = expand_refs(names)
    with open_pool(choices, file, spec, asked=asked, everything=everything) as opened:
        return apply_pool(choices, opened, sure=sure, verb="pool refresh")
