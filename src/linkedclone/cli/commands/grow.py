"""linkedclone grow."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb, despite_option
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.argument("size", metavar="SIZE")
@click.option("--disk", metavar="LABEL", default="", help="Which disk, if the VM has several.")
@scan_option
@click.option("--force", is_flag=True, help="Also of a VM that linkedclone did not create.")
@despite_option
@click.pass_obj
def command(  # noqa: PLR0913 - one for each option
    choices: Choices,
    name: str,
    size: str,
    *,
    disk: str,
    scan: tuple[str, ...],
    force: bool,
    despite_unreadable: bool,
) -> int:
    """Enlarge a disk of a VM.

    SIZE is the new total size, for example 40GiB. The guest's partition and file system
    do not change; grow them inside the guest. A disk that others depend on is refused,
    and on vSphere also a linked disk.
    """
    from linkedclone.model.values.sizes import parse_size

    capacity_bytes = parse_size(size, what="disk size")

    from linkedclone.cli.confirm import finish
    from linkedclone.cli.options.types import read_scan
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.disks.grow(
            name,
            capacity_bytes,
            disk=disk,
            force=force,
            despite_unreadable=despite_unreadable,
            scan=read_scan(scan),
            progress=progress,
        )
    code = finish(choices, report)
    if report.results and code == 0:
        say("now grow the partition and the file system inside the guest")
    return code
