"""linkedclone pool recompose."""

from pathlib import Path
from typing import Unpack

import click

from linkedclone.cli.global_options import Answered, Choices
from linkedclone.cli.grammar import Verb, asks_of_ours
from linkedclone.cli.options.types import pool_file


@click.command(cls=Verb)
@pool_file
@click.option(
    "--snapshot",
    metavar="SNAPSHOT",
    help="Name, path or id of the snapshot (default for instant clones: a new one).",
)
@click.option("--parent", metavar="PARENT", help="New golden image (default: as in FILE).")
@asks_of_ours
@click.pass_obj
def command(
    choices: Choices, file: Path, snapshot: str | None, parent: str | None, **sure: Unpack[Answered]
) -> int:
    """Move a pool to another snapshot or parent, a few clones at a time.

    Writes the new image into FILE and applies it, canaries first if FILE asks for them.
    If the new image is bad, 'pool rollback' returns to the previous one.

    Instant clones need no SNAPSHOT: they are forked from the parent as it runs now. Where
    that takes a snapshot with memory, linkedclone takes it first.
    """
    from linkedclone.cli.pool_runs import change_and_apply, read_spec, recompose_instant

    before = read_spec(file)
    settings = {"parent": parent} if parent else {}
    if snapshot is None and before.instant:
        return recompose_instant(choices, file, settings, sure=sure)
    if snapshot is None:
        raise click.MissingParameter(param_hint="'--snapshot'", param_type="option")
    settings = {"snapshot": snapshot, **settings}
    return change_and_apply(
        choices, file, settings, sure=sure, verb="pool recompose", before=before
    )
