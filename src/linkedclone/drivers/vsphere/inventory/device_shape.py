"""What a clone request has to know of the hardware that is cloned: disks, cards, processors."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.devices import is_left_out
from linkedclone.drivers.vsphere.native import Native, kind_of
from linkedclone.model.plan import CreateClone

_PASSED: Final = frozenset(
    {
        "VirtualPCIPassthrough",
        "VirtualSCSIPassthrough",
        "VirtualSriovEthernetCard",
        "VirtualUSB",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The parts of a snapshot's hardware that need special care in a clone."""

    # Device keys of all disks, each with whether it is independent.
    disks: tuple[tuple[int, bool], ...] = ()
    manual_cards: tuple[Native, ...] = ()  # network cards whose MAC address was set by hand
    tpm: bool = False
    cpus: int | None = None
    # How many of them share a socket; None where unknown or left to the server.
    cores_per_socket: int | None = None
    # All devices, in a form that can be sent back; empty in a shape that was read for a plain
    # clone.
    devices: tuple[Native, ...] = ()


def build_shape(
    devices: Iterable[Native],
    *,
    cpus: int | None = None,
    cores_per_socket: int | None = None,
    whole: bool = False,
) -> Shape:
    """Return the shape of these devices; ``whole`` keeps them all."""
    every = tuple(devices)
    return Shape(
        disks=tuple((device.key, is_independent(device)) for device in every if is_disk(device)),
        manual_cards=tuple(device for device in every if is_card(device) and is_manual(device)),
        tpm=any(isinstance(device, vim.vm.device.VirtualTPM) for device in every),
        cpus=cpus or None,
        cores_per_socket=cores_per_socket or None,
        devices=every if whole else (),
    )


def needs_devices(step: CreateClone) -> bool:
    """Say whether all devices have to be known: some are changed, or the cards are counted."""
    hardware = step.hardware
    if step.guest is not None or step.target.customization_spec:
        return True
    return bool(hardware.nics or hardware.disks or step.macs or hardware.disk_bytes is not None)


def is_passed(device: Native) -> bool:
    """Say whether a device is one of the host that a VM has for itself."""
    return kind_of(device) in _PASSED


def is_card(device: Native) -> bool:
    """Say whether a device is a network card."""
    return isinstance(device, vim.vm.device.VirtualEthernetCard)


def is_manual(card: Native) -> bool:
    """Say whether a card's MAC address was set by hand, so that a clone would inherit it."""
    return str(card.addressType or "").lower() == "manual"


def is_told(card: Native) -> bool:
    """Say whether the server tells of a card what every card of a running VM has."""
    return bool(card.macAddress) and card.connectable is not None


def list_cards(step: CreateClone, shape: Shape) -> tuple[Native, ...]:
    """Return the cards that a clone will have, in the order of its hardware; None for a new one."""
    cards = [device for device in shape.devices if is_card(device)]
    removed = {nic.index for nic in step.hardware.nics if nic.action == "remove"}
    new = sum(nic.action == "add" for nic in step.hardware.nics)
    kept = (card for index, card in enumerate(cards) if index not in removed)
    return (*kept, *(None,) * new)


def slot_of(card: Native) -> int | None:
    """Return the PCI slot of a card of a snapshot; None for a new one, or one without."""
    slot = getattr(getattr(card, "slotInfo", None), "pciSlotNumber", None)
    return None if slot is None or slot < 0 else int(slot)


def is_disk(device: Native) -> bool:
    """Say whether a device is a virtual disk."""
    return isinstance(device, vim.vm.device.VirtualDisk)


def is_independent(disk: Native) -> bool:
    """Say whether snapshots leave the disk out."""
    mode = getattr(disk.backing, "diskMode", None)
    return is_left_out(mode, getattr(disk.backing, "compatibilityMode", None))


def label_of(device: Native) -> str:
    """Return what people call a device (``Hard disk 1``)."""
    if device.deviceInfo:
        return str(device.deviceInfo.label)
    return f"{'disk' if is_disk(device) else 'device'} {device.key}"
