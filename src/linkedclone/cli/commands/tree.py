"""linkedclone tree."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("parent", metavar="[PARENT]", required=False)
@scan_option
@click.pass_obj
def command(choices: Choices, parent: str | None, scan: tuple[str, ...]) -> int:
    """Draw parents, snapshots and clones as a tree.

    With PARENT (a name, an inventory path or a UUID) it shows only the clones of that
    VM. VMs without snapshots, clones or parent are left out. A line that begins with ?
    is a disk file that belongs to no VM here; --scan finds more of them.
    """
    from linkedclone.cli.options.types import read_scan
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import printable, say
    from linkedclone.cli.views.tree import find_unreadable, render_tree
    from linkedclone.model.inventory import tell_all_unreadable

    with open_session(choices) as connection:
        families = connection.lineage.tree(parent, scan=read_scan(scan))
        now = connection.read_clock()
    emit(
        choices,
        document=lambda: {"children": [family.document() for family in families]},
        text=lambda: render_tree(families, now=now),
    )
    for sentence in tell_all_unreadable(find_unreadable(families)):
        say(printable(sentence))
    if not families:
        say("there is no VM with a snapshot, and no linked clone")
    return 0
