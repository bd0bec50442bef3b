"""An open endpoint for a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from linkedclone.app.connect import connect
from linkedclone.cli.choices import Choices
from linkedclone.cli.streams import has_terminal, printable, say
from linkedclone.config.endpoint import Endpoint, with_accel
from linkedclone.config.resolve import NOTHING_CONFIGURED, resolve_endpoint

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection


@contextmanager
def open_session(choices: Choices, *, accel: str | None = None) -> Iterator["Connection"]:
    """Open the endpoint that was chosen; say which if it was not named.

    Args:
        choices: The options of every command.
        accel: What machines are to be started with; see ``config.endpoint``.

    Raises:
        InputError: There is no such endpoint, or it does not take an accelerator.
    """
    endpoint = resolve_endpoint(choices.endpoint, ask=ask_password if has_terminal() else None)
    if accel is not None:
        endpoint = with_accel(endpoint, accel)
    announce(endpoint, choices)
    with connect(endpoint) as connection:
        for note in connection.notes:
            say(printable(f"note: {note}"))
        yield connection


def announce(endpoint: Endpoint, choices: Choices) -> None:
    """Say which endpoint is used, where a person might not know."""
    if endpoint.origin == NOTHING_CONFIGURED:
        say(
            f"note: no endpoint is configured, so this uses {endpoint.address} "
            "(linkedclone endpoints add NAME URL makes another the default)"
        )
    elif choices.verbose:
        say(f"endpoint: {endpoint.address} ({endpoint.origin})")


def ask_password(address: str) -> str:
    """Ask a person for the password of an endpoint."""
    password: str = click.prompt(f"Password for {address}", hide_input=True, err=True)
    return password
