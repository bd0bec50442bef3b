"""What a clone request has to know of a snapshot's hardware: disks and network cards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyVmomi import vim

from linkedclone.drivers.vsphere.disks import is_disk, is_independent
from linkedclone.drivers.vsphere.native import Native


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The parts of a snapshot's hardware that need special care in a clone.

    Attributes:
        disks: Device keys of all disks, each with whether it is independent.
        manual_cards: Network cards whose MAC address was set by hand.
    """

    disks: tuple[tuple[int, bool], ...] = ()
    manual_cards: tuple[Native, ...] = ()


def build_shape(devices: Iterable[Native]) -> Shape:
    """Return the shape of a snapshot's devices."""
    every = tuple(devices)
    return Shape(
        disks=tuple((device.key, is_independent(device)) for device in every if is_disk(device)),
        manual_cards=tuple(device for device in every if _is_manual(device)),
    )


def _is_manual(device: Native) -> bool:
    card = isinstance(device, vim.vm.device.VirtualEthernetCard)
    return card and str(device.addressType or "").lower() == "manual"
