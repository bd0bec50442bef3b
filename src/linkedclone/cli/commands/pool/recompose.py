"""linkedclone pool recompose."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.grammar import Verb, asks_of_ours
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.option("--snapshot", metavar="SNAPSHOT", required=True, help="Its name, path or id.")
@click.option("--parent", metavar="PARENT", help="Another golden image (default: the file's).")
@asks_of_ours
@click.pass_obj
def command(
    choices: Choices, file: Path, snapshot: str, parent: str | None, **sure: Unpack[Answered]
) -> int:
    """Move a pool onto another snapshot or parent, a few clones at a time.

    FILE is changed to say so, and then applied: canaries first, if it has
    some. If the new image turns out bad, pool rollback leads back.
    """
    from linkedclone.cli.pool_runs import change_and_apply, read_spec

    before = read_spec(file)
    settings = {"snapshot": snapshot, **({"parent": parent} if parent else {})}
    return change_and_apply(
        choices, file, settings, sure=sure, verb="pool recompose", before=before
    )
