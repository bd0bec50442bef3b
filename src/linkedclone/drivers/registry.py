"""Which driver serves an endpoint. The only module that names concrete drivers, each lazily."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from linkedclone.config.endpoint import Endpoint
from linkedclone.errors import InputError

if TYPE_CHECKING:
    from linkedclone.drivers.contract import Driver
    from linkedclone.drivers.vsphere.connection.tls import FetchedCertificate
    from linkedclone.model.inventory import Examination

KINDS = ("vsphere", "local", "memory")


def open_driver(endpoint: Endpoint) -> Driver:
    """Connect to an endpoint.

    Raises:
        InputError: No driver of that kind exists.
        EndpointError: It cannot be reached, its certificate is not trusted, or
            it refuses the user.
    """
    return load_driver(endpoint)(endpoint)


def load_driver(endpoint: Endpoint) -> Callable[[Endpoint], Driver]:
    """Import what an endpoint's driver needs to connect; return what opens it.

    The endpoint may be called already meanwhile.

    Raises:
        InputError: No driver of that kind exists, or a file that it needs
            cannot be read.
    """
    match endpoint.kind:
        case "vsphere":
            from linkedclone.drivers.vsphere.open import load_vsphere

            return load_vsphere(endpoint)
        case "local":
            from linkedclone.drivers.local.driver import open_local

            return open_local
        case "memory":
            from linkedclone.drivers.memory.driver import open_memory

            return open_memory
        case _:
            brief = f"there is no driver for {endpoint.kind!r}"
            raise InputError(brief, hint="known are: " + ", ".join(KINDS))


def examine_endpoint(endpoint: Endpoint) -> Examination | None:
    """Look at an endpoint without opening it, where opening it would change what is to be seen.

    None where it has to be opened: its driver has the checks and the inventory then.
    """
    if endpoint.kind != "local":
        return None
    from linkedclone.drivers.local.diagnosis.doctor import examine

    return examine(endpoint)


def fetch_certificate(endpoint: Endpoint) -> FetchedCertificate:
    """Read the certificate that an endpoint presents, without trusting it.

    Raises:
        InputError: Endpoints of that kind have none.
        EndpointError: It cannot be reached, or does not speak TLS.
    """
    if endpoint.kind != "vsphere":
        raise InputError(f"{endpoint.address} has no certificate")
    from linkedclone.drivers.vsphere.connection import tls

    return tls.fetch_certificate(endpoint.host, endpoint.port, endpoint.timeout_seconds)
