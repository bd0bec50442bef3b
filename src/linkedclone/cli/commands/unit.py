"""linkedclone unit."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb

_SERVICE = re.compile(r"[A-Za-z0-9:_.-]{1,100}")
"""Characters of a unit's name that need no escaping (systemd.unit(5))."""


def _read_service(text: str) -> str:
    if not _SERVICE.fullmatch(text):
        raise click.BadParameter("a service has letters, digits and :_.- in its name")
    return text


@click.command(cls=Verb)
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--install", is_flag=True, help="Install the unit where systemd finds it.")
@click.option(
    "--service",
    metavar="NAME",
    type=_read_service,
    default="linkedclone",
    show_default=True,
    help="Name of the unit; each state folder needs its own.",
)
@click.pass_obj
def command(choices: Choices, names: tuple[str, ...], *, install: bool, service: str) -> int:
    """Print a systemd unit that starts VMs at login or boot.

    The unit also shuts the guests down at the end. local: only. A NAME may contain
    ranges, as in desk-{001..020}; the command prints how to enable the unit for these
    VMs.
    """
    from linkedclone.app.vms.presence import Found
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.reports import say_action_failures
    from linkedclone.model.report import ActionReport

    with open_session(choices) as connection:
        text = connection.guests.build_unit()
        found = (
            connection.vms.find_present(expand_refs(names), action="enable")
            if names
            else Found(vms=())
        )
    if install:
        instances = [vm.name if _SERVICE.fullmatch(vm.name) else vm.uuid for vm in found.vms]
        _install(text, service, instances)
    else:
        click.echo(text, nl=False)
    there = ActionReport(endpoint="", unchanged=tuple(vm.name for vm in found.vms))
    report = found.tell(there)
    say_action_failures(report)
    return report.exit_code


def _install(text: str, service: str, instances: Sequence[str]) -> None:
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = Path(folder) / "systemd/user" / f"{service}@.service"
    _refuse_other(path, text)
    _write(path, text)
    _tell(path, service, instances)


def _refuse_other(path: Path, text: str) -> None:
    """Leave a unit alone that is not about this state folder."""
    from linkedclone.errors import InputError

    try:
        found = path.read_text(errors="replace")
    except OSError:
        return  # there is none, or writing it tells why not
    if _find_start(found) != _find_start(text):
        raise InputError(
            f"{path} is about something else",
            details=_find_start(found),
            hint="give this one another name with --service, or remove that file",
        )


def _find_start(text: str) -> str:
    """Return the line that starts VMs, from the endpoint on: Python may be another one by now."""
    lines = (line for line in text.splitlines() if line.startswith("ExecStart="))
    return next(lines, "").partition(" -m ")[2]


def _write(path: Path, text: str) -> None:
    from linkedclone.errors import InputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise InputError(f"cannot write {path}", details=str(error)) from error


def _tell(path: Path, service: str, instances: Sequence[str]) -> None:
    from linkedclone.cli.terminal import say

    units = " ".join(f"{service}@{name}" for name in instances) or f"{service}@NAME"
    say(f"wrote {path}; now:")
    click.echo("systemctl --user daemon-reload")
    click.echo(f"systemctl --user enable --now {units}")
    say("they start when you log in; at boot, after: loginctl enable-linger")
