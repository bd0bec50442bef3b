# ruff: noqa: N999 - the module bears the name of its command
"""linkedclone image import."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import HeadedOption, Verb

if TYPE_CHECKING:
    from linkedclone.model.images import ImageImport

_URL = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


class _Machine(TypedDict):
    """What the parent is to be like; see :class:`~linkedclone.model.images.ImageImport`."""

    name: str | None
    image_format: str | None
    cpus: int
    memory: str
    kernel: Path | None
    initrd: Path | None
    append: str
    user: str
    firmware: Literal["bios", "uefi"]
    sha256: str
    move: bool


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone image import debian-12.qcow2 --name debian --memory 512MiB
  linkedclone image import https://server.example/debian-12.qcow2 --sha256 SUM
""",
)
@click.argument("source", metavar="FILE|URL")
@click.option("--name", metavar="NAME", help="Name of the parent (default: from the file's name).")
@click.option("--sha256", metavar="SUM", default="", help="Expected SHA-256 checksum of the file.")
@click.option(
    "--format",
    "image_format",
    type=click.Choice(("qcow2", "raw", "vmdk")),
    help="Format of the file (default: detected).",
)
@click.option("--cpus", type=click.IntRange(1, 64), default=1, help="Processors (default: 1).")
@click.option("--memory", metavar="SIZE", default="1GiB", help="Memory (default: 1GiB).")
@click.option("--kernel", metavar="FILE", type=_FILE, help="A kernel to boot directly.")
@click.option("--initrd", metavar="FILE", type=_FILE, help="Its initial RAM disk.")
@click.option("--append", metavar="TEXT", default="", help="Its command line.")
@click.option(
    "--user",
    metavar="NAME",
    default="root",
    help="User for SSH logins, created if missing (default: root).",
)
@click.option(
    "--firmware",
    type=click.Choice(("bios", "uefi")),
    default="bios",
    help="Firmware to boot with (default: bios).",
)
@click.option(
    "--move",
    cls=HeadedOption,
    part="image",
    is_flag=True,
    help="Move the file into place instead of copying it.",
)
@click.pass_obj
def command(choices: Choices, source: str, **machine: Unpack[_Machine]) -> int:
    """Import an image as a parent VM with the snapshot 'base'.

    An existing image of that name is kept as NAME@1, NAME@2 …; from then on NAME is the
    newest. If a download is interrupted, the same command resumes it.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.byte_progress import watch_bytes
    from linkedclone.cli.views.vms import render_vm

    wanted = _build_import(source, machine)
    with open_session(choices) as connection, watch_bytes(choices) as tell:
        row = connection.images.add(wanted, tell)
    emit(choices, document=lambda: row.document(whole=True), text=lambda: render_vm(row))
    say(f"continue with: linkedclone clone {wanted.name} desk-{{001..005}}")
    return 0


def _build_import(source: str, machine: _Machine) -> "ImageImport":
    """Make a request of the arguments."""
    from linkedclone.model.images import ImageImport
    from linkedclone.model.values.sizes import parse_size
    from linkedclone.model.values.vm_names import check_name

    is_url = _URL.match(source) is not None
    file = None if is_url else _FILE.convert(source, None, None).absolute()
    last = source.partition("?")[0].rstrip("/").rpartition("/")[2] if file is None else file.name
    name = machine["name"] or last.partition(".")[0]
    check_name(name)
    if is_url and machine["move"]:
        raise click.UsageError("--move is for files: what is fetched is not copied")
    _check_sum(machine["sha256"])
    return ImageImport(
        file=file,
        url=source if is_url else "",
        sha256=machine["sha256"].lower(),
        name=name,
        format=machine["image_format"] or "",
        cpus=machine["cpus"],
        memory_bytes=parse_size(machine["memory"], what="memory size"),
        kernel=machine["kernel"],
        initrd=machine["initrd"],
        append=machine["append"],
        user=machine["user"],
        firmware=machine["firmware"],
        move=machine["move"],
    )


def _check_sum(text: str) -> None:
    from linkedclone.errors import InputError

    if text and not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise InputError(
            f"{text!r} is not a SHA-256 checksum",
            hint="it has 64 hexadecimal digits: sha256sum FILE prints it",
        )
