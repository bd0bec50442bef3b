"""VMs as they come out of what was read, whole or half-made."""

from datetime import UTC, datetime

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.vms import choose_properties
from linkedclone.model.observed import Power
from tests.local.hostile import ADDRESSES, HOST_NAMES
from tests.unit.vsphere.build import UUID, card, disk, seen, vm_of

AROUND = (
    seen("Folder", "group-d1", name="Datacenters"),
    seen("Datacenter", "datacenter-2", name="DC0", parent=vim.Folder("group-d1", None)),
    seen("Folder", "group-v3", name="vm", parent=vim.Datacenter("datacenter-2", None)),
    seen("Folder", "group-v4", name="a%2fb", parent=vim.Folder("group-v3", None)),
    seen("VirtualApp", "resgroup-v5", name="app", parentFolder=vim.Folder("group-v4", None)),
    seen("Datastore", "datastore-1", name="ssd1"),
)


def option(value: str) -> vim.option.OptionValue:
    return vim.option.OptionValue(key="ignored", value=value)


def test_a_half_made_vm_comes_out_empty() -> None:
    vm = vm_of(seen("VirtualMachine", "vm-1"))
    assert (vm.id, vm.name, vm.uuid, vm.disks, vm.snapshots) == ("vm-1", "", "", (), ())
    assert vm.power is Power.UNKNOWN
    assert vm.own_bytes is None
    assert vm.owner is None


@pytest.mark.parametrize("text", ADDRESSES)
def test_what_a_guest_reports_is_an_address_as_a_whole_or_not_used(text: str) -> None:
    told = "".join(c for c in text if c.isprintable())  # what XML can carry
    card = vim.vm.GuestInfo.NicInfo(connected=True, deviceConfigId=4000, ipAddress=[told])
    vm = vm_of(seen("VirtualMachine", "vm-1", guest__net=[card], guest__ipAddress=told))
    assert vm.addresses == ()


@pytest.mark.parametrize("text", HOST_NAMES)
def test_what_a_guest_reports_is_a_host_name_or_not_used(text: str) -> None:
    told = "".join(c for c in text if c.isprintable() or c == "\n")
    assert vm_of(seen("VirtualMachine", "vm-1", guest__hostName=told)).host_name == ""


def test_a_whole_vm() -> None:
    usage = vim.vm.StorageInfo.UsageOnDatastore(
        datastore=vim.Datastore("datastore-1", None), committed=100, uncommitted=5, unshared=30
    )
    made = seen(
        "VirtualMachine",
        "vm-42",
        name="50%25 off",
        parent=vim.Folder("group-v4", None),
        datastore=[vim.Datastore("datastore-1", None)],
        config__instanceUuid=UUID.upper(),
        config__template=False,
        config__files__vmPathName="[ssd1] desk/desk.vmx",
        config__uuid=UUID.replace("1", "2"),
        config__createDate=datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC),
        config__hardware__device=[
            disk("[ssd1] desk/desk.vmdk"),
            card("assigned", "00:50:56:AA:02:03"),
        ],
        runtime__powerState="poweredOn",
        guest__hostName="desk",
        guest__toolsRunningStatus="guestToolsRunning",
        guest__ipAddress="10.0.0.9",
        guest__net=[
            vim.vm.GuestInfo.NicInfo(
                connected=True,
                deviceConfigId=4000,
                ipAddress=["fe80::1", "127.0.0.1", "10.0.0.8", "2001:db8::8"],
            )
        ],
        storage__perDatastoreUsage=[usage],
        **{
            'config.extraConfig["linkedclone.owner"]': option("desktops"),
            'config.extraConfig["linkedclone.uuid"]': option(UUID),
            'config.extraConfig["guestinfo.metadata"]': option("instance-id: i-1"),
        },
    )
    vm = vm_of(made, *AROUND)
    assert vm.name == "50% off"
    assert vm.path == "/DC0/vm/a%2fb/50%25 off"
    assert vm.uuid == UUID
    assert vm.owner == "desktops"
    assert vm.home == ("datastore-1", "desk")
    assert vm.power is Power.ON
    assert vm.tools_running
    assert vm.addresses == ("10.0.0.8", "10.0.0.9", "2001:db8::8")
    assert (vm.own_bytes, vm.shared_bytes) == (30, 70)
    assert vm.created == datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert vm.macs == ("00:50:56:aa:02:03",)
    assert vm.bios_uuid == UUID.replace("1", "2")
    assert vm.instance_id == "i-1"
    assert [str(found.top) for found in vm.disks] == ["[ssd1] desk/desk.vmdk"]


def test_a_mark_that_names_another_uuid_does_not_count() -> None:
    made = seen(
        "VirtualMachine",
        "vm-1",
        config__instanceUuid=UUID,
        **{
            'config.extraConfig["linkedclone.owner"]': option("linkedclone"),
            'config.extraConfig["linkedclone.uuid"]': option("other"),
        },
    )
    vm = vm_of(made)
    assert vm.mark is not None
    assert vm.owner is None


def test_a_vm_of_a_vapp_has_a_path_too() -> None:
    made = seen(
        "VirtualMachine", "vm-1", name="desk", parentVApp=vim.VirtualApp("resgroup-v5", None)
    )
    assert vm_of(made, *AROUND).path == "/DC0/vm/a%2fb/app/desk"


def test_snapshots_come_parents_first_with_their_disks_where_read() -> None:
    def node(moid: str, name: str, *below: vim.vm.SnapshotTree) -> vim.vm.SnapshotTree:
        return vim.vm.SnapshotTree(
            snapshot=vim.vm.Snapshot(moid, None),
            vm=vim.VirtualMachine("vm-1", None),
            name=name,
            description="why",
            id=1,
            createTime=datetime(2026, 11, 1, tzinfo=UTC),
            state="poweredOff",
            quiesced=False,
            childSnapshotList=list(below),
        )

    info = vim.vm.SnapshotInfo(
        currentSnapshot=vim.vm.Snapshot("snapshot-2", None),
        rootSnapshotList=[node("snapshot-1", "base", node("snapshot-2", "a%2fb"))],
    )
    devices = vim.vm.device.VirtualDevice.Array([])
    vm = vm_of(
        seen("VirtualMachine", "vm-1", snapshot=info),
        seen("VirtualMachineSnapshot", "snapshot-1", config__hardware__device=devices),
        seen("VirtualMachineSnapshot", "snapshot-2"),
    )
    assert [(s.id, s.path, s.current, s.disks) for s in vm.snapshots] == [
        ("snapshot-1", "base", False, ()),
        ("snapshot-2", "base/a/b", True, None),
    ]
    assert vm.snapshots[0].created == datetime(2026, 11, 1, tzinfo=UTC)
    assert vm.snapshots[0].description == "why"


def test_a_vm_with_one_uuid_has_no_other() -> None:
    vm = vm_of(seen("VirtualMachine", "vm-1", config__uuid=UUID))
    assert (vm.uuid, vm.bios_uuid) == (UUID, "")
    vm = vm_of(seen("VirtualMachine", "vm-1", config__uuid=UUID, config__instanceUuid=UUID.upper()))
    assert (vm.uuid, vm.bios_uuid) == (UUID, "")


def test_an_old_server_is_not_asked_for_what_it_does_not_know() -> None:
    assert "config.createDate" not in choose_properties("6.5")
    assert "config.createDate" in choose_properties("6.7")
    assert "config.createDate" in choose_properties("8.0.3.0")
    assert "guest.customizationInfo" not in choose_properties("7.0.1.1")
    assert "guest.customizationInfo" in choose_properties("7.0.2.0")
    assert set(choose_properties("8.0")) - set(choose_properties("6.5")) == {
        "config.createDate",
        "guest.customizationInfo",
    }


def test_what_stands_in_a_folder_that_cannot_be_seen_has_a_short_path() -> None:
    vm = vm_of(seen("VirtualMachine", "vm-1", name="desk", parent=vim.Folder("group-v9", None)))
    assert vm.path == "/desk"
