"""linkedclone doctor."""

from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.option(
    "--rebase",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="First point all VMs that miss a layer to FILE, its new location (local:).",
)
@click.option(
    "--accept",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="First compare the layer FILE in full, and accept it if only "
    "its modification time changed (local:).",
)
@click.option(
    "--relink",
    is_flag=True,
    help="First restore the links of VMs that were lost when the state folder was copied (local:).",
)
@click.pass_obj
def command(choices: Choices, *, rebase: Path | None, accept: Path | None, relink: bool) -> int:
    """Check that an endpoint has what linked clones need.

    Checks the configuration file, connection, certificate, login, privileges, and the
    state of all VMs. Changes nothing unless --rebase, --accept or --relink is given.
    Exits with 1 if a check failed.
    """
    from linkedclone.app.doctor import diagnose
    from linkedclone.cli.output import emit
    from linkedclone.cli.terminal import find_asker
    from linkedclone.cli.views.endpoints import render_findings

    if rebase is not None:
        _rebase(choices, rebase)
    if accept is not None:
        _accept(choices, accept)
    if relink:
        _relink(choices)
    diagnosis = diagnose(choices.endpoint, ask=find_asker())
    emit(
        choices,
        document=diagnosis.document,
        text=lambda: render_findings(diagnosis.findings),
    )
    return diagnosis.exit_code


def _rebase(choices: Choices, file: Path) -> None:
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import printable, say
    from linkedclone.model.values.vm_names import render_count

    with open_session(choices) as connection:
        done = connection.disks.rebase_layers(file)
    layers = render_count(done.layers, "layer")
    say(printable(f"{layers} changed; now on {done.file}: {', '.join(done.vms)}"))


def _accept(choices: Choices, file: Path) -> None:
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import printable, say

    with open_session(choices) as connection:
        connection.disks.accept_layer(file)
    say(printable(f"sealed anew: {file}"))


def _relink(choices: Choices) -> None:
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import printable, say

    with open_session(choices) as connection:
        names = connection.disks.relink_vms()
    say(printable(f"linked again: {', '.join(names)}" if names else "no VM was linked again"))
