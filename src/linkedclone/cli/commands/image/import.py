# ruff: noqa: N999 - the module bears the name of its command
"""linkedclone image import."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb

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
    move: bool


@click.command(cls=Verb)
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--name", metavar="NAME", help="The parent's name (default: that of the file).")
@click.option(
    "--format",
    "image_format",
    type=click.Choice(("qcow2", "raw", "vmdk")),
    help="What the file is (default: told by its content).",
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
    help="Who logs in by SSH; made if need be (default: root).",
)
@click.option("--move", is_flag=True, help="Move the file into place instead of copying it.")
@click.pass_obj
def command(choices: Choices, file: Path, **machine: Unpack[_Machine]) -> int:
    """Make a parent VM with the snapshot base of an image file.

    Clones hang from that snapshot: linkedclone clone NAME desk-{001..005}
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.streams import say
    from linkedclone.cli.views import describe_vm, render_vm
    from linkedclone.model.images import ImageImport
    from linkedclone.model.names import check_name
    from linkedclone.model.sizes import parse_size

    name = machine["name"] or file.name.partition(".")[0]
    check_name(name)
    wanted = ImageImport(
        file=file.resolve(),
        name=name,
        format=machine["image_format"] or "",
        cpus=machine["cpus"],
        memory_bytes=parse_size(machine["memory"], what="memory size"),
        kernel=machine["kernel"],
        initrd=machine["initrd"],
        append=machine["append"],
        user=machine["user"],
        move=machine["move"],
    )
    with open_session(choices) as connection:
        row = connection.import_image(wanted)
    emit(choices, document=lambda: describe_vm(row), text=lambda: render_vm(row))
    say(f"go on with: linkedclone clone {name} desk-{{001..005}}")
    return 0
