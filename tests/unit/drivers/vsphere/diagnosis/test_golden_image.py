"""What is found of a golden image's devices, tools and guest: a table of single troubles."""

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.diagnosis.golden_image import (
    build_ejection,
    examine,
    examine_alone,
)
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.model.findings import Verdict

DEVICE = vim.vm.device


def label(text: str) -> Native:
    return vim.Description(label=text, summary="")


def disk(backing: Native, **more: object) -> Native:
    return DEVICE.VirtualDisk(key=2000, deviceInfo=label("Hard disk 1"), backing=backing, **more)


def drive(*, connected: bool = False, starts: bool = False) -> Native:
    return DEVICE.VirtualCdrom(
        key=3000,
        controllerKey=200,
        unitNumber=0,
        deviceInfo=label("CD/DVD drive 1"),
        connectable=DEVICE.VirtualDevice.ConnectInfo(
            connected=connected, startConnected=starts, allowGuestControl=True
        ),
        backing=DEVICE.VirtualCdrom.IsoBackingInfo(fileName="[ds] a.iso"),
    )


def card(address: str = "assigned") -> Native:
    return DEVICE.VirtualVmxnet3(
        key=4000, deviceInfo=label("Network adapter 1"), addressType=address
    )


FLAT = disk(DEVICE.VirtualDisk.FlatVer2BackingInfo(fileName="[ds] a/a.vmdk"))


def seen(*devices: Native, **more: object) -> Seen:
    values = {
        "config.hardware.device": list(devices),
        "config.guestId": "debian12_64Guest",
        "config.tools.toolsVersion": 12389,
        "guest.toolsVersionStatus2": "guestToolsUnmanaged",
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return Seen(kind="VirtualMachine", id="vm-1", values=values)


GOOD = seen(FLAT, card(), drive())


def test_at_a_lone_host_no_vcenter_customizes_and_no_drive_comes_along() -> None:
    loaded = seen(card(), drive(connected=True), config__guestId="otherGuest")
    assert {one.check for one in examine_alone(loaded)} == {"tools", "network cards"}
    assert {one.verdict for one in examine_alone(loaded)} == {Verdict.OK}


def test_a_good_image_gives_no_trouble() -> None:
    found = examine(GOOD)
    assert {one.check for one in found} == {"tools", "guest", "media", "network cards"}
    assert {one.verdict for one in found} == {Verdict.OK}


RAW = DEVICE.VirtualDisk.RawDiskMappingVer1BackingInfo
CASES = {
    "no tools": (seen(FLAT, card(), guest__toolsVersionStatus2="guestToolsNotInstalled"), "tools"),
    "never seen tools": (
        seen(FLAT, card(), guest__toolsVersionStatus2=None, config__tools__toolsVersion=None),
        "tools",
    ),
    "old tools": (seen(FLAT, card(), guest__toolsVersionStatus2="guestToolsTooOld"), "tools"),
    "unknown guest": (seen(FLAT, card(), config__guestId="otherGuest"), "guest"),
    "no guest": (seen(FLAT, card(), config__guestId=""), "guest"),
    "connected drive": (seen(FLAT, card(), drive(connected=True)), "media"),
    "drive at the next start": (seen(FLAT, card(), drive(starts=True)), "media"),
    "physical raw device": (seen(disk(RAW(compatibilityMode="physicalMode")), card()), "disks"),
    "virtual raw device": (seen(disk(RAW(compatibilityMode="virtualMode")), card()), "disks"),
    "native clone": (
        seen(disk(FLAT.backing, nativeUnmanagedLinkedClone=True), card()),
        "disks",
    ),
    "native delta": (
        seen(disk(DEVICE.VirtualDisk.FlatVer2BackingInfo(deltaDiskFormat="nativeFormat")), card()),
        "disks",
    ),
    "no card": (seen(FLAT), "network cards"),
    "manual address": (seen(FLAT, card("manual")), "network cards"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_trouble_gives_one_warning_with_its_remedy(name: str) -> None:
    what, check = CASES[name]
    (trouble,) = [one for one in examine(what) if one.verdict is not Verdict.OK]
    assert (trouble.check, trouble.verdict) == (check, Verdict.WARNING)
    assert trouble.remedy


def test_sesparse_disks_are_reported() -> None:
    found = examine(seen(disk(DEVICE.VirtualDisk.SeSparseBackingInfo()), card()))
    assert any("SEsparse" in one.text for one in found if one.check == "disks")


def test_only_loaded_drives_are_emptied_and_all_drives_stay() -> None:
    spec = build_ejection([FLAT, drive(), drive(connected=True), drive(starts=True)])
    assert [change.operation for change in spec.deviceChange] == ["edit", "edit"]
    emptied = spec.deviceChange[0].device
    assert isinstance(emptied.backing, DEVICE.VirtualCdrom.RemotePassthroughBackingInfo)
    assert (emptied.key, emptied.controllerKey, emptied.unitNumber) == (3000, 200, 0)
    assert not emptied.connectable.connected
    assert not emptied.connectable.startConnected
