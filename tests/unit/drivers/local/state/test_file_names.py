"""Which names are ours: what has another is never removed."""

import pytest

from linkedclone.drivers.local.state.file_names import is_own_name, is_storage_name
from linkedclone.drivers.local.state.folder import is_disk_name, new_disk_name


@pytest.mark.parametrize("suffix", ["qcow2", "raw", "vmdk"])
def test_names_that_we_give_are_ours(suffix: str) -> None:
    name = new_disk_name(suffix)
    assert is_disk_name(name)
    assert is_storage_name(name)
    assert is_storage_name(f"{name}.seal")
    assert is_storage_name(f".{name}.0a1b2c3d.tmp")
    assert is_own_name(name)


@pytest.mark.parametrize(
    "name",
    ["vm.json", "lock", "run", "seed.iso", "kernel", "initrd", "known_hosts", "known_hosts.old"],
)
def test_other_files_of_a_vm_than_layers_are_ours_too(name: str) -> None:
    assert is_own_name(name)
    assert not is_storage_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "disk.qcow2",
        "disk-1.qcow2",
        "disk-0a1b2c3d.img",
        "disk-0a1b2c3d.qcow2.bak",
        "disk-0A1B2C3D.qcow2",
        "my-disk-0a1b2c3d.qcow2",
        "hand.qcow2",
        "hand.qcow2.seal",
        "hand.qcow2.tmp",
        "notes.tmp",
        ".notes.tmp",
        "kernel.old",
        "",
    ],
)
def test_all_other_files_may_have_an_owner(name: str) -> None:
    assert not is_own_name(name)
    assert not is_disk_name(name)
