"""linkedclone pool adopt."""

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
    """Take over clones that have the pool's name but do not fit its file.

    Clones that were made for another numbering, folder or parent than FILE's are never
    changed or deleted for this pool: another pool may have the same name. After an
    intended change of FILE this command assigns them to it. Only their marks are
    written; pool plan then shows what follows.

    A NAME is a name, an inventory path or a UUID, and may contain ranges.
    """
    from linkedclone.cli.confirm import act
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.cli.pool_runs import read_spec

    spec, refs = read_spec(file), expand_refs(names)
    return act(choices, lambda lab, progress: lab.pools.adopt(spec, refs, progress))
