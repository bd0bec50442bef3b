"""Answers that are decoded on demand say the same as pyVmomi's own decoding."""

from collections.abc import Iterator

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.login import open_vsphere
from linkedclone.drivers.vsphere.native import Native, is_data, is_managed
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.lazy import Lazy
from linkedclone.errors import PermissionDeniedError
from tests.simulator import Simulator
from tests.vsphere.acts import Start

WANTED = {
    "VirtualMachine": (
        "name",
        "parent",
        "datastore",
        "config.hardware.device",
        "config.template",
        "config.extraConfig",
        "config.modified",
        "snapshot",
        "guest.net",
        "runtime.powerState",
        "storage.perDatastoreUsage",
        "layoutEx",
    ),
    "Datastore": ("name", "summary.capacity"),
    "Folder": ("name", "childEntity"),
}
WALKS = (*traversal.VM_FOLDERS, traversal.STORES)


@pytest.fixture
def session(simulator: Simulator) -> Iterator[Session]:
    driver = open_vsphere(simulator.endpoint())
    assert isinstance(driver, VsphereDriver)
    yield driver._session
    driver.close()


def plain(value: Native, like: Native) -> Native:
    """Turn a value into lists, dicts and scalars; the fields are those that pyVmomi has set."""
    if isinstance(like, list):
        assert len(value) == len(like)
        return [plain(one, other) for one, other in zip(value, like, strict=True)]
    if is_managed(like):
        return (type(value)._wsdlName, value._GetMoId())
    if is_data(like):
        assert isinstance(value, type(like))
        names = [info.name for info in like._GetPropertyList()]
        return {name: plain(getattr(value, name), getattr(like, name)) for name in names}
    return value


def read_both(session: Session) -> tuple[dict[str, Seen], dict[str, Seen]]:
    collector = Collector(session)
    root = [session.content.rootFolder]
    return (
        collector.read("read lazily", root, WANTED, WALKS, lazily=True),
        collector.read("read", root, WANTED, WALKS),
    )


def test_every_field_reads_as_pyvmomi_reads_it(simulator: Simulator, session: Session) -> None:
    ours, theirs = read_both(session)
    assert ours.keys() == theirs.keys()
    assert {seen.kind for seen in ours.values()} == set(WANTED)
    for moid, seen in theirs.items():
        assert seen.kind == ours[moid].kind
        assert seen.values.keys() == ours[moid].values.keys()
        for name, value in seen.values.items():
            assert plain(ours[moid].get(name), value) == plain(value, value), name


def test_a_lazy_object_is_an_instance_of_its_type(session: Session) -> None:
    ours, _ = read_both(session)
    devices = [
        device for seen in ours.values() for device in seen.get("config.hardware.device") or ()
    ]
    disks = [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
    assert disks
    assert all(type(disk) is Lazy for disk in disks)
    assert all(isinstance(disk.capacityInBytes, int) for disk in disks)
    with pytest.raises(AttributeError):
        disks[0].noSuchField  # noqa: B018 - it is looked up


class TestCrowdedInventory:
    """With more VMs than one page holds."""

    @pytest.fixture
    def simulator(self, start_simulator: Start) -> Simulator:
        return start_simulator("-vm", "120")

    def test_pages_are_followed(self, session: Session) -> None:
        ours, theirs = read_both(session)
        assert len([seen for seen in ours.values() if seen.kind == "VirtualMachine"]) == 240
        assert ours.keys() == theirs.keys()


def test_objects_that_are_gone_are_left_out(session: Session) -> None:
    ours, _ = read_both(session)
    alive = [moid for moid, seen in ours.items() if seen.kind == "VirtualMachine"][:2]
    starts = [session.managed("VirtualMachine", moid) for moid in (*alive, "vm-gone")]
    wanted = {"VirtualMachine": ("name",)}
    assert set(Collector(session).read("read", starts, wanted, lazily=True)) == set(alive)


def test_faults_are_translated(simulator: Simulator, session: Session) -> None:
    simulator.fault("RetrievePropertiesEx", "NoPermission", at="call")
    with pytest.raises(PermissionDeniedError):
        Collector(session).read(
            "read", [session.content.rootFolder], {"Folder": ("name",)}, lazily=True
        )
