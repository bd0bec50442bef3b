"""What a frozen machine, and what is asked for, come to in the request of a lone ESXi host.

Every kind of device and every field of a configuration that the API has is in a table of
``golden/``: a kind or a field that a newer pyVmomi brings fails here until somebody has said
what becomes of it.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, replace
from typing import Any, Final

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.preview import render
from linkedclone.drivers.vsphere.lone_host.create_spec import (
    build_create_spec,
    check_create_spec,
    freeze,
)
from linkedclone.drivers.vsphere.lone_host.devices import examine_devices
from linkedclone.errors import InputError, LinkedCloneError, RefusedError, UnsupportedError
from linkedclone.model.customization import CloudInit, Customization, GuestOs
from linkedclone.model.findings import Verdict
from linkedclone.model.guest import Guest
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import DiskMove, Hardware, Network, NewDisk, Nic
from tests.unit.drivers.vsphere.build import TARGET, card, disk, step
from tests.unit.drivers.vsphere.lone_host.samples import list_devices, sample

Golden = Callable[[str, object], None]

KINDS: Final = vim.vm.device
FOLDER: Final = "[ssd1] desk-001"
FILE: Final = "[ssd1] golden/golden.vmdk"
SCSI: Final = KINDS.ParaVirtualSCSIController(
    key=1000, busNumber=0, sharedBus="noSharing", scsiCtlrUnitNumber=7, device=[2000]
)
CARD: Final = card("assigned")
NETWORKS: Final = (
    Network(wanted="LAN", id="network-7", name="LAN"),
    Network(wanted="far", id="g-9", name="far", switch_uuid="50 1e", portgroup_key="g-9"),
)


def config(*devices: Any, **more: Any) -> Any:
    """The configuration of a machine with one disk, and more devices."""
    first = disk(FILE, controllerKey=1000, unitNumber=0)
    hardware = vim.vm.VirtualHardware(
        numCPU=4, numCoresPerSocket=2, memoryMB=1024, device=[SCSI, first, *devices]
    )
    given = {"version": "vmx-19", "guestId": "debian11_64Guest", "annotation": "the parent"}
    return vim.vm.ConfigInfo(hardware=hardware, **{**given, **more})


def request_of(frozen: Any, wanted: CreateClone, copies: Mapping[int, str] | None = None) -> Any:
    """The request that makes a clone, if none of it is refused."""
    machine = freeze(frozen)
    check_create_spec(wanted, machine)
    return build_create_spec(wanted, machine, FOLDER, copies or {})


def show(frozen: Any, wanted: CreateClone | None = None, **more: Any) -> dict[str, Any]:
    """The same as plain data."""
    shown: dict[str, Any] = render(request_of(frozen, wanted or step(), **more))
    return shown


def changes(shown: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the plain request; of lists the entries that it does not have."""
    found: dict[str, Any] = {}
    for name, value in {**dict.fromkeys(plain), **shown}.items():
        had = plain.get(name)
        if isinstance(value, list) and isinstance(had, list):
            found[name] = [one for one in value if one not in had]
            found[f"{name}, left out"] = [one for one in had if one not in value]
        elif value != had:
            found[name] = value
    return {name: value for name, value in found.items() if value != []}


# -- devices -----------------------------------------------------------------------------


def show_devices(*, full: bool = False) -> dict[str, object]:
    """What each kind of device adds to the request; of a full clone, of disks alone."""
    wanted = step(disk_move=DiskMove.SHARED if full else DiskMove.LINKED)
    copies = {2000: "[a] c.vmdk", 9000: "[a] d.vmdk"} if full else {}
    plain = show(config(), wanted, copies=copies)
    found: dict[str, object] = {}
    for name, device in list_devices():
        if full and not name.startswith("VirtualDisk "):
            continue
        try:
            shown = show(config(device), wanted, copies=copies)
            found[name] = changes(shown, plain).get("deviceChange", [])
        except LinkedCloneError as error:
            found[name] = f"{type(error).__name__}: {error.brief}"
    return found


def test_each_kind_of_device_becomes_what_it_did(golden: Golden) -> None:
    """What is not sent is what a host makes by itself, or would be a file of the parent."""
    devices = show_devices()
    golden("devices", devices)
    left_out = {name for name, shown in devices.items() if shown == []}
    assert left_out == {
        "VirtualIDEController",
        "VirtualKeyboard",
        "VirtualPCIController",
        "VirtualParallelPort FileBackingInfo",
        "VirtualPointingDevice DeviceBackingInfo",
        "VirtualPS2Controller",
        "VirtualSIOController",
        "VirtualSerialPort FileBackingInfo",
    }


def test_each_kind_of_disk_of_a_full_clone_is_a_copy(golden: Golden) -> None:
    golden("copied-disks", show_devices(full=True))


def flawed(device: Any, **backing: Any) -> Any:
    device = copy(device)
    device.backing = copy(device.backing)
    for name, value in backing.items():
        setattr(device.backing, name, value)
    return device


SECOND: Final = disk("[ssd1] golden/b.vmdk", key=2001, controllerKey=1000, unitNumber=1)
REFUSED: Final[Mapping[str, Any]] = {
    "independent": flawed(SECOND, diskMode="independent_persistent"),
    "several VMs write": flawed(SECOND, sharing="sharingMultiWriter"),
    "encrypted": flawed(SECOND, keyId=vim.encryption.CryptoKeyId(keyId="k")),
    "bus is shared": KINDS.ParaVirtualSCSIController(key=1001, sharedBus="physicalSharing"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_no_clone_can_have_is_refused_by_its_name(why: str) -> None:
    with pytest.raises(RefusedError, match=why) as caught:
        show(config(REFUSED[why]))
    assert " of golden cannot be carried over" in caught.value.brief


def test_a_golden_image_is_told_what_no_clone_of_it_can_have() -> None:
    found = list(examine_devices([SCSI, CARD, SECOND, *REFUSED.values()]))
    assert [one.verdict for one in found] == [Verdict.FAILED] * len(REFUSED)
    assert all(why in one.text for why, one in zip(REFUSED, found, strict=True))
    assert [one.verdict for one in examine_devices([SCSI, CARD])] == [Verdict.OK]


def test_an_independent_disk_can_be_copied() -> None:
    wanted = step(disk_move=DiskMove.SHARED)
    copies = {2000: "[ssd1] desk-001/desk-001.vmdk", 2001: "[ssd1] desk-001/desk-001_1.vmdk"}
    added: list[Any] = [
        one.device.backing
        for one in request_of(config(REFUSED["independent"]), wanted, copies).deviceChange
        if isinstance(one.device, KINDS.VirtualDisk)
    ]
    assert [(one.fileName, one.diskMode, one.parent) for one in added] == [
        (copies[2000], "persistent", None),
        (copies[2001], "independent_persistent", None),
    ]


def test_an_encrypted_vm_is_refused() -> None:
    with pytest.raises(RefusedError, match="golden is encrypted"):
        show(config(keyId=vim.encryption.CryptoKeyId(keyId="k")))


# -- the configuration -------------------------------------------------------------------

NESTED: Final = {"hardware", "flags", "bootOptions", "tools", "defaultPowerOps"}
"""Parts whose fields are each looked at."""


def list_fields() -> dict[str, Any]:
    """A configuration for each field of it, in which that field is set."""
    found: dict[str, Any] = {}
    for info in vim.vm.ConfigInfo._GetPropertyList():
        if info.name in {"dynamicType", "dynamicProperty"}:
            continue
        if info.name not in NESTED:
            found[info.name] = config(**{info.name: sample(info.type, info.name)})
            continue
        for inner in info.type._GetPropertyList():
            if inner.name in {"dynamicType", "dynamicProperty", "device"}:
                continue
            one = config()
            part = one.hardware if info.name == "hardware" else info.type()
            setattr(part, inner.name, sample(inner.type, inner.name))
            setattr(one, info.name, part)
            found[f"{info.name}.{inner.name}"] = one
    return found


def show_fields() -> dict[str, object]:
    plain = show(config())
    found: dict[str, object] = {}
    for name, one in list_fields().items():
        try:
            found[name] = changes(show(one), plain)
        except LinkedCloneError as error:
            found[name] = f"{type(error).__name__}: {error.brief}"
    return found


LEFT_OUT: Final = {
    # Who the parent is, and where it is.
    "changeVersion", "createDate", "datastoreUrl", "files", "instanceUuid", "locationId",
    "modified", "name", "swapStorageObjectId", "template", "uuid", "vmStorageObjectId",
    "npivDesiredNodeWwns", "npivDesiredPortWwns", "npivNodeWorldWideName", "npivOnNonRdmDisks",
    "npivPortWorldWideName", "npivTemporaryDisabled", "npivWorldWideNameType",
    # What the host works out.
    "guestFullName", "hotPlugMemoryIncrementSize", "hotPlugMemoryLimit", "initialOverhead",
    "vmxConfigChecksum", "vmxRuntimeConfig", "guestArchitecture", "forkConfigInfo",
    "tools.lastInstallInfo", "tools.toolsInstallType",
    "tools.toolsVersion", "flags.snapshotLocked", "guestIntegrityInfo",
    # What a vCenter manages.
    "contentLibItemInfo", "deviceGroups", "ftEncryptionMode", "ftInfo",
    "managedBy", "metroFtEnabled", "metroFtHostGroup", "migrateEncryption", "pmemFailoverEnabled",
    "repConfig", "scheduledHardwareUpgradeInfo", "tools.customizationKeyId",
    "tools.pendingCustomization", "vAppConfig", "flags.faultToleranceType",
    # What is over, or starts anew with the clone's own disks.
    "bootOptions.enterBIOSSetup", "changeTrackingEnabled", "deviceSwap",
    # What hosts no longer know.
    "defaultPowerOps.powerOffType", "defaultPowerOps.resetType", "defaultPowerOps.suspendType",
    "flags.recordReplayEnabled", "flags.runWithDebugInfo", "flags.useToe", "networkShaper",
    "pmem", "vFlashCacheReservation", "guestMonitoringModeInfo",
    # Settings that are not of the hardware; see below.
    "extraConfig",
}  # fmt: skip


def test_each_field_of_a_configuration_becomes_what_it_did(golden: Golden) -> None:
    shown = show_fields()
    golden("fields", shown)
    assert {name for name, one in shown.items() if one == {}} == LEFT_OUT


def test_settings_of_the_hardware_are_carried_over_and_no_others() -> None:
    kept = {
        "disk.EnableUUID": "TRUE",
        "svga.autodetect": "TRUE",
        "isolation.tools.copy.disable": "1",
    }
    gone = {
        "guestinfo.metadata": "x", "uuid.bios": "x", "vc.uuid": "x", "nvram": "golden.nvram",
        "ethernet0.generatedAddress": "x", "sched.swap.derivedName": "/x.vswp",
        "migrate.hostLog": "x", "pciPassthru0.id": "x", "linkedclone.pool": "x",
        "scsi0:0.ctkEnabled": "TRUE", "a.setting.of.tomorrow": "x",
    }  # fmt: skip
    entries = [vim.option.OptionValue(key=k, value=v) for k, v in (kept | gone).items()]
    wanted = step(hardware=Hardware(extra_config=(("svga.autodetect", ""), ("guestinfo.a", "b"))))
    sent = {
        one.key: one.value for one in request_of(config(extraConfig=entries), wanted).extraConfig
    }
    ours = {key for key in sent if key.startswith("linkedclone.")}
    assert {key: value for key, value in sent.items() if key not in ours} == {
        "disk.EnableUUID": "TRUE",
        "isolation.tools.copy.disable": "1",
        "guestinfo.a": "b",
        "nvram": "desk-001.nvram",
    }
    assert sent["linkedclone.uuid"] == step().uuid
    assert "linkedclone.pool" not in ours


def test_memory_that_was_reserved_whole_is_so_at_another_size() -> None:
    reserved = vim.ResourceAllocationInfo(reservation=1024, limit=-1)
    frozen = config(memoryAllocation=reserved, memoryReservationLockedToMax=True)
    wanted = step(hardware=Hardware(memory_bytes=4 << 30))
    assert request_of(frozen, wanted).memoryAllocation.reservation == 4096
    assert request_of(frozen, step()).memoryAllocation.reservation == 1024


def test_the_boot_order_names_no_card_that_is_gone() -> None:
    order = vim.vm.BootOptions
    devices = [
        order.BootableEthernetDevice(deviceKey=4000),
        order.BootableDiskDevice(deviceKey=2000),
    ]
    frozen = config(CARD, bootOptions=order(bootOrder=[*devices, order.BootableCdromDevice()]))
    gone = step(hardware=Hardware(nics=(Nic(action="remove", index=0),)))
    assert len(request_of(frozen, step()).bootOptions.bootOrder) == 3
    kept = request_of(frozen, gone).bootOptions.bootOrder
    assert [getattr(one, "deviceKey", None) for one in kept] == [2000, None]


# -- what is asked for -------------------------------------------------------------------

GUEST: Final = Guest(
    host_name="desk-001",
    instance_id="id-1",
    customization=Customization(os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(transport="guestinfo")),
)


def hardware(**wanted: Any) -> CreateClone:
    return step(hardware=Hardware(**wanted), target=replace(TARGET, networks=NETWORKS))


ASKED: Final[Mapping[str, CreateClone]] = {
    "Hardware.cpus": hardware(cpus=8),
    "Hardware.cores_per_socket": hardware(cores_per_socket=4),
    "Hardware.memory_bytes": hardware(memory_bytes=8 << 30),
    "Hardware.cpu_hot_add": hardware(cpu_hot_add=True),
    "Hardware.memory_hot_add": hardware(memory_hot_add=False),
    "Hardware.extra_config": hardware(extra_config=(("guestinfo.a", "b c"),)),
    "Hardware.disks": hardware(disks=(NewDisk(capacity_bytes=1 << 30),) * 2),
    "Hardware.disks, thick": hardware(disks=(NewDisk(capacity_bytes=1 << 30, thin=False),)),
    "Hardware.nics, another network": hardware(nics=(Nic(action="remap", network="LAN"),)),
    "Hardware.nics, one more": hardware(nics=(Nic(action="add", network="LAN"),)),
    "Hardware.nics, none": hardware(nics=(Nic(action="remove"),)),
    "Hardware.disk_bytes": hardware(disk_bytes=10 << 30),
    "Hardware.disk_bytes, less": hardware(disk_bytes=5 << 30),
    "Hardware.keep_tpm": hardware(keep_tpm=True),
    "CreateClone.macs": step(macs=("00:50:56:00:00:09",)),
    "CreateClone.annotation": step(annotation="for Ada"),
    "CreateClone.guest": step(guest=GUEST),
    "a distributed port group": hardware(nics=(Nic(action="remap", network="far"),)),
    "cores that do not fit": hardware(cpus=3),
    "one more card of a distributed port group": hardware(nics=(Nic(action="add", network="far"),)),
}


def test_what_is_asked_for_becomes_what_it_did(golden: Golden) -> None:
    plain = show(config(CARD))
    found: dict[str, object] = {}
    for name, wanted in ASKED.items():
        try:
            found[name] = changes(show(config(CARD), wanted), plain)
        except LinkedCloneError as error:
            found[name] = f"{type(error).__name__}: {error.brief}"
    golden("asked", {"plain": plain, **found})


def test_every_field_of_the_hardware_that_is_asked_for_is_in_the_table() -> None:
    elsewhere = {"firmware", "display"}  # refused by the features of the endpoint
    every = {f"Hardware.{one.name}" for one in fields(Hardware) if one.name not in elsewhere}
    assert every <= {name.partition(",")[0] for name in ASKED}


def test_a_customization_that_a_vcenter_carries_out_is_refused() -> None:
    guest = replace(GUEST, customization=Customization(os=GuestOs.LINUX, domain="example.org"))
    with pytest.raises(UnsupportedError, match="a vCenter does that"):
        show(config(CARD), step(guest=guest))


def test_the_tpm_that_is_to_be_kept_has_to_be_there() -> None:
    with pytest.raises(InputError, match="no virtual TPM"):
        show(config(), hardware(keep_tpm=True))
