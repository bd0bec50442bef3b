"""linkedclone clone."""

from functools import partial
from typing import TYPE_CHECKING, Literal, Unpack

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import HeadedOption, Verb
from linkedclone.cli.options.guest import GuestOptions, add_customization, guest_options
from linkedclone.cli.options.hardware import (
    HardwareOptions,
    build_disk_move,
    build_hardware,
    build_macs,
    hardware_options,
)
from linkedclone.cli.options.types import accel_option

if TYPE_CHECKING:
    from linkedclone.app.clone.job import Prepared
    from linkedclone.app.connection import Connection
    from linkedclone.model.findings import HostCheck
    from linkedclone.model.report import CloneReport
    from linkedclone.model.request import CloneRequest, Placement, SnapshotChoice

_placement = partial(click.option, cls=HeadedOption, heading="Place", part="placement")
_snapshot = partial(click.option, cls=HeadedOption, part="snapshot")


class _Options(HardwareOptions, GuestOptions):
    parent: str
    names: tuple[str, ...]
    snapshot: str
    quiesce: bool
    snapshot_memory: bool
    prepare_template: bool
    annotation: str | None
    datacenter: str
    datastore: str
    datastore_cluster: str
    resource_pool: str
    cluster: str
    host: str
    folder: str
    create_folder: bool
    spread: Literal["datastore", "host"] | None
    power: str
    parallel: int | None
    accel: str | None
    dry_run: bool
    server_check: bool


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone clone golden desk-{001..020}
  linkedclone clone golden web --cpus 2 --memory 4GiB --wait ip
  linkedclone clone golden desk-{01..20} --customize desks.yaml
  linkedclone clone golden desk-1 --snapshot new:2026-11 --dry-run
  linkedclone clone golden ci-{1..20} --instant --snapshot warm
""",
)
@click.argument("parent", metavar="PARENT")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--snapshot",
    metavar="SNAPSHOT",
    default="current",
    help="current, a name, path or id, or new[:NAME] to take one (default: current).",
)
@_snapshot("--quiesce", is_flag=True, help="Quiesce the running parent for the new snapshot.")
@_snapshot(
    "--snapshot-memory",
    field="memory",
    is_flag=True,
    help="Include the running parent's memory in the new snapshot.",
)
@_snapshot(
    "--prepare-template",
    is_flag=True,
    help="If a template has no snapshot, take one (this briefly converts the template to a VM).",
)
@hardware_options
@click.option("--annotation", metavar="TEXT", help="Notes of the clones.")
@_placement(
    "--datacenter",
    metavar="NAME",
    default="",
    help="Datacenter in which the names below are looked up.",
)
@_placement("--datastore", metavar="NAME", default="", help="Datastore of the deltas.")
@_placement(
    "--datastore-cluster",
    metavar="NAME",
    default="",
    help="Use the datastore of this cluster with the most free space.",
)
@_placement("--resource-pool", metavar="NAME", default="", help="Resource pool of the clones.")
@_placement(
    "--cluster",
    metavar="NAME",
    default="",
    help="Use this cluster's root resource pool; a single clone follows DRS's recommendation.",
)
@_placement("--host", metavar="NAME", default="", help="Host that runs the clones.")
@_placement("--folder", metavar="NAME", default="", help="Inventory folder of the clones.")
@_placement("--create-folder", is_flag=True, help="Create the folder if it does not exist.")
@_placement(
    "--spread",
    type=click.Choice(["datastore", "host"]),
    metavar="datastore|host",
    default=None,
    help="Distribute the batch by free space or memory.",
)
@guest_options
@click.option(
    "--power",
    cls=HeadedOption,
    field="power_on",
    type=click.Choice(["on", "off"]),
    metavar="on|off",
    default="on",
    help="Whether to start the clones (default: on).",
)
@click.option("--parallel", metavar="N", type=click.IntRange(min=1), help="Run at most N at once.")
@accel_option
@click.option("--dry-run", is_flag=True, help="Print the requests; send nothing.")
@click.option(
    "--server-check",
    is_flag=True,
    help="With --dry-run: let vCenter check the first request.",
)
@click.pass_obj
def command(choices: Choices, **options: Unpack[_Options]) -> int:
    """Create linked clones of a VM and prove that each is linked; or full ones.

    PARENT is a name, an inventory path or a UUID. A NAME may contain ranges, as in
    desk-{001..020}. Existing clones are left as they are, so the command can be
    repeated.
    """
    request = add_customization(_build_request(options), options["customize"])
    from linkedclone.cli.session import open_session

    ahead = ("linkedclone.app.clone.job",)
    with open_session(choices, accel=options["accel"], ahead=ahead) as connection:
        if options["dry_run"]:
            check = options["server_check"]
            return _preview(choices, connection, request, server_check=check)
        return _clone(choices, connection, request)


def _build_request(options: _Options) -> "CloneRequest":
    from linkedclone.errors import InputError
    from linkedclone.model.request import CloneRequest, Wait
    from linkedclone.model.values.vm_names import expand_names

    if options["power"] == "off" and options["wait"] != "task":
        brief = f"--wait {options['wait']} waits for guests, and --power off starts none"
        raise InputError(brief, hint="leave one of the two out")
    if options["power"] == "off" and options["accel"]:
        brief = "--accel says how clones are started, and --power off starts none"
        raise InputError(brief, hint="leave one of the two out")
    if options["server_check"] and not options["dry_run"]:
        brief = "--server-check checks requests that are not sent"
        raise InputError(brief, hint="add --dry-run")
    return CloneRequest(
        parent=options["parent"],
        names=expand_names(options["names"]),
        snapshot=_build_snapshot(options),
        disk_move=build_disk_move(options),
        instant=options["instant"],
        hardware=build_hardware(options),
        placement=_build_placement(options),
        annotation=options["annotation"],
        customization_spec=options["customization_spec"],
        power_on=options["power"] == "on",
        wait=Wait(options["wait"]),
        wait_seconds=options["wait_seconds"],
        network_filter=options["network_filter"],
        keep_failed=options["keep_failed"],
        parallel=options["parallel"],
        macs=build_macs(options),
    )


def _build_snapshot(options: _Options) -> "SnapshotChoice":
    from dataclasses import replace

    from linkedclone.errors import InputError
    from linkedclone.planning.clone.snapshot_choice import parse_snapshot_choice

    choice = parse_snapshot_choice(options["snapshot"])
    quiesce, memory = options["quiesce"], options["snapshot_memory"]
    if (quiesce or memory) and choice.kind != "new":
        option = "--quiesce" if quiesce else "--snapshot-memory"
        brief = f"{option} is about a new snapshot, and --snapshot {options['snapshot']} takes none"
        raise InputError(brief, hint="add --snapshot new, or leave it out")
    if quiesce and memory:
        brief = "--quiesce rests the disks without memory, and --snapshot-memory keeps the memory"
        raise InputError(brief, hint="leave one of the two out")
    return replace(
        choice,
        quiesce=quiesce,
        memory=memory,
        prepare_template=options["prepare_template"],
    )


def _build_placement(options: _Options) -> "Placement":
    from linkedclone.model.request import Placement

    spread = options["spread"]
    return Placement(
        datacenter=options["datacenter"],
        datastore=options["datastore"],
        datastore_cluster=options["datastore_cluster"],
        resource_pool=options["resource_pool"],
        cluster=options["cluster"],
        host=options["host"],
        folder=options["folder"],
        create_folder=options["create_folder"],
        spread=spread or "",
    )


def _clone(choices: Choices, connection: "Connection", request: "CloneRequest") -> int:
    from linkedclone.cli.views.progress import watch
    from linkedclone.preload import import_ahead

    with watch(choices) as progress:
        proposal = connection.propose_clone(request)
        import_ahead("linkedclone.cli.output", "linkedclone.cli.views.reports")
        report = proposal.carry_out(progress)
    from linkedclone.cli.output import emit
    from linkedclone.cli.terminal import say
    from linkedclone.cli.views.reports import render_clones, say_clone_failures, summarize_clones

    emit(choices, document=report.document, text=lambda: render_clones(report))
    say_clone_failures(report)
    say(summarize_clones(report, place=_place(proposal.plan)))
    return report.exit_code


def _place(prepared: "Prepared") -> str:
    """Return the folder of the clones, for people."""
    for create in prepared.creates:
        return create.target.folder_path
    for vm in prepared.plan.existing:
        return vm.path.rpartition("/")[0]
    return ""


def _preview(
    choices: Choices, connection: "Connection", request: "CloneRequest", *, server_check: bool
) -> int:
    from linkedclone.cli.output import render_document
    from linkedclone.cli.terminal import printable, say, write_result
    from linkedclone.cli.views.reports import say_clone_failures

    prepared = connection.propose_clone(request).plan
    requests = connection.preview(prepared)
    report = connection.planned(prepared)
    document = {**report.document(), "requests": list(requests)}
    checks = connection.check(prepared) if server_check else ()
    if server_check:
        document["checks"] = [check.document() for check in checks]
    write_result(render_document(document, "json" if choices.output == "json" else "yaml"))
    say(printable(f"dry run: nothing was sent. {_describe_plan(prepared, report)}"))
    say_clone_failures(report)
    for note in report.notes:
        say(f"note: {printable(note)}")
    return _say_checks(checks) if server_check else 0


def _say_checks(checks: "tuple[HostCheck, ...]") -> int:
    """Say what the server thinks of the requests; return the exit code."""
    from linkedclone.cli.terminal import printable, say
    from linkedclone.model.findings import would_fail

    for check in checks:
        host = check.host or "any host"
        for word, texts in (("error", check.errors), ("warning", check.warnings)):
            for text in texts:
                say(printable(f"server check: {word} for {host}: {text}"))
    if would_fail(checks):
        say("server check: the server would refuse the clones")
        return 1
    say("server check: the server would make the clones")
    return 0


def _describe_plan(prepared: "Prepared", report: "CloneReport") -> str:
    """Say in words what a plan would do besides the requests that are printed."""
    from linkedclone.model.plan import SetPower, TakeSnapshot

    steps = prepared.plan.steps
    words = [f"take snapshot {step.name} first" for step in steps if isinstance(step, TakeSnapshot)]
    if prepared.scene.target.new_folder:
        words.append(
            f"make the folder {prepared.scene.target.folder_path}, from which UUIDs follow"
        )
    words.append(_describe_creates(prepared))
    words.extend(_describe_existing(report))
    starts = sum(isinstance(step, SetPower) for step in steps)
    if starts:
        words.append(f"start {starts} of those that exist")
    return "It would " + ", ".join(words)


def _describe_existing(report: "CloneReport") -> list[str]:
    """Say what would become of the clones that exist already."""
    from linkedclone.model.report import Status
    from linkedclone.model.values.vm_names import render_count

    words = {
        Status.EXISTING: ("keep", "that exists", "that exist"),
        Status.DIFFERS: ("leave", "that differs", "that differ"),
        Status.FAILED: ("refuse", "that exists", "that exist"),
    }
    counts = [sum(clone.status is status for clone in report.clones) for status in words]
    return [
        f"{verb} {render_count(number, one, several)}"
        for number, (verb, one, several) in zip(counts, words.values(), strict=True)
        if number
    ]


def _describe_creates(prepared: "Prepared") -> str:
    from linkedclone.model.values.vm_names import render_count

    count, snapshot = len(prepared.creates), prepared.plan.snapshot_name
    if prepared.request.instant:
        origin = f"from {snapshot}" if snapshot else "from the running VM"
        return f"fork {render_count(count, 'instant clone', 'instant clones')} {origin}"
    if prepared.request.disk_move.linked:
        return f"make {count} from {snapshot}"
    origin = f"from {snapshot}" if snapshot else "of the VM as it is"
    return f"make {render_count(count, 'full copy', 'full copies')} {origin}"
