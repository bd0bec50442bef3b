"""Open an endpoint, however it was named."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.paths import log_folder
from linkedclone.config.resolve_endpoint import resolve_endpoint
from linkedclone.drivers.registry import load_driver
from linkedclone.preload import import_ahead

if TYPE_CHECKING:
    from linkedclone.app.connection import Connection


def connect(
    endpoint: str | Endpoint | None = None, *, wording: Callable[[str], str] = str
) -> "Connection":
    """Open an endpoint.

    Args:
        endpoint: A URL (``vsphere://user@vcenter.example/DC``, ``memory:``), a
            name from the configuration file, an endpoint that was resolved
            already, or None for the default: ``LINKEDCLONE_ENDPOINT``, the
            configuration file's default, then ``GOVC_URL`` and its companions.
        wording: How the logs of runs write a text that names fields and actions
            between double backticks.

    Raises:
        InputError: There is no such endpoint, or its settings are wrong.
        EndpointError: It cannot be reached, is not trusted, or refuses the user.
    """
    found = endpoint if isinstance(endpoint, Endpoint) else resolve_endpoint(endpoint)
    return open_connection(found, wording=wording)


def open_connection(
    found: Endpoint, *, wording: Callable[[str], str] = str, ahead: Sequence[str] = ()
) -> "Connection":
    """Open an endpoint that was resolved; see :func:`connect`.

    Args:
        ahead: Modules that are needed then.
    """
    open_driver = load_driver(found)
    # The use cases are imported while the driver waits for the network: a tenth of a second.
    import_ahead("linkedclone.app.connection", *ahead)
    driver = open_driver(found)
    from linkedclone.app.connection import Connection

    return Connection(driver, address=found.address, log_folder=log_folder(), wording=wording)
