"""The request of a linked clone, built without any connection."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec
from linkedclone.drivers.vsphere.cloning.preview import render, render_clone
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, build_shape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.errors import InputError
from linkedclone.model.request import Hardware
from tests.unit.drivers.vsphere.build import MARK, TARGET, UUID, card, disk, step

Golden = Callable[[str, object], None]


def customization() -> vim.vm.customization.Specification:
    custom = vim.vm.customization
    return custom.Specification(
        options=custom.WinOptions(changeSID=True, deleteAccounts=False),
        identity=custom.Sysprep(
            guiUnattended=custom.GuiUnattended(
                autoLogon=False,
                autoLogonCount=0,
                timeZone=110,
                password=custom.Password(plainText=True, value="hunter2"),
            ),
            userData=custom.UserData(
                fullName="Ada",
                orgName="Example",
                computerName=custom.VirtualMachineNameGenerator(),
                productId="AAAAA-BBBBB",
            ),
            identification=custom.Identification(joinWorkgroup="WORKGROUP"),
        ),
        globalIPSettings=custom.GlobalIPSettings(dnsServerList=["10.0.0.1"]),
        nicSettingMap=[
            custom.AdapterMapping(adapter=custom.IPSettings(ip=custom.DhcpIpGenerator()))
        ],
    )


def test_a_plain_clone_asks_for_a_new_child_of_the_snapshot(golden: Golden) -> None:
    spec = build_clone_spec(step(), build_shape([disk("[ssd1] g/g.vmdk")]), None)
    golden("plain", render_clone("vm-42", "group-v3", "desk-001", spec))


def test_every_field_of_a_step_is_in_the_request(golden: Golden) -> None:
    full = step(
        hardware=Hardware(cpus=4, memory_bytes=8 << 30), annotation="for Ada", power_on=False
    )
    spec = build_clone_spec(full, Shape(), customization())
    golden("full", render_clone("vm-42", "group-v3", "desk-001", spec))


def test_independent_disks_are_copied_and_every_locator_names_its_move_type(
    golden: Golden,
) -> None:
    shape = build_shape(
        [
            disk("[ssd1] g/g.vmdk", key=2000),
            disk("[ssd1] g/data.vmdk", key=2001, mode="independent_persistent"),
        ]
    )
    golden("independent", render(build_clone_spec(step(), shape, None)))


def test_a_mac_address_set_by_hand_is_not_inherited(golden: Golden) -> None:
    shape = build_shape([card("manual", key=4000), card("assigned", key=4001)])
    golden("manual-mac", render(build_clone_spec(step(), shape, None)))


def test_the_clones_of_a_batch_share_what_they_have_in_common() -> None:
    one = build_clone_spec(step(), Shape(), None)
    other = build_clone_spec(step(name="desk-002", uuid="other"), Shape(), None)
    assert other.location is one.location
    assert (one.config.instanceUuid, other.config.instanceUuid) == (UUID, "other")


def test_clones_that_go_elsewhere_or_are_marked_otherwise_share_nothing_of_it() -> None:
    one = build_clone_spec(step(), Shape(), None)
    target = replace(TARGET, datastore="datastore-2")
    mark = replace(MARK, run="another")
    other = build_clone_spec(step(target=target, mark=mark), Shape(), None)
    assert moid_of(one.location.datastore) == "datastore-1"
    assert moid_of(other.location.datastore) == "datastore-2"
    assert {o.value for o in other.config.extraConfig} - {
        o.value for o in one.config.extraConfig
    } == {"another"}


def test_cards_whose_address_vcenter_makes_are_left_alone() -> None:
    assert build_shape([card("assigned"), card("generated")]).manual_cards == ()


def test_a_preview_before_the_snapshot_exists_has_none() -> None:
    assert "snapshot" not in render(build_clone_spec(step(snapshot=None), Shape(), None))


def test_passwords_and_keys_are_not_shown() -> None:
    shown = str(render(build_clone_spec(step(), Shape(), customization())))
    assert "hunter2" not in shown
    assert "AAAAA" not in shown
    assert "Ada" in shown


@pytest.mark.parametrize("size", [1, (1 << 30) + 1, 6 << 20])
def test_memory_that_vcenter_does_not_take_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="multiple of 4 MiB"):
        build_clone_spec(step(hardware=Hardware(memory_bytes=size)), Shape(), None)
