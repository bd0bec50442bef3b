"""Which files go with a VM of a lone host, and when its folder goes as a whole."""

import pytest

from linkedclone.drivers.vsphere.lone_host.removing import find_configs, is_all_ours

CONFIG = "desk.vmx"
GONE = ("desk.vmdk", "desk-delta.vmdk")
OWN = (*GONE, CONFIG, "desk.nvram", "vmware-1.log", "desk-0a1b.vswp", "linkedclone-claim-1")


@pytest.mark.parametrize(
    ("more", "whole"),
    [
        ((), True),
        (("desk-ctk.vmdk",), True),
        (("notes.txt",), False),
        (("kept.vmdk",), False),
        (("desk-000001.vmdk",), False),
        (("other.vmx",), False),
        (("other-ctk.vmdk",), False),
        (("isos",), False),
    ],
)
def test_a_folder_goes_only_if_all_in_it_is_the_vms_own(more: tuple[str, ...], whole: bool) -> None:
    assert is_all_ours((*OWN, *more), CONFIG, GONE) is whole


def test_a_folder_of_which_nothing_is_told_stays() -> None:
    assert not is_all_ours((), CONFIG, GONE)


def test_in_a_folder_of_several_vms_a_vm_takes_only_what_bears_its_name() -> None:
    listed = ("desk-2.vmx", "desk-2.nvram", "vmware.log", "desk.nvram", "desk.vmx")
    assert find_configs(listed, CONFIG) == ("desk.vmx", "desk.nvram")
