"""linkedclone gc."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb, despite_option

if TYPE_CHECKING:
    from linkedclone.model.garbage import WasteKind


class _Options(TypedDict):
    scan: tuple[str, ...]
    no_scan: bool
    snapshots: bool
    images: bool
    despite_unreadable: bool
    yes: bool


@click.command(cls=Verb)
@click.option(
    "--scan",
    multiple=True,
    metavar="PLACE",
    help="Search only this place for files: a datastore (vSphere) or a folder (local:). "
    "Repeatable. Default: every place that VMs with clones use.",
)
@click.option(
    "--no-scan", is_flag=True, help="Do not search for files, except where that is cheap."
)
@click.option("--snapshots", is_flag=True, help="With --yes: also remove unused snapshots.")
@click.option("--images", is_flag=True, help="With --yes: also remove unused images.")
@despite_option
@click.option("-y", "--yes", is_flag=True, help="Remove what can be removed.")
@click.pass_obj
def command(choices: Choices, **options: Unpack[_Options]) -> int:
    """List unused files, VMs, snapshots and images; --yes removes them.

    Unused are disk files that belong to no VM, unfinished clones, snapshots taken for
    clones that no longer exist, and images without clones. A file that a VM outside
    this endpoint may use is listed but never removed.
    """
    from linkedclone.errors import InputError
    from linkedclone.model.request import Scan

    if options["scan"] and options["no_scan"]:
        raise InputError("--scan and --no-scan contradict each other", hint="leave one of them out")
    places = () if "all" in options["scan"] else options["scan"]
    scan = None if options["no_scan"] else Scan(places=places)
    kinds = _read_kinds(options)

    from linkedclone.cli.output import emit
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.garbage import render_waste, say_waste
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.lineage.collect_waste(
            kinds if options["yes"] else (),
            despite_unreadable=options["despite_unreadable"],
            scan=scan,
            progress=progress,
        )
    emit(choices, document=report.document, text=lambda: render_waste(report, kinds))
    say_waste(report, kinds, removed=options["yes"])
    return report.exit_code


def _read_kinds(options: _Options) -> "frozenset[WasteKind]":
    """Return what --yes removes."""
    from linkedclone.model.garbage import WasteKind
    from linkedclone.planning.vms.garbage import DEFAULT_KINDS

    asked = {
        kind
        for kind, wanted in (
            (WasteKind.SNAPSHOT, options["snapshots"]),
            (WasteKind.IMAGE, options["images"]),
        )
        if wanted
    }
    return DEFAULT_KINDS | asked
