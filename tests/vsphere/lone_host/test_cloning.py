"""Clones at an ESXi host without vCenter, over real SOAP: made, locked, taken over, undone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyVmomi import vim

from linkedclone.app.connection import Connection
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.lone_host import creating
from linkedclone.drivers.vsphere.storage.orphans import NOTE
from linkedclone.errors import DuplicateNameError, NoSnapshotError, UnsupportedError
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.plan import CreateClone
from linkedclone.model.report import CloneReport
from linkedclone.model.request import CloneRequest, DiskMove, Hardware, Placement, SnapshotChoice
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from tests import do, govc
from tests.contract.acts import (
    current,
    find,
    finish,
    result_of,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.simulator import Simulator
from tests.vsphere.acts import opened

PARENT = "ha-host_VM0"
WANTED = CloneRequest(parent=PARENT, names=("web-1",))
FULL = replace(WANTED, disk_move=DiskMove.SHARED)
CHANGES = ("MakeDirectory", "CopyVirtualDisk_Task", "CreateVM_Task", "PowerOnVM_Task")


@pytest.fixture
def simulator(start_simulator: Callable[..., Simulator]) -> Simulator:
    return start_simulator("-esx")


@pytest.fixture
def driver(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[VsphereDriver]:
    monkeypatch.setattr(creating, "QUIET_SECONDS", 0.2)
    fresh = open_driver(simulator.endpoint())
    assert isinstance(fresh, VsphereDriver)
    parent = find(fresh, PARENT)
    result_of(fresh, fresh.start(do.create_snapshot(parent, "base", "")))
    simulator.reset_calls()
    yield fresh
    fresh.close()


def clone(driver: VsphereDriver, request: CloneRequest = WANTED) -> CloneReport:
    return Connection(driver, address="vsphere:").clone(request)


def told(report: CloneReport) -> dict[str, str]:
    return {one.name: one.error.brief if one.error else one.status for one in report.clones}


def changes(simulator: Simulator) -> list[str]:
    """Return the calls that changed something, in their order."""
    return [call["method"] for call in simulator.log() if call["method"] in CHANGES]


def make_directory(driver: VsphereDriver, name: str) -> None:
    """Leave what a run leaves that is killed behind its first call."""
    driver._directories.make(f"[LocalDS_0] {name}")


def copy_disk(driver: VsphereDriver, target: str) -> None:
    """Leave a file in a directory."""
    (disk,) = current(find(driver, PARENT)).disks or ()
    manager = driver._session.content.virtualDiskManager
    copy = manager.CopyVirtualDisk_Task
    source = str(disk.chain[-1])
    job = driver._jobs.start("x", "copy", copy, sourceName=source, destName=target)
    result_of(driver, job)


def files(driver: VsphereDriver, name: str) -> tuple[str, ...] | None:
    """Return what the directory of a clone holds; None if there is none."""
    store = find(driver, PARENT).disks[0].chain[0].store
    return driver._directories.list_files(f"[LocalDS_0] {name}", store)


def step(driver: VsphereDriver, name: str = "web-1") -> CreateClone:
    return running(step_for(driver, find(driver, PARENT), name))


def vm_of(driver: VsphereDriver, name: str) -> Vm:
    return find(driver, name)


# -- made -----------------------------------------------------------------------------


def test_a_clone_is_linked_marked_and_running_from_one_call_of_each_kind(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    report = clone(driver, replace(WANTED, names=("web-1", "web-2")))
    assert [one.linked for one in report.clones] == [True, True]
    assert sorted(changes(simulator)) == sorted(2 * [*CHANGES[:1], *CHANGES[2:]])
    made = vm_of(driver, "web-1")
    frozen = (current(find(driver, PARENT)).disks or ())[0].chain[-1]
    assert frozen in made.disks[0].chain[:-1]
    assert made.disks[0].chain[-1].path == "web-1/web-1.vmdk"
    assert made.power is Power.ON
    assert made.valid_mark is not None
    assert made.valid_mark.parent_uuid == find(driver, PARENT).uuid


def test_the_reads_of_a_batch_do_not_grow_with_it(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    steps = [step(driver, f"web-{n}") for n in range(20)]
    simulator.reset_calls()
    jobs = [driver.start(one) for one in steps]
    assert simulator.calls()["RetrievePropertiesEx"] == 1
    assert simulator.calls()["CreateVM_Task"] == simulator.calls()["MakeDirectory"] == 20
    assert [state.error for state in finish(driver, jobs)] == [None] * 20


def test_uuids_follow_from_the_board_and_the_datastore(driver: VsphereDriver) -> None:
    instance, folder = driver.identify().instance, step(driver).target.folder
    assert instance
    assert folder.startswith("ha-folder-vm@")
    assert folder.endswith("LocalDS_0")


def test_a_full_clone_is_a_copy_of_each_disk(simulator: Simulator, driver: VsphereDriver) -> None:
    assert told(clone(driver, FULL)) == {"web-1": "created"}
    assert changes(simulator) == ["MakeDirectory", *CHANGES]
    (disk,) = vm_of(driver, "web-1").disks
    assert [layer.path for layer in disk.chain] == ["web-1/web-1.vmdk"]


def test_the_first_disk_of_a_full_clone_may_be_larger(driver: VsphereDriver) -> None:
    larger = replace(FULL, hardware=Hardware(disk_bytes=20 << 30))
    assert told(clone(driver, larger)) == {"web-1": "created"}
    assert vm_of(driver, "web-1").disks[0].capacity_bytes == 20 << 30


def test_the_nvram_of_a_uefi_guest_is_there_before_the_clone_is(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    parent = find(driver, PARENT)
    native = driver._session.managed("VirtualMachine", parent.id)
    change = driver._jobs.start(
        PARENT, "x", native.ReconfigVM_Task, spec=vim.vm.ConfigSpec(firmware="efi")
    )
    result_of(driver, change)
    result_of(driver, driver.start(do.create_snapshot(parent, "uefi", "")))
    simulator.reset_calls()
    assert told(clone(driver)) == {"web-1": "created"}
    order = [call["method"] for call in simulator.log() if call["method"].endswith("_Task")]
    assert order == ["CopyDatastoreFile_Task", "CreateVM_Task", "PowerOnVM_Task"]
    (body,) = simulator.requests("CopyDatastoreFile_Task")
    assert ">[LocalDS_0] web-1/web-1.nvram</destinationName>" in body


def test_a_dry_run_shows_each_request_in_its_order(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    requests = driver.preview_clone(replace(step(driver), disk_move=DiskMove.SHARED))["calls"]
    assert isinstance(requests, list)
    methods = [one["method"] for one in requests]
    assert [one for one in methods if one in CHANGES] == ["MakeDirectory", *CHANGES]
    assert methods[-2:] == ["DeleteDatastoreFile_Task", "PowerOnVM_Task"]
    assert requests[3]["config"]["files"] == {"vmPathName": "[LocalDS_0] web-1/web-1.vmx"}
    assert not changes(simulator)


def test_a_snapshot_that_is_yet_to_be_taken_is_cloned_and_its_dry_run_is_shown(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    wanted = replace(WANTED, snapshot=SnapshotChoice(kind="new", name="next"))
    here = Connection(driver, address="vsphere:")
    assert here.preview(here.propose_clone(wanted).plan)
    assert not changes(simulator)
    assert told(clone(driver, wanted)) == {"web-1": "created"}


def test_nothing_is_linked_to_a_disk_that_a_vm_writes_to(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    with pytest.raises(NoSnapshotError):
        driver.start(replace(step(driver), snapshot=None))
    assert not changes(simulator)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (replace(WANTED, placement=Placement(folder="vm")), "``placement.folder``"),
        (replace(WANTED, customization_spec="web"), "``customization_spec``"),
        (replace(WANTED, customization=Customization(os=GuestOs.WINDOWS)), "os: windows"),
        (replace(WANTED, disk_move=DiskMove.CHILD_MOST), "``disk_move``"),
    ],
)
def test_what_only_a_vcenter_does_is_refused_by_its_name(
    simulator: Simulator, driver: VsphereDriver, request_: CloneRequest, named: str
) -> None:
    with pytest.raises(UnsupportedError, match=named) as caught:
        clone(driver, request_)
    assert caught.value.hint
    assert not changes(simulator)


# -- locked, and taken over -----------------------------------------------------------


def test_the_directory_is_the_lock_while_a_clone_is_made(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    simulator.delays(task_ms={"CreateVM_Task": 200_000})
    first = driver.start(step(driver))
    with pytest.raises(DuplicateNameError):
        driver.start(step(driver))
    second = driver.start(do.attach(step(driver)))
    simulator.delays()
    made = [state.result for state in finish(driver, [first, second])]
    assert made[0] == made[1] == vm_of(driver, "web-1").id
    assert changes(simulator).count("CreateVM_Task") == 1


def test_a_directory_that_a_killed_run_left_is_taken_over(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    make_directory(driver, "web-1")
    assert told(clone(driver)) == {"web-1": "created"}
    assert vm_of(driver, "web-1").power is Power.ON
    assert not [file for file in files(driver, "web-1") or () if "claim" in file]


def test_a_copy_that_a_killed_run_left_is_never_taken_for_whole(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    make_directory(driver, "web-1")
    make_directory(driver, "web-1/linkedclone-claim-1")
    copy_disk(driver, "[LocalDS_0] web-1/web-1.vmdk")
    simulator.reset_calls()
    assert told(clone(driver, FULL)) == {"web-1": "created"}
    calls = [call["method"] for call in simulator.log()]
    assert calls.index("DeleteDatastoreFile_Task") < calls.index("CopyVirtualDisk_Task")


def test_a_directory_with_the_files_of_others_is_left_alone(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    make_directory(driver, "web-1")
    copy_disk(driver, "[LocalDS_0] web-1/web-1.vmdk")
    (result,) = clone(driver).clones
    assert result.error is not None
    assert "files that linkedclone did not leave" in result.error.brief
    assert "CreateVM_Task" not in simulator.calls()
    assert "DeleteDatastoreFile_Task" not in simulator.calls()


def test_a_directory_with_a_disk_that_a_vm_reads_is_not_taken_over(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    """The VM is gone and so is its ``.vmx``, but a clone of it depends on the disk there."""
    assert told(clone(driver)) == {"web-1": "created"}
    made = vm_of(driver, "web-1")
    set_power(driver, made, Power.OFF)
    take_snapshot(driver, made, "own")
    govc.run(simulator, "vm.unregister", "web-1")
    govc.run(simulator, "vm.create", "-on=false", "-disk", "web-1/web-1.vmdk", "-link", "web-2")
    for file in files(driver, "web-1") or ():
        if not file.endswith(".vmdk"):
            govc.run(simulator, "datastore.rm", "-t=false", f"web-1/{file}")
    before = simulator.files()
    (result,) = clone(driver).clones
    assert result.error is not None
    assert "used by web-2" in result.error.details
    assert simulator.files() == before


def test_the_folder_of_a_killed_deletion_is_taken_over(
    simulator: Simulator, driver: VsphereDriver, tmp_path: Path
) -> None:
    make_directory(driver, "web-1")
    for name in (NOTE, "vmware.log", "web-1.vmx"):
        (tmp_path / name).write_text("left")
        govc.upload(simulator, tmp_path / name, f"web-1/{name}")
    assert told(clone(driver)) == {"web-1": "created"}
    assert NOTE not in (files(driver, "web-1") or ())


def test_of_two_that_take_a_directory_over_one_makes_the_clone(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    make_directory(driver, "web-1")
    with opened(simulator) as other:
        jobs = [(one, one.start(do.attach(step(driver)))) for one in (driver, other)]
        made = {result_of(one, job) for one, job in jobs}
    assert made == {vm_of(driver, "web-1").id}


def test_a_run_whose_answer_was_lost_ends_with_one_running_clone(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    simulator.drop("CreateVM_Task", after=True)
    assert told(clone(driver)) == {"web-1": "created"}
    assert vm_of(driver, "web-1").power is Power.ON
    assert changes(simulator).count("CreateVM_Task") == 1


def test_a_clone_of_a_run_that_was_killed_before_its_start_is_started(
    driver: VsphereDriver,
) -> None:
    result_of(driver, driver.start(replace(step(driver), power_on=False)))
    assert told(clone(driver)) == {"web-1": "existing"}
    assert vm_of(driver, "web-1").power is Power.ON


def test_sources_count_as_busy_while_any_vm_is_made(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    parent = find(driver, PARENT)
    simulator.delays(task_ms={"CreateVM_Task": 200_000})
    job = driver.start(step(driver))
    assert driver.observe_sources([parent.id]) == {parent.id}
    simulator.delays()
    result_of(driver, job)
    assert driver.observe_sources([parent.id]) == frozenset()


# -- undone ---------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_what_was_made_for_a_clone_that_failed_goes_unless_it_is_to_be_kept(
    simulator: Simulator, driver: VsphereDriver, *, keep: bool
) -> None:
    simulator.fault("CreateVM_Task", "InvalidDeviceSpec")
    report = clone(driver, replace(FULL, keep_failed=keep))
    assert report.clones[0].error is not None
    assert "could not clone web-1" in report.clones[0].error.brief
    assert (files(driver, "web-1") is None) is not keep


def test_a_clone_that_does_not_start_is_kept_and_started_by_the_next_run(
    simulator: Simulator, driver: VsphereDriver
) -> None:
    simulator.fault("PowerOnVM_Task", "InsufficientMemoryResourcesFault")
    (result,) = clone(driver).clones
    assert result.error is not None
    assert "could not be started" in result.error.brief
    made = vm_of(driver, "web-1")
    assert made.power is Power.OFF
    assert told(clone(driver)) == {"web-1": "existing"}
    assert VmId(made.id) == vm_of(driver, "web-1").id
    assert vm_of(driver, "web-1").power is Power.ON
