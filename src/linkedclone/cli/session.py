"""An open endpoint for a command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkedclone.app.connect import open_connection
from linkedclone.cli.global_options import Choices
from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import find_asker, printable, say
from linkedclone.config.endpoint import Endpoint, with_accel
from linkedclone.config.resolve_endpoint import NOTHING_CONFIGURED, resolve_endpoint
from linkedclone.errors import NotFoundError

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection


@contextmanager
def open_session(
    choices: Choices, *, accel: str | None = None, ahead: Sequence[str] = ()
) -> Iterator["Connection"]:
    """Open the endpoint that was chosen.

    What was found when it was opened is always told: what was removed, and what
    has to be mended. Which endpoint was fallen back to is said with -v, and where
    a VM is not found: it may be elsewhere.

    Args:
        choices: The options of every command.
        accel: What machines are to be started with; see ``config.endpoint``.
        ahead: Modules that the command needs next.
    """
    endpoint = resolve_endpoint(choices.endpoint, ask=find_asker())
    if accel is not None:
        endpoint = with_accel(endpoint, accel)
    announce(endpoint, choices)
    try:
        with open_connection(endpoint, wording=render_references, ahead=ahead) as connection:
            for note in connection.notes:
                say(printable(f"note: {note}"))
            yield connection
    except NotFoundError:
        _say_fallback(endpoint, choices)
        raise


def announce(endpoint: Endpoint, choices: Choices) -> None:
    """Say with -v which endpoint is used, and why."""
    if not choices.verbose:
        return
    if endpoint.origin == NOTHING_CONFIGURED:
        say(_render_fallback(endpoint))
    else:
        say(f"endpoint: {endpoint.address} ({endpoint.origin})")


def say_fallback(choices: Choices) -> None:
    """Say that no endpoint was chosen, where the user looks for a missing object."""
    _say_fallback(resolve_endpoint(choices.endpoint), choices)


def _say_fallback(endpoint: Endpoint, choices: Choices) -> None:
    if endpoint.origin == NOTHING_CONFIGURED and not choices.verbose:
        say(_render_fallback(endpoint))


def _render_fallback(endpoint: Endpoint) -> str:
    return (
        f"note: no endpoint is configured, so this uses {endpoint.address} "
        "(linkedclone endpoints add NAME URL makes another the default)"
    )
