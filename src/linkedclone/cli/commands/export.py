"""linkedclone export."""

from pathlib import Path
from typing import Literal

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb

FileFormat = Literal["qcow2", "raw", "vmdk"]
_SUFFIXES: dict[str, FileFormat] = {".vmdk": "vmdk", ".raw": "raw", ".img": "raw"}


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone export web-1 web-1.qcow2
  linkedclone export web-1 web-1.vmdk --snapshot ready
""",
)
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(("qcow2", "raw", "vmdk")),
    help="Format of FILE (default: by its suffix, else qcow2).",
)
@click.option(
    "--snapshot",
    metavar="NAME",
    default="",
    help="Export the disk as of this snapshot; the VM may run.",
)
@click.option("--disk", metavar="LABEL", default="", help="Disk to export (default: the first).")
@click.pass_obj
def command(
    choices: Choices,
    name: str,
    file: Path,
    *,
    file_format: FileFormat | None,
    snapshot: str,
    disk: str,
) -> int:
    """Write a disk of a VM to one self-contained file.

    The VM must be off, unless a snapshot is named. An existing FILE is not overwritten.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.byte_progress import watch_bytes

    file_format = file_format or _SUFFIXES.get(file.suffix.lower(), "qcow2")
    with open_session(choices) as connection, watch_bytes(choices) as tell:
        connection.disks.export(name, file, file_format, snapshot=snapshot, disk=disk, tell=tell)
    document = {"vm": name, "file": str(file.absolute()), "format": file_format}
    emit(choices, document=lambda: document, text=lambda: "")
    say(f"wrote {file}")
    return 0
