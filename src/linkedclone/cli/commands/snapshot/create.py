"""linkedclone snapshot create."""

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("vm", metavar="VM")
@click.argument("name", metavar="NAME")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@click.pass_obj
def command(choices: Choices, vm: str, name: str, description: str) -> int:
    """Take a snapshot of a VM, without memory."""
    from linkedclone.cli.acting import finish
    from linkedclone.cli.progress import watch
    from linkedclone.cli.session import open_session
    from linkedclone.model.names import check_name

    check_name(name)
    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.create_snapshot(vm, name, description=description, progress=progress)
    return finish(choices, report)
