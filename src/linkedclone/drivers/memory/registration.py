"""What the registry knows of the hypervisor in memory. Of a pool's file it takes vSphere's part."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from linkedclone.drivers.registration import Registration

if TYPE_CHECKING:
    from linkedclone.config.endpoint import Endpoint
    from linkedclone.drivers.contract import Driver


def _load(_: Endpoint) -> Callable[[Endpoint], Driver]:
    from linkedclone.drivers.memory.driver import open_memory

    return open_memory


REGISTRATION: Final = Registration(load=_load)
