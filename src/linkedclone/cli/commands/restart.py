"""linkedclone restart."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.guest_shutdown import guest_options, read_asking
from linkedclone.cli.options.types import accel_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@guest_options
@click.option("--force", is_flag=True, help="Also VMs that linkedclone did not create.")
@accel_option
@click.pass_obj
def command(  # noqa: PLR0913 - one for each option
    choices: Choices,
    names: tuple[str, ...],
    *,
    guest: bool,
    deadline: float | None,
    then_off: bool,
    force: bool,
    accel: str | None,
) -> int:
    """Stop VMs hard and start them again.

    With --guest the guest is asked to shut down, and the command waits for it; a VM
    that does not go off is left as it is. A NAME may contain ranges, as in
    desk-{001..020}. VMs that are off are started.
    """
    from linkedclone.cli.options.types import expand_refs

    guests = read_asking(guest=guest, deadline=deadline, then_off=then_off)
    refs = expand_refs(names)

    from linkedclone.cli.confirm import act

    return act(
        choices,
        lambda lab, progress: lab.vms.restart(refs, force=force, guests=guests, progress=progress),
        accel=accel,
    )
