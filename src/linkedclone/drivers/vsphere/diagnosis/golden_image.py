"""What vSphere knows of a golden image beside disks and snapshots: devices, tools, guest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.device_shape import (
    is_card,
    is_disk,
    is_manual,
    label_of,
)
from linkedclone.drivers.vsphere.native import Native, kind_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import GoneError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.ids import VmId

_WANTED: Final = (
    "config.hardware.device",
    "config.guestId",
    "config.tools.toolsVersion",
    "guest.toolsVersionStatus2",
    "guest.toolsRunningStatus",
)
_NOT_INSTALLED: Final = "guestToolsNotInstalled"
_OLD_TOOLS: Final = frozenset(
    {"guestToolsNeedUpgrade", "guestToolsTooOld", "guestToolsSupportedOld", "guestToolsBlacklisted"}
)
_RAW: Final = vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo
_SESPARSE: Final = vim.vm.device.VirtualDisk.SeSparseBackingInfo


def read_parent(session: Session, collector: Collector, vm: VmId) -> tuple[Finding, ...]:
    """Read a VM and check it: one call."""
    seen = _read(session, collector, vm, _WANTED)
    return examine(seen) if session.is_vcenter else examine_alone(seen)


def read_devices(session: Session, collector: Collector, vm: VmId) -> Sequence[Native]:
    """Read the devices of a VM in a form that can be sent back: one call."""
    return _devices(_read(session, collector, vm, ("config.hardware.device",)))


def _read(session: Session, collector: Collector, vm: VmId, paths: Sequence[str]) -> Seen:
    start = session.managed("VirtualMachine", vm)
    seen = collector.read("examine the parent", [start], {"VirtualMachine": paths}).get(vm)
    if seen is None:
        raise GoneError(f"the VM {vm} no longer exists", kind="ManagedObjectNotFound")
    return seen


def examine(seen: Seen) -> tuple[Finding, ...]:
    """Check what was read of a VM. Pure."""
    devices = _devices(seen)
    return (
        _find_tools(seen),
        _find_guest(seen),
        _find_media(devices),
        *_find_disks(devices),
        _find_cards(devices),
    )


def examine_alone(seen: Seen) -> tuple[Finding, ...]:
    """Check what counts at a lone host: clones get empty drives, and no vCenter customizes. Pure.

    What of its devices clones cannot have is told by who builds their requests.
    """
    return (_find_tools(seen), _find_cards(_devices(seen)))


def _find_tools(seen: Seen) -> Finding:
    """Waiting for guests and customization need the tools [fact: vs-cust-needs-tools]."""
    check, status = "tools", str(seen.get("guest.toolsVersionStatus2") or "")
    version = seen.get("config.tools.toolsVersion")
    if status == _NOT_INSTALLED or (not status and not version):
        return Finding(
            check=check,
            verdict=Verdict.WARNING,
            text="VMware Tools were never seen to run: ``wait.tools`` and ip, quiescing and "
            "customization take them",
            remedy="install open-vm-tools or VMware Tools in the guest and start it once",
        )
    shown = f"version {version}" if version else "installed"
    if status in _OLD_TOOLS:
        return Finding(
            check=check,
            verdict=Verdict.WARNING,
            text=f"{shown}, which this vCenter finds too old ({status})",
            remedy="upgrade the tools in the guest, then take a new snapshot",
        )
    return Finding(check=check, verdict=Verdict.OK, text=shown)


def _find_guest(seen: Seen) -> Finding:
    """The guest id decides which customization vCenter runs [fact: vs-cust-guest-id]."""
    guest = str(seen.get("config.guestId") or "")
    if not guest or guest.startswith("other"):
        return Finding(
            check="guest",
            verdict=Verdict.WARNING,
            text=f"its guest system is given as {guest or 'nothing'}: vCenter customizes only "
            "systems that it knows",
            remedy="set the guest system of the parent (govc vm.change -g), then take a snapshot",
        )
    return Finding(check="guest", verdict=Verdict.OK, text=guest)


def _find_media(devices: Iterable[Native]) -> Finding:
    loaded = [label_of(device) for device in devices if _is_loaded(device)]
    if not loaded:
        return Finding(check="media", verdict=Verdict.OK, text="no CD or floppy is connected")
    return Finding(
        check="media",
        verdict=Verdict.WARNING,
        text=f"{', '.join(loaded)}: every clone needs that image or device, or does not start",
        remedy="take it out with ``disconnect_media``",
    )


def _find_disks(devices: Iterable[Native]) -> Iterator[Finding]:
    for disk in filter(is_disk, devices):
        label, backing = label_of(disk), disk.backing
        if isinstance(backing, _RAW) and backing.compatibilityMode == "physicalMode":
            yield Finding(
                check="disks",
                verdict=Verdict.WARNING,
                text=f"{label} is a physical raw device, which no snapshot holds: vCenter copies "
                "or refuses it",
                remedy="replace it by a virtual disk, or make it a virtual-mode mapping",
            )
        elif isinstance(backing, _RAW):
            yield Finding(
                check="disks",
                verdict=Verdict.WARNING,
                text=f"{label} is a raw device: all hosts of the clones have to see the LUN",
                remedy="replace it by a virtual disk if they do not",
            )
        elif disk.nativeUnmanagedLinkedClone or _is_native(backing):
            yield Finding(
                check="disks",
                verdict=Verdict.WARNING,
                text=f"{label} uses native snapshots of its array: clones stay on its datastore, "
                "and whether they are linked cannot be seen",
                remedy="leave ``placement.datastore`` out, or clone with ``disk_move.shared``",
            )
        elif isinstance(backing, _SESPARSE):
            text = f"{label} is in the SEsparse format: clones need VMFS6 or the same format"
            yield Finding(check="disks", verdict=Verdict.OK, text=text)


def _is_native(backing: Native) -> bool:
    return getattr(backing, "deltaDiskFormat", None) == "nativeFormat"


def _find_cards(devices: Iterable[Native]) -> Finding:
    cards = list(filter(is_card, devices))
    if not cards:
        return Finding(
            check="network cards",
            verdict=Verdict.WARNING,
            text="it has none, so no clone gets an address",
            remedy="add one to the parent before its snapshot is taken",
        )
    kinds = ", ".join(f"{label_of(one)} ({kind_of(one).removeprefix('Virtual')})" for one in cards)
    manual = [label_of(one) for one in filter(is_manual, cards)]
    if manual:
        return Finding(
            check="network cards",
            verdict=Verdict.WARNING,
            text=f"{kinds}; the address of {', '.join(manual)} was set by hand: clones get others",
            remedy="let vCenter assign it, if nothing in the guest depends on it",
        )
    return Finding(check="network cards", verdict=Verdict.OK, text=kinds)


def build_ejection(devices: Iterable[Native]) -> Native:
    """Return the change that empties all CD and floppy drives and leaves the drives. Pure."""
    return vim.vm.ConfigSpec(
        deviceChange=[
            vim.vm.device.VirtualDeviceSpec(operation="edit", device=build_empty_drive(device))
            for device in devices
            if _is_loaded(device)
        ]
    )


def build_empty_drive(device: Native) -> Native:
    """Return a CD or floppy drive as it is without its image or device of the host."""
    cd = isinstance(device, vim.vm.device.VirtualCdrom)
    kind = vim.vm.device.VirtualCdrom if cd else vim.vm.device.VirtualFloppy
    backing = (
        kind.RemotePassthroughBackingInfo(deviceName="", exclusive=False)
        if cd
        else kind.RemoteDeviceBackingInfo(deviceName="")
    )
    return kind(
        key=device.key,
        controllerKey=device.controllerKey,
        unitNumber=device.unitNumber,
        backing=backing,
        connectable=vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=False, allowGuestControl=True, connected=False
        ),
    )


def _is_loaded(device: Native) -> bool:
    """Say whether a drive is connected now or would be at the next start."""
    drives = (vim.vm.device.VirtualCdrom, vim.vm.device.VirtualFloppy)
    state = getattr(device, "connectable", None)
    return isinstance(device, drives) and bool(
        state is not None and (state.connected or state.startConnected)
    )


def _devices(seen: Seen) -> Sequence[Native]:
    return tuple(seen.demand("config.hardware.device"))
