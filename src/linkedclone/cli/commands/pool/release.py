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
    from linkedclone.cli.confirm import finish
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.cli.pool_runs import read_spec
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    spec, refs = read_spec(file), expand_refs(names)
    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.pools.hold(spec, refs, "", progress)
    return finish(choices, report)
