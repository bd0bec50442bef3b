"""linkedclone clone."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from linkedclone.cli.choices import Choices
from linkedclone.cli.grammar import Verb
from linkedclone.cli.parameters import accel_option, read_duration, read_memory

if TYPE_CHECKING:
    from linkedclone.app.clone import Prepared
    from linkedclone.app.connection import Connection
    from linkedclone.model.spec import CloneRequest


class _Options(TypedDict):
    parent: str
    names: tuple[str, ...]
    snapshot: str
    cpus: int | None
    memory: int | None
    annotation: str | None
    datastore: str
    resource_pool: str
    folder: str
    customization_spec: str
    power: str
    wait: str
    wait_timeout: float
    parallel: int | None
    accel: str | None
    dry_run: bool


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone clone golden desk-{001..020}
  linkedclone clone golden web --cpus 2 --memory 4GiB --wait ip
  linkedclone clone golden desk-1 --snapshot new:2026-11 --dry-run
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
@click.option("--cpus", metavar="N", type=click.IntRange(1, 4096), help="CPUs of each clone.")
@click.option("--memory", metavar="SIZE", type=read_memory, help="Memory of each clone, as 4GiB.")
@click.option("--annotation", metavar="TEXT", help="Notes of the clones.")
@click.option("--datastore", metavar="NAME", default="", help="Where the deltas go.")
@click.option("--resource-pool", metavar="NAME", default="", help="Resource pool of the clones.")
@click.option("--folder", metavar="NAME", default="", help="Inventory folder of the clones.")
@click.option(
    "--customization-spec",
    metavar="NAME",
    default="",
    help="Customization specification stored at the endpoint.",
)
@click.option(
    "--power",
    type=click.Choice(["on", "off"]),
    metavar="on|off",
    default="on",
    help="Whether the clones are started (default: on).",
)
@click.option(
    "--wait",
    type=click.Choice(["task", "tools", "ip"]),
    metavar="task|tools|ip",
    default="task",
    help="How far each clone is followed (default: task).",
)
@click.option(
    "--wait-timeout",
    metavar="TIME",
    type=read_duration,
    default="5m",
    help="How long guests may take without any progress (default: 5m).",
)
@click.option(
    "--parallel", metavar="N", type=click.IntRange(min=1), help="How many at once at most."
)
@accel_option
@click.option("--dry-run", is_flag=True, help="Print the requests; send nothing.")
@click.pass_obj
def command(choices: Choices, **options: Unpack[_Options]) -> int:
    """Make linked clones of a VM, each proven to be linked.

    PARENT is a name, an inventory path or a UUID. A NAME may hold ranges, as
    in desk-{001..020}. Clones that exist already are left as they are, so the
    command can be repeated.
    """
    request = _build_request(options)
    from linkedclone.cli.session import open_session

    with open_session(choices, accel=options["accel"]) as connection:
        if options["dry_run"]:
            return _preview(choices, connection, request)
        return _clone(choices, connection, request)


def _build_request(options: _Options) -> "CloneRequest":
    from linkedclone.errors import InputError
    from linkedclone.model.names import expand_names
    from linkedclone.model.spec import CloneRequest, Hardware, Placement, Wait
    from linkedclone.planning.snapshots import parse_snapshot_choice

    if options["power"] == "off" and options["wait"] != "task":
        brief = f"--wait {options['wait']} waits for guests, and --power off starts none"
        raise InputError(brief, hint="leave one of the two out")
    if options["power"] == "off" and options["accel"]:
        brief = "--accel says how clones are started, and --power off starts none"
        raise InputError(brief, hint="leave one of the two out")
    return CloneRequest(
        parent=options["parent"],
        names=expand_names(options["names"]),
        snapshot=parse_snapshot_choice(options["snapshot"]),
        hardware=Hardware(cpus=options["cpus"], memory_bytes=options["memory"]),
        placement=Placement(
            datastore=options["datastore"],
            resource_pool=options["resource_pool"],
            folder=options["folder"],
        ),
        annotation=options["annotation"],
        customization_spec=options["customization_spec"],
        power_on=options["power"] == "on",
        wait=Wait(options["wait"]),
        wait_seconds=options["wait_timeout"],
        parallel=options["parallel"],
    )


def _clone(choices: Choices, connection: "Connection", request: "CloneRequest") -> int:
    from linkedclone.ahead import import_ahead
    from linkedclone.cli.progress import watch

    with watch(choices) as progress:
        prepared = connection.prepare(request)
        import_ahead("linkedclone.cli.output", "linkedclone.cli.reports")
        report = connection.carry_out(prepared, progress)
    from linkedclone.cli.output import emit
    from linkedclone.cli.reports import render_clones, say_clone_failures, summarize_clones
    from linkedclone.cli.streams import say

    emit(choices, document=report.document, text=lambda: render_clones(report))
    say_clone_failures(report)
    say(summarize_clones(report, place=_place(prepared)))
    return report.exit_code


def _place(prepared: "Prepared") -> str:
    """Return the folder that the clones stand in, for people."""
    for create in prepared.creates:
        return create.target.folder_path
    for vm in prepared.plan.existing:
        return vm.path.rpartition("/")[0]
    return ""


def _preview(choices: Choices, connection: "Connection", request: "CloneRequest") -> int:
    from linkedclone.cli.output import render_document
    from linkedclone.cli.streams import say, write_result

    prepared = connection.prepare(request)
    requests = connection.preview(prepared)
    document = {**connection.planned(prepared).document(), "requests": list(requests)}
    write_result(render_document(document, "json" if choices.output == "json" else "yaml"))
    say(f"dry run: nothing was sent. {_describe_plan(prepared)}")
    return 0


def _describe_plan(prepared: "Prepared") -> str:
    """Say in words what a plan would do besides the requests that are printed."""
    from linkedclone.model.plan import SetPower, TakeSnapshot

    steps = prepared.plan.steps
    words = [f"take snapshot {step.name} first" for step in steps if isinstance(step, TakeSnapshot)]
    words.append(f"make {len(prepared.creates)} from {prepared.snapshot_name}")
    if prepared.plan.existing:
        words.append(f"keep {len(prepared.plan.existing)} that exist")
    starts = sum(isinstance(step, SetPower) for step in steps)
    if starts:
        words.append(f"start {starts} of them")
    return "It would " + ", ".join(words)
