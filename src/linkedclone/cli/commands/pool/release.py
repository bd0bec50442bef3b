"""linkedclone pool release."""

from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def command(choices: Choices, file: Path, names: tuple[str, ...]) -> int:
    """Release clones that are held or quarantined.

    A NAME may contain ranges, as in desk-{001..020}.
    """
    from linkedclone.cli.confirm import act
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.cli.pool_runs import read_spec

    spec, refs = read_spec(file), expand_refs(names)
    return act(choices, lambda lab, progress: lab.pools.hold(spec, refs, "", progress))
