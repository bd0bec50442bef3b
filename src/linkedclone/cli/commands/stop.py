"""linkedclone stop."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.guest_shutdown import guest_options, read_asking


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@guest_options
@click.option("--force", is_flag=True, help="Also VMs that linkedclone did not create.")
@click.pass_obj
def command(
    choices: Choices,
    names: tuple[str, ...],
    *,
    guest: bool,
    deadline: float | None,
    then_off: bool,
    force: bool,
) -> int:
    """Stop VMs hard, like a power failure.

    With --guest the guest is asked to shut down, and the command waits for it. A NAME
    may contain ranges, as in desk-{001..020}. VMs that are off are left alone.
    """
    from linkedclone.cli.options.types import expand_refs

    guests = read_asking(guest=guest, deadline=deadline, then_off=then_off)
    refs = expand_refs(names)

    from linkedclone.cli.confirm import act
    from linkedclone.model.vm import Power

    return act(
        choices,
        lambda lab, progress: lab.vms.set_power(
            refs, Power.OFF, force=force, guests=guests, progress=progress
        ),
    )
