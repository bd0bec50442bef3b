"""linkedclone tree."""

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("parent", metavar="[PARENT]", required=False)
@click.pass_obj
def command(choices: Choices, parent: str | None) -> int:
    """Draw parents, snapshots and clones as a tree.

    With PARENT (a name, an inventory path or a UUID) only what hangs from it.
    VMs without snapshots, clones or parent are left out.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.streams import say
    from linkedclone.cli.views import render_tree

    with open_session(choices) as connection:
        families = connection.tree(parent)
    emit(
        choices,
        document=lambda: {"children": [family.document() for family in families]},
        text=lambda: render_tree(families),
    )
    if not families:
        say("there is no VM with a snapshot, and no linked clone")
    return 0
