"""linkedclone move."""

from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.pass_obj
def command(choices: Choices, path: Path) -> int:
    """Move the state folder to another path or file system.

    All VMs must be off. The lineage of the clones does not change. Afterwards the
    endpoint is local:PATH.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.byte_progress import watch_bytes

    with open_session(choices) as connection, watch_bytes(choices) as tell:
        before = connection.address
        connection.disks.move_state(path, tell)
    document = {"from": before, "endpoint": f"local:{path.absolute()}"}
    emit(choices, document=lambda: document, text=lambda: "")
    say(f"moved: from now on it is --endpoint local:{path.absolute()}")
    return 0
