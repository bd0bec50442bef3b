"""What the registry and the files of pools know of vSphere. Imports no pyVmomi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, Final

from linkedclone.drivers.registration import Registration
from linkedclone.model.request import CloneRequest, DriverSettings, Placement

if TYPE_CHECKING:
    from linkedclone.config.endpoint import Endpoint
    from linkedclone.drivers.contract import Driver
    from linkedclone.model.access import PresentedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class VspherePlace(Placement, DriverSettings):
    """What only vSphere knows: where the clones go, and their first card's network.

    Attributes:
        network: The network of the first card; empty keeps the snapshot's.
        keep_tpm: Whether a virtual TPM is copied with its secrets.
    """

    about: ClassVar[str] = "Place, on vSphere."

    network: str = ""
    keep_tpm: bool = False

    def apply_to(self, request: CloneRequest) -> CloneRequest:
        """Return the request with the place and the network."""
        place = Placement(**{one.name: getattr(self, one.name) for one in fields(Placement)})
        hardware = replace(
            request.hardware, nics=self.remap_first_card(self.network), keep_tpm=self.keep_tpm
        )
        return replace(request, placement=place, hardware=hardware)


def _load(endpoint: Endpoint) -> Callable[[Endpoint], Driver]:
    from linkedclone.drivers.vsphere.open import load_vsphere

    return load_vsphere(endpoint)


def _fetch_certificate(endpoint: Endpoint) -> PresentedCertificate:
    from linkedclone.drivers.vsphere.connection import tls

    return tls.fetch_certificate(endpoint.host, endpoint.port, endpoint.timeout_seconds)


REGISTRATION: Final = Registration(
    load=_load, pool_settings=VspherePlace, fetch_certificate=_fetch_certificate
)
