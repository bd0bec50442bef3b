"""Disks and their chains, from what vSphere calls devices and backings."""

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.disks import build_disks
from linkedclone.model.ids import StoreId
from linkedclone.model.observed import Layer
from tests.unit.vsphere.build import card, disk

BACKINGS = vim.vm.device.VirtualDisk


def layer(path: str, store: str = "datastore-1") -> Layer:
    return Layer(store=StoreId(store), path=path)


@pytest.mark.parametrize("kind", [BACKINGS.FlatVer2BackingInfo, BACKINGS.SeSparseBackingInfo])
def test_a_chain_comes_base_first(kind: type) -> None:
    device = disk("[ssd1] g/g.vmdk", "[ssd1] g/g-000001.vmdk", "[ssd1] d/d.vmdk", backing=kind)
    (found,) = build_disks([device], {})
    assert found.chain == (layer("g/g.vmdk"), layer("g/g-000001.vmdk"), layer("d/d.vmdk"))
    assert found.top.store_name == "ssd1"
    assert found.capacity_bytes == 10 << 30
    assert found.label == "Hard disk 1"


def test_other_devices_are_no_disks() -> None:
    assert build_disks([card("assigned"), vim.vm.device.VirtualCdrom(key=3000)], {}) == ()


def test_a_disk_without_a_file_is_left_out() -> None:
    remote = vim.vm.device.VirtualDisk(
        key=2000, backing=vim.vm.device.VirtualDevice.RemoteDeviceBackingInfo(deviceName="x")
    )
    assert build_disks([remote], {}) == ()


@pytest.mark.parametrize("mode", ["independent_persistent", "independent_nonpersistent"])
def test_independent_disks_are_told(mode: str) -> None:
    (found,) = build_disks([disk("[ssd1] g/g.vmdk", mode=mode)], {})
    assert found.independent


def test_a_physical_raw_mapping_is_independent() -> None:
    backing = BACKINGS.RawDiskMappingVer1BackingInfo(
        fileName="[ssd1] g/raw.vmdk",
        diskMode="persistent",
        compatibilityMode="physicalMode",
        datastore=vim.Datastore("datastore-1", None),
    )
    (found,) = build_disks([vim.vm.device.VirtualDisk(key=2000, backing=backing)], {})
    assert found.independent


def test_a_native_clone_hides_its_chain() -> None:
    (found,) = build_disks([disk("[vvol] d/d.vmdk", nativeUnmanagedLinkedClone=True)], {})
    assert found.hidden


def test_the_store_is_found_by_name_where_the_backing_does_not_tell() -> None:
    (found,) = build_disks([disk("[ssd1] g/g.vmdk", store=None)], {"ssd1": "datastore-5"})
    assert found.top == layer("g/g.vmdk", "datastore-5")


def test_two_stores_that_are_not_listed_stay_apart() -> None:
    (one,) = build_disks([disk("[a] g/g.vmdk", store=None)], {})
    (two,) = build_disks([disk("[b] g/g.vmdk", store=None)], {})
    assert one.top != two.top
