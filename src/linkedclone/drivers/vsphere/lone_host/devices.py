"""What becomes of each device of a frozen machine in a clone that is made anew. Pure.

Each kind of device is named here. A kind that is not named is refused: a device that is
left out without a word would be missed only when the clone runs.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.disks import build_new_disks
from linkedclone.drivers.vsphere.cloning.network_cards import (
    Card,
    build_backing,
    build_new_cards,
    choose_new_cards,
)
from linkedclone.drivers.vsphere.diagnosis.golden_image import build_empty_drive
from linkedclone.drivers.vsphere.inventory.device_shape import (
    Shape,
    is_card,
    is_disk,
    is_independent,
    is_passed,
    label_of,
)
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native, build_data, fields_of, kind_of
from linkedclone.errors import RefusedError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.plan import CreateClone

_KINDS: Final = vim.vm.device

_MADE_BY_HOST: Final = frozenset(
    {
        "VirtualIDEController",
        "VirtualKeyboard",
        "VirtualPCIController",
        "VirtualPointingDevice",
        "VirtualPS2Controller",
        "VirtualSIOController",
    }
)
"""Devices that each VM has from the beginning, with the same keys; they have no settings
[fact: vs-esxi-default-devices]."""

_EDITED: Final = frozenset({"VirtualMachineVMCIDevice", "VirtualMachineVideoCard"})
"""Devices of that sort that have settings."""

_ADDED: Final = frozenset(
    {
        "ParaVirtualSCSIController",
        "VirtualAHCIController",
        "VirtualBusLogicController",
        "VirtualEnsoniq1371",
        "VirtualHdAudioCard",
        "VirtualLsiLogicController",
        "VirtualLsiLogicSASController",
        "VirtualNVMEController",
        "VirtualPrecisionClock",
        "VirtualSoundBlaster16",
        "VirtualUSBController",
        "VirtualUSBXHCIController",
        "VirtualWDT",
    }
)
_CARDS: Final = frozenset(
    {
        "VirtualE1000",
        "VirtualE1000e",
        "VirtualPCNet32",
        "VirtualVmxnet",
        "VirtualVmxnet2",
        "VirtualVmxnet3",
        "VirtualVmxnet3Vrdma",
    }
)
_DRIVES: Final = frozenset({"VirtualCdrom", "VirtualFloppy"})
_PORTS: Final = frozenset({"VirtualParallelPort", "VirtualSerialPort"})
_KNOWN: Final = _MADE_BY_HOST | _EDITED | _ADDED | _CARDS | _DRIVES | _PORTS | {"VirtualDisk"}

_PMEM: Final = frozenset({"VirtualNVDIMM", "VirtualNVDIMMController"})

_CHAINED: Final = frozenset(
    {
        "VirtualDiskFlatVer1BackingInfo",
        "VirtualDiskFlatVer2BackingInfo",
        "VirtualDiskSeSparseBackingInfo",
        "VirtualDiskSparseVer1BackingInfo",
        "VirtualDiskSparseVer2BackingInfo",
    }
)
"""Backings by files of a disk's own."""

_OWN: Final = frozenset(
    {
        # What the host says of a device, and cannot be told.
        "device",
        "deviceInfo",
        "diskChainBrokenIssue",
        "diskObjectId",
        "nativeUnmanagedLinkedClone",
        "running",
        # What tells it from others.
        "addressType",
        "externalId",
        "id",
        "macAddress",
        "subnetId",
        "vDiskId",
        "vDiskVersion",
        # What a vCenter manages, or managed.
        "deviceGroupInfo",
        "independentFilters",
        "iofilter",
        "resourceAllocation",
        "shares",
        "vFlashCacheConfigInfo",
        # What is built anew.
        "backing",
        "capacityInBytes",
        "capacityInKB",
        "connectable",
        "virtualDiskFormat",
    }
)
"""Fields of devices that are not carried over."""


def base_name(directory: str) -> str:
    """Return what the files in a VM's own folder are called after."""
    return split_file_name(directory)[1].rpartition("/")[2]


def name_disks(shape: Shape, directory: str) -> dict[int, str]:
    """Return the path of each disk of a clone, by device key: all lie in its own folder."""
    return {key: _name_disk(directory, number) for number, (key, _) in enumerate(shape.disks)}


def _name_disk(directory: str, number: int) -> str:
    return f"{directory}/{base_name(directory)}{f'_{number}' if number else ''}.vmdk"


# -- what cannot be carried over -------------------------------------------------------


def check_devices(step: CreateClone, shape: Shape) -> None:
    """Refuse a step with devices that a clone cannot have, by the first of them."""
    for device in shape.devices:
        if reason := find_hindrance(device, linked=step.disk_move.linked):
            raise RefusedError(
                f"{label_of(device)} of {step.source.name} cannot be carried over to a clone at "
                f"a lone ESXi host: {reason[0]}",
                hint=f"{reason[1]} and take a new snapshot",
            )
    for card in choose_new_cards(step, shape):
        _check_card(step, card)
    first = next(filter(is_disk, shape.devices), None)
    size = step.hardware.disk_bytes
    if size is not None and first is not None and size < first.capacityInBytes:
        raise RefusedError(
            f"{label_of(first)} of {step.source.name} cannot shrink",
            hint="leave ``hardware.disk_bytes`` out",
        )


def examine_devices(devices: Iterable[Native]) -> Iterator[Finding]:
    """Tell what keeps a VM with these devices from being cloned."""
    clean = True
    for device in devices:
        for what, remedy in filter(None, [find_hindrance(device, linked=True)]):
            clean = False
            yield Finding(
                check="devices",
                verdict=Verdict.FAILED,
                text=f"no clone can have {label_of(device)}: {what}",
                remedy=remedy,
            )
    if clean:
        yield Finding(check="devices", verdict=Verdict.OK, text="clones can have all of them")


def find_hindrance(device: Native, *, linked: bool) -> tuple[str, str] | None:
    """Say why a device cannot be in a clone, and what helps; None if it can."""
    kind = kind_of(device)
    if is_passed(device):
        return "it is a device of the host", "remove it"
    if kind == "VirtualTPM":
        return "a virtual TPM needs a key provider, and a copy would have its secrets", "remove it"
    if kind in _PMEM:
        return "it is persistent memory, which is in no snapshot", "remove it"
    if kind not in _KNOWN:
        return f"a {kind} is not known here", "remove it"
    if getattr(device, "sharedBus", None) not in {None, "noSharing"}:
        return "its bus is shared", "end the sharing"
    if kind in _PORTS and isinstance(device.backing, _KINDS.VirtualDevice.DeviceBackingInfo):
        return "it is a device of the host", "remove it"
    return _find_disk_hindrance(device, linked=linked) if is_disk(device) else None


def _find_disk_hindrance(disk: Native, *, linked: bool) -> tuple[str, str] | None:
    backing = disk.backing
    if kind_of(backing) not in _CHAINED:
        return "it is a raw device or persistent memory", "make it a virtual disk"
    if getattr(backing, "keyId", None) is not None:
        return "it is encrypted", "decrypt it"
    if getattr(backing, "sharing", None) == "sharingMultiWriter":
        return "several VMs write to it", "end the sharing"
    if linked and is_independent(disk):
        return "it is independent, so that no snapshot holds it", "make it a dependent disk"
    return None


def _check_card(step: CreateClone, card: Card) -> None:
    """Refuse networks that only a vCenter knows."""
    switched = card.network is not None and card.network.portgroup_key
    old = card.old if card.network is None else None
    if not switched and (old is None or isinstance(old.backing, _HOST_NETWORKS)):
        return
    told = label_of(card.old) if card.old is not None else "a new network card"
    raise RefusedError(
        f"{told} of {step.source.name} is on a network that only a vCenter knows",
        hint="put it on a network of the host: ``hardware.nics.remap``",
    )


_HOST_NETWORKS: Final = (
    _KINDS.VirtualEthernetCard.NetworkBackingInfo,
    _KINDS.VirtualEthernetCard.LegacyNetworkBackingInfo,
)


# -- what is sent ------------------------------------------------------------------------


def build_devices(
    step: CreateClone, shape: Shape, directory: str, copies: Mapping[int, str]
) -> Iterator[Native]:
    """Yield the changes that give a new VM the devices of a frozen one, in their order."""
    cards = choose_new_cards(step, shape)
    kept = {card.old.key: card for card in cards if card.old is not None}
    paths = name_disks(shape, directory)
    for device in shape.devices:
        if is_disk(device):
            yield _build_disk(device, paths[device.key], copies.get(device.key, ""))
        elif not is_card(device):
            yield from _build_other(device)
        elif device.key in kept:
            yield _change("add", _build_card(kept[device.key]))
    for change in build_new_cards(cards):
        yield _generate_address(change)
    for number, change in enumerate(build_new_disks(step, shape), len(paths)):
        change.device.backing.fileName = _name_disk(directory, number)
        yield change


def _build_other(device: Native) -> Iterator[Native]:
    kind = kind_of(device)
    if kind in _DRIVES:
        yield _change("add", build_empty_drive(device))
    elif kind in _EDITED:
        yield _change("edit", _carry(device))
    elif kind in _ADDED or (kind in _PORTS and not _is_file(device)):
        yield _change("add", _carry(device, **_keep_backing(device)))


def _is_file(port: Native) -> bool:
    """Say whether a port writes to a file: to the parent's, as it is."""
    return isinstance(port.backing, _KINDS.VirtualDevice.FileBackingInfo)


def _keep_backing(device: Native) -> dict[str, Native]:
    had = device.connectable
    kept = {"backing": device.backing} if device.backing is not None else {}
    return kept if had is None else {**kept, "connectable": _build_connection(had)}


def _build_disk(disk: Native, path: str, copy: str) -> Native:
    """Return what adds a disk: a finished copy, or an empty child of the frozen file.

    A capacity of 0 is that of the parent, or of the copy [fact: vs-esxi-child-disk].
    """
    kind = type(disk.backing)
    if copy:
        flat = _KINDS.VirtualDisk.FlatVer2BackingInfo
        mode = disk.backing.diskMode if is_independent(disk) else "persistent"
        backing = build_data(flat, fileName=copy, diskMode=mode)
        return _change("add", _carry(disk, backing=backing))
    backing = build_data(
        kind,
        fileName=path,
        diskMode="persistent",
        parent=build_data(kind, fileName=disk.backing.fileName, diskMode="persistent"),
    )
    change = _change("add", _carry(disk, backing=backing))
    change.fileOperation = "create"
    return change


def _build_card(card: Card) -> Native:
    """Return a card of the parent with an address of its own.

    It keeps its PCI slot, after which the guest names it [fact: ci-card-names].
    """
    old = card.old
    if card.network is not None:
        backing = build_backing(card.network)
    else:
        backing = build_data(type(old.backing), deviceName=old.backing.deviceName)
    address = {"addressType": "manual", "macAddress": card.mac}
    return _carry(
        old,
        backing=backing,
        connectable=_build_connection(old.connectable),
        **(address if card.mac else {"addressType": _GENERATED}),
    )


_GENERATED: Final = "generated"
"""A host makes the address up; "assigned" is by vCenter [fact: vs-esxi-mac]."""


def _generate_address(change: Native) -> Native:
    if not change.device.macAddress:
        change.device.addressType = _GENERATED
    return change


def _build_connection(had: Native) -> Native:
    start = had.startConnected if had is not None else True
    return build_data(
        _KINDS.VirtualDevice.ConnectInfo,
        startConnected=start,
        allowGuestControl=had.allowGuestControl if had is not None else True,
        connected=start,
    )


def _carry(device: Native, **changes: Native) -> Native:
    """Return a device as it can be sent, with the key that other devices refer to it by."""
    told = {
        name: value
        for name, _, value in fields_of(device)
        if name not in _OWN and value is not None and not (isinstance(value, list) and not value)
    }
    return build_data(type(device), **(told | changes))


def _change(operation: str, device: Native) -> Native:
    return build_data(_KINDS.VirtualDeviceSpec, operation=operation, device=device)
