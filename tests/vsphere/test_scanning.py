"""Files of no VM: found on the datastore, told apart, and removed only when that is safe."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.storage import remove_file
from linkedclone.drivers.vsphere.storage.datastores import Datastore, read_datastores
from linkedclone.drivers.vsphere.storage.file_access import read_head
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InUseError,
    LinkedCloneError,
    LockedError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
)
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.request import Scan
from linkedclone.model.vm import Layer, Power, Vm
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from tests import command, do, govc
from tests.contract.acts import error_of, find, finish, read, result_of, set_power, take_snapshot
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, main_job, opened, prepare, steps_for, target_for

SEARCH = "SearchDatastoreSubFolders_Task"
DELETE = "DeleteDatastoreFile_Task"
READ = "GET /folder/"
BASE = "DC0_H0_VM0/disk1.vmdk"


@pytest.fixture
def clone(driver: Driver) -> Vm:
    """A linked clone, off, whose one file is ``desk-1/desk-1.vmdk``."""
    return make_clone(driver, "desk-1")


def make_clone(driver: Driver, name: str, ref: str = PARENT) -> Vm:
    if not find(driver, ref).snapshots:
        prepare(driver, ref)
    _, (made,) = main_job(driver, ref, [name])
    set_power(driver, made, Power.OFF)
    return read(driver, made.id)


def scan(driver: Driver, *places: str) -> Inventory:
    return driver.observe(sizes=True, scan=Scan(places=places))


def strays(driver: Driver) -> dict[str, Stray]:
    return {stray.layer.path: stray for stray in scan(driver).strays}


def strays_while(
    driver: Driver, simulator: Simulator, act: Callable[[], object]
) -> dict[str, Stray]:
    """Look for strays; act while the search is under way, which ends only after that."""

    def act_meanwhile() -> None:
        while not simulator.calls().get(SEARCH):
            time.sleep(0.02)
        try:
            act()
        finally:
            simulator.delays()

    simulator.reset_calls()
    simulator.delays(task_ms={SEARCH: 200_000})
    with ThreadPoolExecutor(1) as meanwhile:
        acting = meanwhile.submit(act_meanwhile)
        found = strays(driver)
        acting.result()
    return found


def paths(stray: Stray) -> list[str]:
    return [layer.path for layer in stray.chain]


def upload(simulator: Simulator, folder: Path, path: str, *, parent: str, extent: str) -> None:
    """Put the descriptor of a delta onto the datastore, as somebody does by hand."""
    text = (
        "# Disk DescriptorFile\nversion=1\n"
        f'parentFileNameHint="{parent}"\nRW 2048 VMFSSPARSE "{extent}"\n'
    )
    file = folder / "uploaded"
    file.write_text(text)
    govc.upload(simulator, file, path)


# -- what is found --------------------------------------------------------------------


def test_a_look_costs_one_search_and_reads_no_file_that_a_vm_reads(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    simulator.reset_calls()
    assert scan(driver).strays == ()
    calls = simulator.calls()
    assert calls[SEARCH] == 1
    assert READ not in calls


def test_chains_of_unregistered_clones_are_followed_to_the_base(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    take_snapshot(driver, clone, "own")
    make_clone(driver, "desk-1-a", "desk-1")
    for name in ("desk-1-a", "desk-1"):
        govc.run(simulator, "vm.unregister", name)
    found = strays(driver)
    assert paths(found["desk-1-a/desk-1-a.vmdk"]) == [
        BASE,
        "desk-1/desk-1.vmdk",
        "desk-1-a/desk-1-a.vmdk",
    ]
    assert found["desk-1/desk-1.vmdk"].about == "of the unregistered VM desk-1/desk-1.vmx"
    assert not any(stray.orphaned for stray in found.values())
    assert all(stray.used_bytes for stray in found.values())


def test_a_base_whose_vm_is_gone_is_a_layer_and_no_stray(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    govc.run(simulator, "vm.unregister", "DC0_H0_VM0")
    found = strays(driver)
    assert BASE not in found
    assert paths(found["DC0_H0_VM0/disk1-000001.vmdk"])[0] == BASE


def test_a_file_on_another_datastore_is_followed_by_the_volumes_id(
    start_simulator: Any, tmp_path: Path
) -> None:
    simulator = start_simulator("-ds", "2")
    with opened(simulator) as driver:
        prepare(driver)
        assert isinstance(driver, VsphereDriver)
        stores = read_datastores(driver._session, driver._collector)
        (first,) = [store for store in stores if store.name == "LocalDS_0"]
        hint = f"/vmfs/volumes/{first.volume}/{BASE}"
        file = tmp_path / "by-hand"
        file.write_text(f'# Disk DescriptorFile\nparentFileNameHint="{hint}"\n')
        govc.run(simulator, "datastore.upload", "-ds", "LocalDS_1", str(file), "far/far.vmdk")
        (stray,) = scan(driver, "LocalDS_1").strays
        assert [str(layer) for layer in stray.chain] == [
            f"[LocalDS_0] {BASE}",
            "[LocalDS_1] far/far.vmdk",
        ]
        assert scan(driver).strays == ()
        assert any("LocalDS_0" in said for said in scan(driver, "LocalDS_1").blind)


def test_a_datastore_that_is_not_there_is_said_before_anything_is_read(
    simulator: Simulator, driver: Driver
) -> None:
    simulator.reset_calls()
    with pytest.raises(NotFoundError) as caught:
        scan(driver, "ssd9")
    assert "LocalDS_0" in caught.value.hint
    assert sum(simulator.calls().values()) == 1


def test_an_orphan_is_distinguished_from_a_file_with_a_possible_owner(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    simulator.leave_orphan("desk-1")
    add = {
        # depends on the VM's file, but vSphere gives no such name
        "desk-1/backup.vmdk": "desk-1.vmdk",
        # named like a delta of the VM, but depends on another VM's file
        "desk-1/desk-1-000007.vmdk": "../DC0_H0_VM1/disk1.vmdk",
        # a delta of the parent's disk, but not in the parent's folder
        "desk-1/disk1-000009.vmdk": f"../{BASE}",
    }
    for path, parent in add.items():
        upload(simulator, tmp_path, path, parent=parent, extent="x-delta.vmdk")
    found = strays(driver)
    assert set(found) == {"desk-1/desk-1-000001.vmdk", *add}
    assert {path for path, stray in found.items() if stray.orphaned} == {
        "desk-1/desk-1-000001.vmdk"
    }


def test_a_delta_over_an_orphan_is_an_orphan(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    simulator.leave_orphan("desk-1")
    above = "desk-1/desk-1-000002.vmdk"
    extent = "desk-1-000002-delta.vmdk"
    upload(simulator, tmp_path, above, parent="desk-1-000001.vmdk", extent=extent)
    assert strays(driver)[above].orphaned


@pytest.mark.parametrize("config", ["desk-1/other.vmx", "desk-1/template.vmtx"])
def test_a_folder_with_an_unregistered_vm_has_no_orphans(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path, config: str
) -> None:
    simulator.leave_orphan("desk-1")
    file = tmp_path / "config"
    file.write_text('displayName = "other"\n')
    govc.upload(simulator, file, config)
    (stray,) = strays(driver).values()
    assert not stray.orphaned
    assert stray.about == f"of the unregistered VM {config}"


def test_extents_are_not_strays(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    orphan = simulator.leave_orphan("desk-1")
    govc.run(simulator, "datastore.rm", "-t=false", orphan.removeprefix("[LocalDS_0] "))
    assert "desk-1-000001-delta.vmdk" in govc.files(simulator, "desk-1")
    assert strays(driver) == {}


def test_a_delta_created_during_the_search_is_not_a_stray(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    snapshot = ("snapshot.create", "-vm", "desk-1", "meanwhile")
    found = strays_while(driver, simulator, lambda: govc.run(simulator, *snapshot))
    assert len(find(driver, "desk-1").snapshots) == 1
    assert found == {}


# -- what cannot be seen --------------------------------------------------------------


@pytest.mark.parametrize("privilege", ["Datastore.Browse", "Datastore.FileManagement"])
def test_what_the_user_may_not_look_at_is_said(
    simulator: Simulator, driver: Driver, clone: Vm, privilege: str
) -> None:
    govc.run(simulator, "vm.unregister", "desk-1")
    without = len(scan(driver).blind)
    simulator.miss_privileges([privilege])
    inventory = scan(driver)
    assert len(inventory.blind) == without + 1
    assert "LocalDS_0" in inventory.blind[-1]
    assert all(len(stray.chain) == 1 for stray in inventory.strays)


def test_an_invalid_descriptor_is_reported_as_an_unknown_dependency(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    file = tmp_path / "rubbish"
    file.write_bytes(bytes(range(256)) * 400)
    govc.upload(simulator, file, "desk-1/rubbish.vmdk")
    inventory = scan(driver)
    assert [stray.layer.path for stray in inventory.strays] == ["desk-1/rubbish.vmdk"]
    assert "[LocalDS_0] desk-1/rubbish.vmdk (it is not a disk descriptor)" in inventory.blind[-1]


def test_a_dependency_on_an_unknown_volume_is_reported(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    parent = "/vmfs/volumes/5f3c-404/gold.vmdk"
    upload(simulator, tmp_path, "x/x.vmdk", parent=parent, extent="x-delta.vmdk")
    inventory = scan(driver)
    assert [paths(stray) for stray in inventory.strays] == [["x/x.vmdk"]]
    assert "[LocalDS_0] x/x.vmdk (it depends on a file" in inventory.blind[-1]


def test_a_parent_that_is_gone_is_in_the_chain_and_known_to_be_missing(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    upload(simulator, tmp_path, "x/x.vmdk", parent="gone.vmdk", extent="x-delta.vmdk")
    inventory = scan(driver)
    (stray,) = inventory.strays
    assert paths(stray) == ["x/gone.vmdk", "x/x.vmdk"]
    assert inventory.files[stray.chain[0]].missing
    assert not inventory.files[stray.layer].missing


def test_without_a_look_that_is_said(driver: Driver) -> None:
    assert any("``scan``" in said for said in driver.observe().unscanned)
    assert not any("``scan``" in said for said in scan(driver).unscanned)


@pytest.mark.parametrize(
    ("fault", "at", "error"),
    [
        ("SystemError", "task", HypervisorError),
        ("FileFault", "task", HypervisorError),
        ("InvalidDatastore", "call", HypervisorError),
        ("HostCommunication", "task", BusyError),
    ],
)
def test_a_failed_search_is_not_an_empty_answer(
    simulator: Simulator, driver: Driver, fault: str, at: str, error: type[LinkedCloneError]
) -> None:
    simulator.fault(SEARCH, fault, at=at)
    with pytest.raises(error) as caught:
        scan(driver)
    assert "search datastore LocalDS_0" in caught.value.brief
    assert caught.value.hint


def test_a_session_that_ends_during_the_search_is_taken_up_again(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    govc.run(simulator, "vm.unregister", "desk-1")
    found = strays_while(driver, simulator, simulator.end_sessions)
    assert paths(found["desk-1/desk-1.vmdk"]) == [BASE, "desk-1/desk-1.vmdk"]


def test_a_session_that_ended_before_a_file_is_read_is_taken_up_again(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    assert isinstance(driver, VsphereDriver)
    (store,) = read_datastores(driver._session, driver._collector)
    simulator.end_sessions()
    simulator.reset_calls()
    assert b"DescriptorFile" in read_head(driver._session, store, "desk-1/desk-1.vmdk", 4096)
    assert simulator.calls()["Login"] == 1


def test_a_large_file_is_read_at_its_beginning_only(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    assert isinstance(driver, VsphereDriver)
    file = tmp_path / "large"
    file.write_bytes(b"\0" * (32 << 20))
    govc.upload(simulator, file, "large/large.vmdk")
    (store,) = read_datastores(driver._session, driver._collector)
    assert read_head(driver._session, store, "large/large.vmdk", 1000) == b"\0" * 1000
    with pytest.raises(NotFoundError):
        read_head(driver._session, store, "large/none.vmdk", 1000)
    assert driver.observe().vms


# -- what is guarded ------------------------------------------------------------------


def test_the_base_of_an_unregistered_clone_is_not_deleted_after_a_scan(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    govc.run(simulator, "vm.unregister", "desk-1")
    env = command.environment(simulator, tmp_path)
    before = simulator.files()
    for extra in ((), ("--cascade",)):
        refused = command.run(
            *("delete", "DC0_H0_VM0", "--force", "--yes", "--scan", "LocalDS_0"), *extra, env=env
        )
        assert refused.returncode == 1
        assert "desk-1/desk-1.vmdk" in refused.stderr
    assert simulator.files() == before


# -- what is removed ------------------------------------------------------------------


def test_gc_removes_an_orphan_with_its_extents_but_no_file_with_a_possible_owner(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    make_clone(driver, "desk-2")
    govc.run(simulator, "vm.unregister", "desk-2")
    before = simulator.files()
    orphan = simulator.leave_orphan("desk-1")
    env = command.environment(simulator, tmp_path)
    _, listed = command.run_json("gc", env=env)
    removable = {waste["name"]: waste["removable"] for waste in listed["waste"]}
    assert removable == {orphan: True, "[LocalDS_0] desk-2/desk-2.vmdk": False}
    assert orphan in simulator.files()
    code, report = command.run_json("gc", "--yes", env=env)
    assert code == 0, report
    assert simulator.files() == before
    assert govc.files(simulator, "desk-1") == {
        "desk-1.vmdk",
        "desk-1-delta.vmdk",
        "desk-1.vmx",
    }


def test_the_data_go_before_the_descriptor(simulator: Simulator, driver: Driver, clone: Vm) -> None:
    simulator.leave_orphan("desk-1")
    (stray,) = strays(driver).values()
    result_of(driver, driver.start(do.remove_stray(stray)))
    sent = simulator.requests(DELETE)
    assert ["-delta.vmdk" in body for body in sent] == [True, False]
    assert "DeleteVirtualDisk_Task" not in simulator.calls()


def test_many_are_removed_with_few_looks_at_the_vms(simulator: Simulator, driver: Driver) -> None:
    names = [f"desk-{number}" for number in range(8)]
    prepare(driver)
    main_job(driver, PARENT, names)
    for name in names:
        simulator.leave_orphan(name)
    found = list(strays(driver).values())
    assert len(found) == len(names)
    simulator.delays(call_ms=30)
    simulator.reset_calls()
    jobs: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda stray=stray: jobs.append(driver.start(do.remove_stray(stray)))
        )
        for stray in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looks = simulator.calls()["RetrievePropertiesEx"]
    assert [state.error for state in finish(driver, jobs)] == [None] * len(names)
    assert looks < 2 * len(names)
    assert strays(driver) == {}


def test_what_a_vm_reads_by_then_is_refused(driver: Driver, clone: Vm) -> None:
    claim = Stray(chain=clone.disks[0].chain, orphaned=True)
    error = error_of(driver, lambda: driver.start(do.remove_stray(claim)))
    assert isinstance(error, InUseError)
    assert error.dependants == ("desk-1",)


def test_what_a_snapshot_reads_is_refused(driver: Driver, clone: Vm) -> None:
    frozen = take_snapshot(driver, clone, "own")
    assert frozen.disks is not None
    claim = Stray(chain=frozen.disks[0].chain, orphaned=True)
    assert isinstance(error_of(driver, lambda: driver.start(do.remove_stray(claim))), InUseError)


def test_a_delta_is_left_while_a_task_works_on_the_vm_in_its_folder(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    simulator.leave_orphan("desk-1")
    (stray,) = strays(driver).values()
    simulator.delays(task_ms={"CreateSnapshot_Task": 200_000})
    running = driver.start(do.create_snapshot(clone, "own", ""))
    error = error_of(driver, lambda: driver.start(do.remove_stray(stray)))
    assert isinstance(error, BusyError)
    assert DELETE not in simulator.calls()
    simulator.delays()
    result_of(driver, running)
    result_of(driver, driver.start(do.remove_stray(stray)))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("FileLocked", LockedError),
        ("CannotDeleteFile", HypervisorError),
        ("NoPermission", PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("suffix", ["-delta.vmdk", ".vmdk"])
def test_what_could_not_be_removed_is_found_and_removed_the_next_time(
    simulator: Simulator,
    driver: Driver,
    clone: Vm,
    fault: str,
    error: type[LinkedCloneError],
    suffix: str,
) -> None:
    orphan = simulator.leave_orphan("desk-1")
    (stray,) = strays(driver).values()
    simulator.fault(DELETE, fault, name=orphan.removesuffix(".vmdk") + suffix)
    found = error_of(driver, lambda: driver.start(do.remove_stray(stray)))
    assert type(found) is error
    assert found.hint
    (again,) = strays(driver).values()
    result_of(driver, driver.start(do.remove_stray(again)))
    assert strays(driver) == {}
    assert "desk-1-000001-delta.vmdk" not in govc.files(simulator, "desk-1")


def test_a_disk_with_its_extents_elsewhere_is_left_alone(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    path = "desk-1/desk-1-000001.vmdk"
    upload(simulator, tmp_path, path, parent="desk-1.vmdk", extent="/vmfs/volumes/x/y-delta.vmdk")
    (stray,) = strays(driver).values()
    assert isinstance(error_of(driver, lambda: driver.start(do.remove_stray(stray))), RefusedError)
    assert DELETE not in simulator.calls()


def test_a_file_that_is_not_a_descriptor_is_left_alone(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    file = tmp_path / "rubbish"
    file.write_text("rubbish")
    govc.upload(simulator, file, "desk-1/rubbish.vmdk")
    (stray,) = strays(driver).values()
    assert isinstance(error_of(driver, lambda: driver.start(do.remove_stray(stray))), RefusedError)
    assert DELETE not in simulator.calls()


def test_a_stray_of_a_datastore_that_is_gone_cannot_be_removed(driver: Driver, clone: Vm) -> None:
    top = clone.disks[0].top
    layer = Layer(store=type(top.store)("datastore-404"), path=top.path)
    error = error_of(driver, lambda: driver.start(do.remove_stray(Stray(chain=(layer,)))))
    assert isinstance(error, NotFoundError)


def test_a_possible_base_of_a_clone_with_a_hidden_chain_is_not_an_orphan(
    simulator: Simulator, driver: Driver, clone: Vm, tmp_path: Path
) -> None:
    """The parent went back and lost the snapshot; vCenter keeps the delta for the clone alone."""
    take_snapshot(driver, find(driver, PARENT), "later")
    simulator.clone_mode("native")
    govc.clone(simulator, "DC0_H0_VM0", "native", snapshot="later")
    for words in (("revert", "base"), ("remove", "later")):
        govc.run(simulator, f"snapshot.{words[0]}", "-vm", "DC0_H0_VM0", words[1])
    before = simulator.files()
    code, report = command.run_json("gc", "--yes", env=command.environment(simulator, tmp_path))
    assert simulator.files() == before, report
    assert [waste["removable"] for waste in report["waste"]] == [False]
    assert code == 0


def test_a_disk_detached_from_a_vm_and_kept_is_not_an_orphan(
    simulator: Simulator, driver: Driver, clone: Vm
) -> None:
    take_snapshot(driver, clone, "own")
    (device,) = [
        line.split()[0]
        for line in govc.run(simulator, "device.ls", "-vm", "desk-1").splitlines()
        if line.startswith("disk-")
    ]
    govc.run(simulator, "device.remove", "-vm", "desk-1", "-keep", device)
    (stray,) = strays(driver).values()
    assert paths(stray)[-1] == "desk-1/desk-1-000001.vmdk"
    assert not stray.orphaned


def test_nothing_is_an_orphan_while_a_datastore_of_vms_was_not_looked_at(
    start_simulator: Any, tmp_path: Path
) -> None:
    simulator = start_simulator("-ds", "2")
    with opened(simulator) as driver:
        make_clone(driver, "desk-1")
        place = ("-pool", govc.POOL, "-ds", "LocalDS_1", "-on=false")
        govc.run(simulator, "vm.clone", "-vm", "DC0_H0_VM1", *place, "elsewhere")
        simulator.leave_orphan("desk-1")
        assert [s.orphaned for s in scan(driver, "LocalDS_0").strays] == [False]
        assert [s.orphaned for s in scan(driver).strays] == [True]


def test_a_file_is_removed_by_the_name_that_its_datastore_has_now(
    simulator: Simulator, driver: Driver, clone: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another datastore may have got the old name, and files of the same names."""
    simulator.leave_orphan("desk-1")
    (stray,) = strays(driver).values()
    claim = Stray(chain=clone.disks[0].chain, orphaned=True)
    error_of(driver, lambda: driver.start(do.remove_stray(claim)))

    def read_renamed(*given: Any) -> list[Datastore]:
        return [replace(store, name="moved") for store in read_datastores(*given)]

    monkeypatch.setattr(remove_file, "read_datastores", read_renamed)
    finish(driver, [driver.start(do.remove_stray(stray))])
    assert not any("[LocalDS_0] " in body for body in simulator.requests(DELETE))


def test_e_a_file_is_not_gone_because_its_datastore_was_renamed(
    simulator: Simulator, driver: Driver, clone: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = simulator.leave_orphan("desk-1")
    (stray,) = strays(driver).values()
    names = ["old"]

    def read_old(*given: Any) -> list[Datastore]:
        found = list(read_datastores(*given))
        return [replace(store, name=names.pop()) for store in found] if names else found

    monkeypatch.setattr(remove_file, "read_datastores", read_old)
    assert "renamed" in str(error_of(driver, lambda: driver.start(do.remove_stray(stray))))
    assert orphan in simulator.files()
    result_of(driver, driver.start(do.remove_stray(stray)))
    assert orphan not in simulator.files()
    result_of(driver, driver.start(do.remove_stray(stray)))


def test_gc_leaves_a_snapshot_that_clones_are_being_made_from(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    parent = find(driver, PARENT)
    take_snapshot(driver, parent, "base", SNAPSHOT_NOTE)
    parent = find(driver, PARENT)
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    take_snapshot(driver, parent, "later")
    simulator.delays(task_ms={"CloneVM_Task": 200_000})
    job = driver.start(step)
    env = command.environment(simulator, tmp_path)
    _, report = command.run_json("gc", "--yes", "--snapshots", env=env)
    assert [waste["status"] for waste in report["waste"]] == ["found"]
    assert any("being made" in said for said in report["not_seen"])
    simulator.delays()
    result_of(driver, job)
    assert [one.name for one in find(driver, PARENT).snapshots] == ["base", "later"]
