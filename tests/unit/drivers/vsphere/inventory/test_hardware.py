"""Disks and cards, from the XML of what vSphere calls devices."""

from typing import Any

import pytest
from pyVmomi import VmomiSupport, vim

from linkedclone.drivers.vsphere.connection.answers import TYPE, parse
from linkedclone.drivers.vsphere.inventory.devices import _WITHOUT_FILE, Hardware, drop_devices
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Disk, Layer
from tests.unit.drivers.vsphere.build import card, disk, read, seen

BACKINGS = vim.vm.device.VirtualDisk


def hardware(*devices: Any) -> Hardware:
    one = read(seen("VirtualMachine", "vm-1", config__hardware__device=list(devices)))
    found: Hardware = one.get("config.hardware.device")
    return found


def disks(*devices: Any, stores: dict[str, str] | None = None) -> tuple[Disk, ...]:
    return hardware(*devices).chained(stores or {})


def layer(path: str, store: str = "datastore-1") -> Layer:
    return Layer(store=StoreId(store), path=path)


@pytest.mark.parametrize("kind", [BACKINGS.FlatVer2BackingInfo, BACKINGS.SeSparseBackingInfo])
def test_a_chain_comes_base_first(kind: type) -> None:
    device = disk("[ssd1] g/g.vmdk", "[ssd1] g/g-000001.vmdk", "[ssd1] d/d.vmdk", backing=kind)
    (found,) = disks(device)
    assert found.chain == (layer("g/g.vmdk"), layer("g/g-000001.vmdk"), layer("d/d.vmdk"))
    assert found.top.store_name == "ssd1"
    assert found.capacity_bytes == 10 << 30
    assert found.label == "Hard disk 1"


def test_a_layer_that_two_disks_read_is_one_object() -> None:
    one, two = disks(disk("[ssd1] g/g.vmdk"), disk("[ssd1] g/g.vmdk", "[ssd1] d/d.vmdk", key=2001))
    assert one.chain[0] is two.chain[0]


def test_other_devices_are_not_disks() -> None:
    assert disks(card("assigned"), vim.vm.device.VirtualCdrom(key=3000)) == ()


def test_a_disk_without_a_file_is_left_out() -> None:
    remote = vim.vm.device.VirtualDisk(
        key=2000, backing=vim.vm.device.VirtualDevice.RemoteDeviceBackingInfo(deviceName="x")
    )
    assert disks(remote) == ()
    assert [key for key, _ in hardware(remote).disks] == [2000]


def test_a_disk_may_have_no_backing_no_label_and_its_size_in_kilobytes() -> None:
    bare = vim.vm.device.VirtualDisk(key=2003, capacityInKB=7)
    ((_, found),) = hardware(bare).disks
    assert (found.label, found.chain, found.capacity_bytes) == ("disk 2003", (), 7168)


@pytest.mark.parametrize("mode", ["independent_persistent", "independent_nonpersistent"])
def test_independent_disks_are_reported(mode: str) -> None:
    (found,) = disks(disk("[ssd1] g/g.vmdk", mode=mode))
    assert found.independent


def test_a_physical_raw_mapping_is_independent() -> None:
    backing = BACKINGS.RawDiskMappingVer1BackingInfo(
        fileName="[ssd1] g/raw.vmdk",
        diskMode="persistent",
        compatibilityMode="physicalMode",
        datastore=vim.Datastore("datastore-1", None),
    )
    (found,) = disks(vim.vm.device.VirtualDisk(key=2000, backing=backing))
    assert found.independent


def test_a_native_clone_hides_its_chain() -> None:
    (found,) = disks(disk("[vvol] d/d.vmdk", nativeUnmanagedLinkedClone=True))
    assert found.hidden


def test_the_store_is_found_by_name_where_the_backing_does_not_tell() -> None:
    (found,) = disks(disk("[ssd1] g/g.vmdk", store=None), stores={"ssd1": "datastore-5"})
    assert found.top == layer("g/g.vmdk", "datastore-5")


def test_two_stores_that_are_not_listed_stay_apart() -> None:
    (one,) = disks(disk("[a] g/g.vmdk", store=None))
    (two,) = disks(disk("[b] g/g.vmdk", store=None))
    assert one.top != two.top


def test_mac_addresses_are_in_lower_case_and_manual_ones_are_noticed() -> None:
    found = hardware(card("assigned", "00:50:56:AA:00:01"), card("generated", "00:50:56:aa:00:02"))
    assert found.macs == ("00:50:56:aa:00:01", "00:50:56:aa:00:02")
    assert not found.manual_cards
    assert hardware(card("Manual")).manual_cards


# -- what the API's schema has to say of it -----------------------------------------------


def device_types() -> list[type]:
    base = vim.vm.device.VirtualDevice
    space = VmomiSupport.GetWsdlTypes()
    return [one for one in space if isinstance(one, type) and issubclass(one, base)]


def test_nothing_is_derived_from_a_disk_and_all_disks_have_it_in_their_name() -> None:
    found = [one for one in device_types() if issubclass(one, vim.vm.device.VirtualDisk)]
    assert found == [vim.vm.device.VirtualDisk]


def test_only_backings_of_devices_may_name_no_file() -> None:
    """Of every other backing of a disk, one without a file is an answer that was cut."""
    backings = {
        one: issubclass(one, vim.vm.device.VirtualDevice.FileBackingInfo)
        for one in VmomiSupport.GetWsdlTypes()
        if isinstance(one, type) and issubclass(one, vim.vm.device.VirtualDevice.BackingInfo)
    }
    by_file = {one._wsdlName for one, has_file in backings.items() if has_file}
    known = {one._wsdlName for one in backings}
    assert known - by_file >= _WITHOUT_FILE
    of_disks = {name for name in known - by_file if name.startswith("VirtualDisk")}
    assert of_disks <= _WITHOUT_FILE


def test_only_network_cards_have_a_mac_address() -> None:
    types = device_types()
    assert len(types) > 30
    for one in types:
        names = {info.name for info in one._GetPropertyList()}  # type: ignore[attr-defined]
        is_card = issubclass(one, vim.vm.device.VirtualEthernetCard)
        assert ("macAddress" in names) == is_card
        assert ("addressType" in names) == is_card


# -- what is cut out before it is parsed ---------------------------------------------------

HEAD = '<a xmlns="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
DISK = '<VirtualDevice xsi:type="VirtualDisk"><key>1</key></VirtualDevice>'
CARD = '<VirtualDevice xsi:type="Virtual9"><macAddress>x</macAddress></VirtualDevice>'
OTHER = '<VirtualDevice xsi:type="VirtualKeyboard"><key>600</key></VirtualDevice>'


def left(*parts: str) -> list[str | None]:
    answer = parse(drop_devices("".join((HEAD, *parts, "<z/></a>")).encode()))
    assert answer[-1].tag == "{urn:vim25}z"
    return [device.get(TYPE) for device in answer[:-1]]


def test_devices_that_nothing_is_read_of_are_cut_out() -> None:
    assert left(OTHER, DISK, OTHER, OTHER, CARD, OTHER) == ["VirtualDisk", "Virtual9"]
    assert left(DISK) == ["VirtualDisk"]
    assert left(OTHER) == []
    assert left() == []


@pytest.mark.parametrize(
    "tricky",
    [
        "<!-- </VirtualDevice> -->",
        "<label><![CDATA[</VirtualDevice>]]></label>",
    ],
)
def test_nothing_is_cut_where_an_end_tag_may_be_none(tricky: str) -> None:
    other = OTHER.replace("<key>", tricky + "<key>")
    assert left(other, DISK) == ["VirtualKeyboard", "VirtualDisk"]


def test_nothing_is_cut_where_tags_have_a_prefix() -> None:
    body = (
        b'<v:a xmlns:v="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        b'<v:VirtualDevice xsi:type="v:VirtualKeyboard"/></v:a>'
    )
    assert drop_devices(body) == body


def test_an_answer_that_is_cut_off_stays_no_xml() -> None:
    body = (HEAD + DISK + '<VirtualDevice xsi:type="VirtualKeyboard"><key>').encode()
    assert drop_devices(body) == body
