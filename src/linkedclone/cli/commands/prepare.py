"""linkedclone prepare."""

from typing import TYPE_CHECKING

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb

if TYPE_CHECKING:
    from linkedclone.model.findings import ParentReport


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone prepare golden
  linkedclone prepare golden --power-off --disconnect-media --snapshot 2026-11
""",
)
@click.argument("parent", metavar="PARENT")
@click.option(
    "--power-off",
    is_flag=True,
    help="Stop the VM hard if it runs, even if linkedclone did not create it.",
)
@click.option("--disconnect-media", is_flag=True, help="Empty its CD and floppy drives.")
@click.option(
    "--snapshot", metavar="NAME", default="", help="Take a snapshot of this name at the end."
)
@click.pass_obj
def command(
    choices: Choices, *, parent: str, power_off: bool, disconnect_media: bool, snapshot: str
) -> int:
    """Check a golden image before it is cloned, and fix what it can.

    Checks its snapshot, power state, disks and chains, and on vSphere also drives,
    network cards, tools and guest system. Changes only what the options ask for. Exits
    with 1 if something would make clones fail.
    """
    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch
    from linkedclone.model.request import Mending

    mending = Mending(power_off=power_off, disconnect_media=disconnect_media, snapshot=snapshot)
    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.parents.prepare(parent, mending, progress=progress)
    emit(choices, document=report.document, text=lambda: _render(report))
    _say_mended(report)
    return report.exit_code


def _render(report: "ParentReport") -> str:
    from linkedclone.cli.views.endpoints import render_findings

    return render_findings(report.findings)


def _say_mended(report: "ParentReport") -> None:
    """Say what was done, on standard error."""
    from linkedclone.cli.terminal import printable, say

    for one in report.mended:
        if one.error is None:
            say(printable(f"{one.action}: {one.status.value}"))
            continue
        say(printable(f"error: {one.action}: {one.error.brief}"))
        if one.error.details:
            say(printable(f"  {one.error.details}"))
        if one.error.hint:
            say(printable(f"  try: {one.error.hint}"))
