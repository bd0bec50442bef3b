"""linkedclone start."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.options.types import accel_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also VMs that linkedclone did not create.")
@click.option("--parallel", metavar="N", type=click.IntRange(min=1), help="Run at most N at once.")
@accel_option
@click.pass_obj
def command(
    choices: Choices,
    names: tuple[str, ...],
    *,
    force: bool,
    parallel: int | None,
    accel: str | None,
) -> int:
    """Start VMs.

    A NAME may contain ranges, as in desk-{001..020}. Running VMs are left alone.
    """
    from linkedclone.cli.confirm import act
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.model.vm import Power

    refs = expand_refs(names)
    return act(
        choices,
        lambda lab, progress: lab.vms.set_power(
            refs, Power.ON, force=force, parallel=parallel, progress=progress
        ),
        accel=accel,
    )
