"""linkedclone image build."""

from typing import TypedDict, Unpack

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


class _Wanted(TypedDict):
    """What is to be built; see :class:`~linkedclone.model.images.ImageBuild`."""

    name: str
    release: str
    package: tuple[str, ...]
    size: str
    cpus: int
    memory: str


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone image build debian
  linkedclone image build debian --name web --package nginx --memory 1GiB
""",
)
@click.argument("distribution", metavar="debian", type=click.Choice(("debian",)))
@click.option("--name", metavar="NAME", default="debian", help="Name of the parent.")
@click.option(
    "--release",
    metavar="NAME",
    default="bookworm",
    help="The release's code name (default: bookworm).",
)
@click.option("--package", metavar="NAME", multiple=True, help="Additional package. Repeatable.")
@click.option("--size", metavar="SIZE", default="8GiB", help="Size of the disk (default: 8GiB).")
@click.option("--cpus", type=click.IntRange(1, 64), default=1, help="Processors (default: 1).")
@click.option("--memory", metavar="SIZE", default="512MiB", help="Memory (default: 512MiB).")
@click.pass_obj
def command(choices: Choices, distribution: str, **wanted: Unpack[_Wanted]) -> int:  # noqa: ARG001
    """Build a parent VM, with the snapshot 'base', from Debian packages.

    The VM has Debian's kernel, cloud-init, guest agent and SSH server, from the package
    sources of this machine. It needs root and takes a minute or two. An existing image
    of that name is kept as NAME@1, NAME@2 …
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.byte_progress import watch_bytes
    from linkedclone.cli.views.vms import render_vm
    from linkedclone.model.images import ImageBuild
    from linkedclone.model.values.sizes import parse_size

    build = ImageBuild(
        name=wanted["name"],
        release=wanted["release"],
        packages=wanted["package"],
        capacity_bytes=parse_size(wanted["size"], what="disk size"),
        cpus=wanted["cpus"],
        memory_bytes=parse_size(wanted["memory"], what="memory size"),
    )
    with open_session(choices) as connection, watch_bytes(choices) as tell:
        row = connection.images.build(build, tell)
    emit(choices, document=lambda: row.document(whole=True), text=lambda: render_vm(row))
    say(f"continue with: linkedclone clone {build.name} desk-{{001..005}} --wait customized")
    return 0
