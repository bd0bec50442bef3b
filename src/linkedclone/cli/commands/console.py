"""linkedclone console."""

import sys
from typing import TYPE_CHECKING

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection
    from linkedclone.model.access import ConsoleAddress


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.option(
    "-g",
    "--graphical",
    is_flag=True,
    help="Print how to open the VM's screen (always on vSphere).",
)
@click.option("--url", is_flag=True, help="Print only the URL of the screen.")
@click.pass_obj
def command(choices: Choices, name: str, *, graphical: bool, url: bool) -> int:
    """Connect to a VM's serial console, or print where its screen is.

    On local: this terminal is connected to the serial console; Ctrl-] leaves it. With
    --graphical, and always on vSphere, the command prints how to open the VM's screen
    instead. A vSphere URL contains a ticket, which is valid for one connection and a
    short time.
    """
    from linkedclone.cli.session import open_session

    with open_session(choices) as connection:
        if not (graphical or url) and connection.guests.has_serial_consoles:
            _attach(connection, name)
            return 0
        address = connection.guests.describe_console(name)
    _show(choices, name, address, url_alone=url)
    return 0


def _attach(connection: "Connection", name: str) -> None:
    from linkedclone.cli.terminal import say
    from linkedclone.errors import InputError

    if sys.stdin is None or sys.stdout is None:
        raise InputError("a console needs standard input and output, and one is closed")
    say(f"console of {name}: Ctrl-] leaves it")
    connection.guests.attach_console(
        name,
        input_descriptor=sys.stdin.fileno(),
        output_descriptor=sys.stdout.fileno(),
    )


def _show(choices: Choices, name: str, address: "ConsoleAddress", *, url_alone: bool) -> None:
    from linkedclone.cli.output import emit
    from linkedclone.cli.terminal import printable, say

    lines = [address.url]
    if address.page and not url_alone:
        lines.append(address.page)
    emit(
        choices,
        document=lambda: {"name": name, **address.document()},
        text=lambda: "\n".join(map(printable, lines)),
    )
    say(f"note: {printable(address.how)}")
