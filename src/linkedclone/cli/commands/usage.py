"""linkedclone usage."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("parent", metavar="[PARENT]", required=False)
@click.option("--vms", is_flag=True, help="Show each VM, and what deleting it would free.")
@scan_option
@click.pass_obj
def command(choices: Choices, parent: str | None, *, vms: bool, scan: tuple[str, ...]) -> int:
    """Show how much space clones take and save.

    BASE is what several VMs of a family read, DELTAS what only one VM reads; each file
    is counted once. With PARENT (a name, an inventory path or a UUID) it shows only
    that VM's family, with all its VMs.
    """
    from linkedclone.cli.options.types import read_scan
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.usage import render_usage, say_limits

    with open_session(choices) as connection:
        usage = connection.lineage.usage(parent, scan=read_scan(scan))
        address, now = connection.address, connection.read_clock()
    emit(
        choices,
        document=lambda: {"endpoint": address, **usage.document()},
        text=lambda: render_usage(usage, vms=vms or parent is not None),
    )
    if not usage.families:
        say("there is no linked clone")
    say_limits(usage, now=now, verbose=choices.verbose)
    return 0
