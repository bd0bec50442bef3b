"""What is asked of disks that are sent back."""

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.device_shape import is_disk, is_independent, label_of
from tests.unit.drivers.vsphere.build import card, disk


def test_disks_are_distinguished_from_other_devices() -> None:
    assert is_disk(disk("[ssd1] g/g.vmdk"))
    assert not is_disk(card("assigned"))


@pytest.mark.parametrize("mode", ["independent_persistent", "independent_nonpersistent"])
def test_independent_disks_are_reported(mode: str) -> None:
    assert is_independent(disk("[ssd1] g/g.vmdk", mode=mode))
    assert not is_independent(disk("[ssd1] g/g.vmdk"))


def test_a_physical_raw_mapping_is_independent() -> None:
    backing = vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo(
        fileName="[ssd1] g/raw.vmdk", diskMode="persistent", compatibilityMode="physicalMode"
    )
    assert is_independent(vim.vm.device.VirtualDisk(key=2000, backing=backing))


def test_a_disk_is_called_by_its_label_else_by_its_key() -> None:
    assert label_of(disk("[ssd1] g/g.vmdk")) == "Hard disk 1"
    assert label_of(vim.vm.device.VirtualDisk(key=2003)) == "disk 2003"
