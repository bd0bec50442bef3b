"""linkedclone rename."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.argument("new_name", metavar="NEW_NAME")
@click.option("--force", is_flag=True, help="Also a VM that linkedclone did not create.")
@click.pass_obj
def command(choices: Choices, name: str, new_name: str, *, force: bool) -> int:
    """Rename a VM.

    The VM may run. Its UUID, mark, base, file names and the guest's host name do not
    change. The old name becomes free: a clone created under it is a different VM with
    its own UUID.
    """
    from linkedclone.cli.confirm import act
    from linkedclone.model.values.vm_names import check_name

    check_name(new_name)
    return act(
        choices,
        lambda lab, progress: lab.vms.rename(name, new_name, force=force, progress=progress),
    )
