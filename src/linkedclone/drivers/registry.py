"""Which driver serves an endpoint. The only module that names concrete drivers, each lazily."""

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.base import Driver
from linkedclone.errors import InputError

KINDS = ("vsphere", "memory")


def open_driver(endpoint: Endpoint) -> Driver:
    """Connect to an endpoint.

    Raises:
        InputError: No driver of that kind exists.
        EndpointError: It cannot be reached, its certificate is not trusted, or
            it refuses the user.
    """
    match endpoint.kind:
        case "vsphere":
            from linkedclone.drivers.vsphere.connect import open_vsphere

            return open_vsphere(endpoint)
        case "memory":
            from linkedclone.drivers.memory.driver import open_memory

            return open_memory(endpoint)
        case _:
            brief = f"there is no driver for {endpoint.kind!r}"
            raise InputError(brief, hint="known are: " + ", ".join(KINDS))
