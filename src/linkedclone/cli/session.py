"""An open endpoint for a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from linkedclone.app.connect import connect
from linkedclone.app.connection import Connection
from linkedclone.cli.choices import Choices
from linkedclone.cli.streams import has_terminal, say
from linkedclone.config.endpoint import Endpoint
from linkedclone.config.resolve import NOTHING_CONFIGURED, resolve_endpoint


@contextmanager
def open_session(choices: Choices) -> Iterator[Connection]:
    """Open the endpoint that was chosen; say which if it was not named."""
    endpoint = resolve_endpoint(choices.endpoint, ask=ask_password if has_terminal() else None)
    announce(endpoint, choices)
    with connect(endpoint) as connection:
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
