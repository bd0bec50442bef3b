"""linkedclone snapshot create."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("vm", metavar="VM")
@click.argument("name", metavar="NAME")
@click.option("--description", metavar="TEXT", default="", help="Description of the snapshot.")
@click.option("--quiesce", is_flag=True, help="Quiesce the file systems of a running guest first.")
@click.option("--memory", is_flag=True, help="Include the memory of a running VM.")
@click.pass_obj
def command(
    choices: Choices,
    vm: str,
    name: str,
    description: str,
    *,
    quiesce: bool,
    memory: bool,
) -> int:
    """Take a snapshot of a VM, with or without its memory.

    --memory keeps the memory of a running VM; without it the disks alone are kept.
    """
    from linkedclone.cli.confirm import act
    from linkedclone.errors import InputError
    from linkedclone.model.values.vm_names import check_name

    check_name(name)
    if quiesce and memory:
        brief = "--quiesce rests the disks without memory, and --memory keeps the memory"
        raise InputError(brief, hint="leave one of the two out")
    return act(
        choices,
        lambda lab, progress: lab.snapshots.create(
            vm,
            name,
            description=description,
            quiesce=quiesce,
            memory=memory,
            progress=progress,
        ),
    )
