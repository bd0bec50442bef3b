"""linkedclone restart."""

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.parameters import accel_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also VMs that linkedclone did not make.")
@accel_option
@click.pass_obj
def command(choices: Choices, names: tuple[str, ...], *, force: bool, accel: str | None) -> int:
    """Stop VMs hard and start them again.

    A NAME may hold ranges, as in desk-{001..020}. Those that are off are started.
    """
    from linkedclone.cli.acting import finish
    from linkedclone.cli.parameters import expand_refs
    from linkedclone.cli.progress import watch
    from linkedclone.cli.session import open_session

    refs = expand_refs(names)
    with open_session(choices, accel=accel) as connection, watch(choices) as progress:
        report = connection.restart(refs, force=force, progress=progress)
    return finish(choices, report)
