"""How a driver's package says what it offers before any endpoint is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkedclone.config.endpoint import Endpoint
    from linkedclone.drivers.contract import Driver
    from linkedclone.model.access import PresentedCertificate
    from linkedclone.model.inventory import Examination
    from linkedclone.model.request import DriverSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the registry knows of a driver.

    To make one imports no library of a hypervisor: its functions import what they need.

    Attributes:
        load: Imports what it takes to connect, and returns what connects. The
            endpoint may be called already meanwhile.
        pool_settings: What its section in the files of pools may hold; None where
            it has no section of its own.
        takes_accel: Whether the endpoint's ``accel`` means something to it.
        examine: Looks at an endpoint without opening it; None where it has to be opened.
        fetch_certificate: Reads the certificate that an endpoint presents, without
            trusting it; None where endpoints have none.
    """

    load: Callable[[Endpoint], Callable[[Endpoint], Driver]]
    pool_settings: type[DriverSettings] | None = None
    takes_accel: bool = False
    examine: Callable[[Endpoint], Examination] | None = None
    fetch_certificate: Callable[[Endpoint], PresentedCertificate] | None = None
