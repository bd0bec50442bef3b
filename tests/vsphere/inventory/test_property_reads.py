"""Property reads say the same as pyVmomi's own decoding."""

from collections.abc import Iterator

import pytest
from pyVmomi import vmodl

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.login import open_vsphere
from linkedclone.drivers.vsphere.native import Native, is_data, is_managed, kind_of, moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.questions import Question
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
        assert type(value) is type(like)
        names = [info.name for info in like._GetPropertyList()]
        return {name: plain(getattr(value, name), getattr(like, name)) for name in names}
    return value


def read_by_pyvmomi(session: Session) -> dict[str, Native]:
    native = session.content.propertyCollector
    question = Question([session.content.rootFolder], WANTED, WALKS).build()
    page = native.RetrievePropertiesEx([question], vmodl.query.PropertyCollector.RetrieveOptions())
    objects = list(page.objects)
    while page.token:
        page = native.ContinueRetrievePropertiesEx(page.token)
        objects += page.objects
    return {moid_of(one.obj): one for one in objects}


def read(session: Session) -> dict[str, Seen]:
    return Collector(session).read("read", [session.content.rootFolder], WANTED, WALKS)


def test_every_field_reads_as_pyvmomi_reads_it(session: Session) -> None:
    ours, theirs = read(session), read_by_pyvmomi(session)
    assert ours.keys() == theirs.keys()
    assert {seen.kind for seen in ours.values()} == set(WANTED)
    for moid, seen in ours.items():
        told = {item.name: item.val for item in theirs[moid].propSet}
        assert seen.kind == kind_of(theirs[moid].obj)
        assert seen.values.keys() == told.keys()
        for name, value in told.items():
            assert plain(seen.get(name), value) == plain(value, value), name


class TestCrowdedInventory:
    """With more VMs than one page holds."""

    @pytest.fixture
    def simulator(self, start_simulator: Start) -> Simulator:
        return start_simulator("-vm", "120")

    def test_pages_are_followed(self, session: Session) -> None:
        ours = read(session)
        assert len([seen for seen in ours.values() if seen.kind == "VirtualMachine"]) == 240
        assert ours.keys() == read_by_pyvmomi(session).keys()


def test_objects_that_are_gone_are_left_out(session: Session) -> None:
    ours = read(session)
    alive = [moid for moid, seen in ours.items() if seen.kind == "VirtualMachine"][:2]
    starts = [session.managed("VirtualMachine", moid) for moid in (*alive, "vm-gone")]
    wanted = {"VirtualMachine": ("name",)}
    assert set(Collector(session).read("read", starts, wanted)) == set(alive)


def test_faults_are_translated(simulator: Simulator, session: Session) -> None:
    simulator.fault("RetrievePropertiesEx", "NoPermission", at="call")
    with pytest.raises(PermissionDeniedError):
        Collector(session).read("read", [session.content.rootFolder], {"Folder": ("name",)})
