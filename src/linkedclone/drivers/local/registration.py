"""What the registry and the files of pools know of this machine's QEMU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from linkedclone.drivers.registration import Registration
from linkedclone.model.request import CloneRequest, DriverSettings

if TYPE_CHECKING:
    from linkedclone.config.endpoint import Endpoint
    from linkedclone.drivers.contract import Driver
    from linkedclone.model.inventory import Examination


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace(DriverSettings):
    """What only this machine's QEMU knows."""

    about: ClassVar[str] = "Place, on this machine."

    network: str = ""
    firmware: Literal["", "bios", "uefi"] = ""
    display: bool = False

    def apply_to(self, request: CloneRequest) -> CloneRequest:
        """Return the request with the network, the firmware and the screen."""
        hardware = replace(
            request.hardware,
            nics=self.remap_first_card(self.network),
            firmware=self.firmware,
            display=self.display,
        )
        return replace(request, hardware=hardware)


def _load(_: Endpoint) -> Callable[[Endpoint], Driver]:
    from linkedclone.drivers.local.driver import open_local

    return open_local


def _examine(endpoint: Endpoint) -> Examination:
    from linkedclone.drivers.local.diagnosis.doctor import examine

    return examine(endpoint)


REGISTRATION: Final = Registration(
    load=_load, pool_settings=LocalPlace, takes_accel=True, examine=_examine
)
