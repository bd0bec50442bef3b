"""linkedclone adopt."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--owner",
    metavar="OWNER",
    default="linkedclone",
    help="The new owner of the VMs (default: linkedclone).",
)
@click.option("--force", is_flag=True, help="Also VMs that have another owner.")
@click.pass_obj
def command(choices: Choices, names: tuple[str, ...], *, owner: str, force: bool) -> int:
    """Mark linked clones of other tools, and golden images, as ours.

    A golden image is a VM with a snapshot. Only the mark is written. From then on
    linkedclone starts, stops, reverts and deletes these VMs without --force. A NAME may
    contain ranges, as in desk-{001..020}.
    """
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.errors import InputError
    from linkedclone.model.values.vm_names import check_name

    if not owner.strip():
        raise InputError("the owner's name is empty", hint="leave --owner out, or name one")
    check_name(owner)
    refs = expand_refs(names)

    from linkedclone.cli.confirm import act

    return act(
        choices,
        lambda lab, progress: lab.vms.adopt(refs, owner=owner, force=force, progress=progress),
    )
