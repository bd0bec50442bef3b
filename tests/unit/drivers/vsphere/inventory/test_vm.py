"""VMs as they come out of what was read, whole or half-made."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.vm import Surroundings, build_vm, choose_properties
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.model.vm import Power
from tests.local.hostile import ADDRESSES, HOST_NAMES
from tests.unit.drivers.vsphere.build import UUID, card, disk, read, seen, vm_of

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
    assert (vm.id, vm.name, vm.uuid, vm.disks, vm.snapshots) == ("vm-1", "vm-1", "", (), ())
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


def file(name: str, kind: str, size: int, unique: int | None) -> Any:
    return vim.vm.FileLayoutEx.FileInfo(
        key=0, name=name, type=kind, size=size, uniqueSize=unique, accessible=True
    )


VMFS = (
    file("[ds1] golden/golden.vmdk", "diskDescriptor", 0, 0),
    file("[ds1] golden/golden-flat.vmdk", "diskExtent", 8910798848, 8910798848),
    file("[ds1] golden/golden-000001.vmdk", "diskDescriptor", 0, 0),
    file("[ds1] golden/golden-000001-sesparse.vmdk", "diskExtent", 19922944, 19922944),
    file("[ds1] golden/golden-Snapshot1.vmsn", "snapshotData", 21266, 21266),
    file("[ds1] golden/golden-76f3a28e.vswp", "swap", 10737418240, 10737418240),
    file("[ds1] golden/vmx-golden-1995678350-1.vswp", "uwswap", 115343360, 115343360),
)
"""As recorded of a running VM on VMFS 6 that shares nothing."""

VSAN = (
    file("[vsanDatastore] 3b30/vm.vmdk", "diskDescriptor", 1119879168, 1119879168),
    file("[vsanDatastore] 3b30/vm-ed4cc4ef.vswp", "swap", 134217728, 37748736),
)
"""As recorded of 8.0.2: the descriptor has the size, and swap is not all its own."""

NAS = (
    ("[nfs] golden/golden-flat.vmdk", "diskExtent", 900),
    ("[nfs] d/d.vmdk", "diskDescriptor", 420),
    ("[nfs] d/d-000001-delta.vmdk", "diskExtent", 6000),
)
NAS_WITHOUT = tuple(file(*one, None) for one in NAS)
NAS_OF_ZEROS = tuple(file(*one, 0) for one in NAS)
"""Storage that cannot tell what is unique, in the two ways to say so."""

LINKED = (
    file("[ds1] golden/golden.vmdk", "diskDescriptor", 400, 0),
    file("[ds1] golden/golden-flat.vmdk", "diskExtent", 8910798848, 0),
    file("[ds1] desk/desk.vmdk", "diskDescriptor", 400, 400),
    file("[ds1] desk/desk-sesparse.vmdk", "diskExtent", 19922944, 19922944),
    file("[ds1] desk/desk.vswp", "swap", 4294967296, 4294967296),
    file("[ds1] desk/vmware.log", "log", 4096, 4096),
)


@pytest.mark.parametrize(
    ("files", "own", "shared"),
    [
        (VMFS, 8930721792, 0),
        (VSAN, 1119879168, 0),
        (LINKED, 19923344, 8910799248),
        ((file("[nfs] d/d-flat.vmdk", "diskExtent", 9, None),), 9, 0),
        ((file("[nfs] golden/golden-flat.vmdk", "diskExtent", 9, None),), 0, 9),
        ((file("[ds1] a/a.vswp", "swap", 9, None),), 0, 0),
        (NAS_WITHOUT, 6420, 900),
        (NAS_OF_ZEROS, 6420, 900),
        ((file("[nfs] d/d-flat.vmdk", "diskExtent", 9, 12),), 9, 0),
    ],
)
def test_item_16_own_and_shared_are_of_disk_files_and_never_of_swap(
    files: tuple[Any, ...], own: int, shared: int
) -> None:
    given = {"config__files__vmPathName": "[nfs] d/d.vmx", "layoutEx__file": list(files)}
    vm = vm_of(seen("VirtualMachine", "vm-1", **given))
    assert (vm.own_bytes, vm.shared_bytes) == (own, shared)


GIB = 1 << 30


@pytest.mark.parametrize(
    ("committed", "unshared", "swap"),
    [
        (25885417976, 21474836480, 4410310656),
        (36872537079, 26019364864, 10852761600),
        (2470445056, 1119879168, 218103808),
    ],
    ids=["6.7", "6.7 appliance", "8.0.2 on vSAN"],
)
def test_f_a_recorded_vm_that_shares_nothing_shares_nothing(
    committed: int, unshared: int, swap: int
) -> None:
    rest = committed - unshared - swap
    files = [
        file("[ds1] d/d.vmdk", "diskDescriptor", 0, 0),
        file("[ds1] d/d-flat.vmdk", "diskExtent", unshared, unshared),
        file("[ds1] d/d.vswp", "swap", swap, swap),
        file("[ds1] d/d.nvram", "nvram", rest, rest),
    ]
    given = {"config__files__vmPathName": "[ds1] d/d.vmx", "layoutEx__file": files}
    vm = vm_of(seen("VirtualMachine", "vm-1", **given))
    assert (vm.own_bytes, vm.shared_bytes) == (unshared, 0)


@pytest.mark.parametrize(
    "files",
    [
        None,
        [file("[ds1] d/d.vswp", "swap", GIB, GIB)],
        [file("[ds1] d/d.vmdk", "diskDescriptor", 0, 0)],
    ],
    ids=["not listed", "no disk file", "without sizes"],
)
def test_f_a_disk_that_was_not_measured_does_not_take_nothing(files: list[Any] | None) -> None:
    given: dict[str, Any] = {"config__hardware__device": [disk("[ds1] d/d.vmdk")]}
    if files is not None:
        given["layoutEx__file"] = files
    vm = vm_of(seen("VirtualMachine", "vm-1", config__files__vmPathName="[ds1] d/d.vmx", **given))
    assert (vm.own_bytes, vm.shared_bytes) == (None, None)


def test_a_whole_vm() -> None:
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
        layoutEx__file=[
            file("[ssd1] g/g-flat.vmdk", "diskExtent", 70, 0),
            file("[ssd1] desk/desk-000001-sesparse.vmdk", "diskExtent", 30, 30),
        ],
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
        "runtime.instantCloneFrozen",
    }


def test_a_vm_in_an_invisible_folder_has_a_short_path() -> None:
    vm = vm_of(seen("VirtualMachine", "vm-1", name="desk", parent=vim.Folder("group-v9", None)))
    assert vm.path == "/desk"


# -- VMs that cannot be read ----------------------------------------------------------


def whole(**changes: Any) -> Seen:
    """A VM of which all is told; what is None is left out."""
    values = {
        "name": "desk",
        "config__instanceUuid": UUID,
        "config__uuid": UUID,
        "config__template": False,
        "config__files__vmPathName": "[ssd1] desk/desk.vmx",
        "config__hardware__device": [disk("[ssd1] gold/gold.vmdk", "[ssd1] desk/desk.vmdk")],
        "datastore": [vim.Datastore("datastore-1", None)],
        "runtime__powerState": "poweredOff",
        "runtime__connectionState": "connected",
        **changes,
    }
    given = {path: value for path, value in values.items() if value is not None}
    return seen("VirtualMachine", "vm-1", **given)


STATES = ("disconnected", "inaccessible", "invalid", "orphaned", "never heard of")


@pytest.mark.parametrize("state", STATES)
def test_a_vm_that_is_not_connected_cannot_be_read(state: str) -> None:
    assert vm_of(whole(), *AROUND).unreadable == ""
    found = vm_of(whole(runtime__connectionState=state), *AROUND)
    assert state in found.unreadable
    assert found.stores == {"datastore-1"}


def marked(**changes: Any) -> Seen:
    owner, uuid = (
        'config.extraConfig["linkedclone.owner"]',
        'config.extraConfig["linkedclone.uuid"]',
    )
    return whole(**{owner: option("linkedclone"), uuid: option(UUID)}, **changes)


def files(*names: str) -> list[Any]:
    info = vim.vm.FileLayoutEx.FileInfo
    kinds = {"vmx": "config", "vmdk": "diskDescriptor"}
    return [
        info(key=n, name=name, type=kinds[name.rpartition(".")[2]], size=1)
        for n, name in enumerate(names)
    ]


BARE: dict[str, Any] = {
    "config__hardware__device": None,
    "layoutEx__file": files("[ssd1] desk/desk.vmx"),
}
HALF_MADE: dict[str, tuple[Seen, bool]] = {
    "a clone in the making": (marked(**BARE), False),
    "one that runs": (marked(**BARE, runtime__powerState="poweredOn"), True),
    "one whose power is not told": (marked(**BARE, runtime__powerState=None), True),
    "one whose files are not told": (marked(**{**BARE, "layoutEx__file": None}), True),
    "one with files of disks": (
        marked(**{**BARE, "layoutEx__file": files("[ssd1] desk/desk.vmdk")}),
        True,
    ),
    "one without our mark": (whole(config__hardware__device=None), True),
    "one without a place": (whole(config__files__vmPathName=None), True),
}


@pytest.mark.parametrize(("one", "unreadable"), HALF_MADE.values(), ids=HALF_MADE)
def test_only_a_clone_in_the_making_may_have_no_devices(one: Seen, unreadable: bool) -> None:
    assert bool(vm_of(one, *AROUND).unreadable) is unreadable


NEEDED = ("config.hardware.device", "snapshot", "config.uuid", "runtime.connectionState")


@pytest.mark.parametrize("path", NEEDED)
def test_a_vm_whose_needed_property_is_refused_cannot_be_read(path: str) -> None:
    around = {other.id: read(other) for other in AROUND}
    refused = replace(read(whole()), refused={path: "NoPermission: not for you"})
    found = build_vm(refused, Surroundings({**around, refused.id: refused}))
    assert found.unreadable == f"the server does not tell {path}: NoPermission: not for you"
    harmless = replace(refused, refused={"guest.net": "NoPermission"})
    assert build_vm(harmless, Surroundings({**around, harmless.id: harmless})).unreadable == ""


@pytest.mark.parametrize(
    "path",
    [
        "name",
        "runtime.connectionState",
        "runtime.powerState",
        "config.template",
        "config.uuid",
        "config.files.vmPathName",
        "config.hardware.device",
    ],
)
def test_a3_a_vm_without_what_every_vm_has_cannot_be_read(path: str) -> None:
    left_out = vm_of(whole(**{path.replace(".", "__"): None}), *AROUND)
    assert "the server does not tell" in left_out.unreadable


@pytest.mark.parametrize("path", ["snapshot", "config.createDate", "guest.net", "layoutEx.file"])
def test_missing_optional_properties_do_not_make_a_vm_unreadable(path: str) -> None:
    assert vm_of(whole(**{path.replace(".", "__"): None}), *AROUND).unreadable == ""


def test_a3_a_vm_that_lists_files_of_disks_and_shows_none_cannot_be_read() -> None:
    void = whole(config__hardware__device=[card("assigned")])
    assert vm_of(void, *AROUND).unreadable == ""
    listing = whole(
        config__hardware__device=[card("assigned")], layoutEx__file=files("[ssd1] desk/desk.vmdk")
    )
    assert "but no disks" in vm_of(listing, *AROUND).unreadable


def test_a3_a_disk_without_a_file_name_makes_the_vm_unreadable() -> None:
    """A chain that is cut ends below what the VM depends on, so nothing else would say so."""
    no_file, no_parent, no_backing = disk("a"), disk("[ssd1] g/g.vmdk", "[ssd1] d/d.vmdk"), disk()
    no_file.backing.fileName = ""
    no_parent.backing.parent.fileName = ""
    for broken in (no_file, no_parent, no_backing):
        found = vm_of(whole(config__hardware__device=[broken]), *AROUND)
        assert found.unreadable == "the server does not tell the file of Hard disk 1"
    raw = vim.vm.device.VirtualDisk.RawDiskVer2BackingInfo(deviceName="d", descriptorFileName="f")
    device = disk()
    device.backing = raw
    assert vm_of(whole(config__hardware__device=[device]), *AROUND).unreadable == ""


def test_the_mark_of_a_native_clone_is_needed() -> None:
    """Of such a clone, it alone tells the parent."""
    mark = 'config.extraConfig["linkedclone.owner"]'
    native = disk("[ssd1] desk/desk.vmdk", nativeUnmanagedLinkedClone=True)
    for devices, needed in (([native], True), ([disk("[ssd1] desk/desk.vmdk")], False)):
        one = replace(read(whole(config__hardware__device=devices)), refused={mark: "no"})
        assert bool(build_vm(one, Surroundings({one.id: one})).unreadable) is needed


# -- names of datastores --------------------------------------------------------------


def test_the_place_of_a_vm_is_resolved_through_its_own_backings() -> None:
    """A4: the user may not see datastores; so they have ids in backings, and no names."""
    found = vm_of(whole())
    assert (found.home, found.unreadable) == (("datastore-1", "desk"), "")


def test_a_backing_goes_before_a_datastore_of_the_name() -> None:
    namesake = seen("Datastore", "datastore-2", name="ssd1")
    stores = [vim.Datastore("datastore-2", None)]
    assert vm_of(whole(datastore=stores), namesake).home == ("datastore-1", "desk")


def test_two_datastores_of_one_name_are_distinguished_or_the_vm_is_unreadable() -> None:
    both = [
        seen("Datastore", "datastore-1", name="ssd1"),
        seen("Datastore", "datastore-2", name="ssd1"),
    ]
    stores = [vim.Datastore(one.id, None) for one in both]
    bare = [disk("[ssd1] desk/desk.vmdk", store=None)]
    found = vm_of(whole(config__hardware__device=bare, datastore=stores), *both)
    assert "which datastore [ssd1] is" in found.unreadable
    mixed = [
        *bare,
        disk("[ssd1] desk/two.vmdk", key=2001),
        disk("[ssd1] x/x.vmdk", key=2002, store="datastore-2"),
    ]
    assert vm_of(whole(config__hardware__device=mixed, datastore=stores), *both).unreadable
    told = [*bare, disk("[ssd1] desk/two.vmdk", key=2001)]
    settled = vm_of(whole(config__hardware__device=told, datastore=stores), *both)
    assert (settled.unreadable, {layer.store for layer in settled.layers}) == ("", {"datastore-1"})


def test_what_other_vms_tell_of_a_datastore_counts_only_if_the_vm_uses_it() -> None:
    bare = [disk("[ssd1] desk/desk.vmdk", store=None)]
    other = seen("VirtualMachine", "vm-2", config__hardware__device=[disk("[ssd1] two/two.vmdk")])
    one = whole(config__hardware__device=bare)
    assert vm_of(one, other).home == ("datastore-1", "desk")
    elsewhere = whole(config__hardware__device=bare, datastore=[vim.Datastore("datastore-9", None)])
    for apart in (elsewhere, whole(config__hardware__device=bare, datastore=None)):
        assert "which datastore [ssd1] is" in vm_of(apart, other).unreadable
