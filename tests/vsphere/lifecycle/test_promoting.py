"""Clones that become independent, disks that grow, VMs that are unregistered: on a real wire."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import (
    BusyError,
    GoneError,
    HypervisorError,
    InputError,
    LinkedCloneError,
    LockedError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    UnsupportedError,
)
from linkedclone.lineage.family import Lineage
from linkedclone.model.jobs import Job
from linkedclone.model.report import Mode
from linkedclone.model.vm import Power, Vm
from tests import command, do, govc
from tests.contract.acts import error_of, files_of, find, read, result_of, set_power, take_snapshot
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, main_job, opened, prepare

GIB = 1 << 30


def make_clones(driver: Driver, *names: str) -> list[Vm]:
    """Make linked clones, off."""
    prepare(driver)
    _, clones = main_job(driver, PARENT, names)
    for clone in clones:
        set_power(driver, clone, Power.OFF)
    return [find(driver, name) for name in names]


def mode_of(driver: Driver, vm: Vm) -> Mode:
    return Lineage(driver.observe()).origin(read(driver, vm.id)).mode


def base_of(vm: Vm) -> str:
    return str(vm.disks[0].chain[0])


# -- promote --------------------------------------------------------------------------


def test_all_delta_disks_are_asked_for_by_naming_none(simulator: Simulator, driver: Driver) -> None:
    (clone,) = make_clones(driver, "desk-1")
    result_of(driver, driver.start(do.promote_vm(clone)))
    (body,) = simulator.requests("PromoteDisks_Task")
    assert re.search(r"<unlink[^>]*>true</unlink>", body)
    assert "<disks" not in body
    assert simulator.calls()["PromoteDisks_Task"] == 1


def test_the_command_makes_a_clone_full_and_touches_no_other_vm(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    clone, sibling = make_clones(driver, "desk-1", "desk-2")
    base = base_of(clone)
    code, report = command.run_json(
        "promote", "desk-1", "--yes", env=command.environment(simulator, tmp_path)
    )
    assert code == 0, report
    assert mode_of(driver, clone) is Mode.FULL
    assert mode_of(driver, sibling) is Mode.LINKED
    promoted = read(driver, clone.id)
    assert promoted.disks[0].chain == (promoted.disks[0].top,)
    assert base not in files_of(promoted)
    left = set(simulator.files())
    assert files_of(promoted) | files_of(sibling) | {base} <= left
    assert not files_of(clone) - files_of(promoted) - {base} & left


def test_a_running_clone_with_a_snapshot_is_refused_by_the_server_too(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    (clone,) = make_clones(driver, "desk-1")
    take_snapshot(driver, clone, "own")
    set_power(driver, clone, Power.ON)
    error = error_of(driver, lambda: driver.start(do.promote_vm(clone)))
    assert isinstance(error, HypervisorError)
    assert error.kind == "InvalidPowerState"
    assert "promote desk-1" in error.brief
    simulator.reset_calls()
    done = command.run("promote", "desk-1", "--yes", env=command.environment(simulator, tmp_path))
    assert done.returncode == 1
    assert "without snapshots" in done.stderr
    assert "PromoteDisks_Task" not in simulator.calls()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("NoDiskSpace", NoSpaceError),
        ("InsufficientStorageSpace", NoSpaceError),
        ("FileLocked", LockedError),
        ("NotSupported", UnsupportedError),
        ("MethodDisabled", UnsupportedError),
        ("CannotAccessVmComponent", HypervisorError),
        ("SystemError", HypervisorError),
    ],
)
def test_the_reasons_for_a_failed_promotion_are_distinguished(
    simulator: Simulator, driver: Driver, fault: str, error: type[LinkedCloneError]
) -> None:
    (clone,) = make_clones(driver, "desk-1")
    simulator.fault("PromoteDisks_Task", fault, name="desk-1")
    found = error_of(driver, lambda: driver.start(do.promote_vm(clone)))
    assert type(found) is error
    assert found.hint
    assert mode_of(driver, clone) is Mode.LINKED


def test_a_promotion_whose_answer_was_lost_can_be_repeated(
    simulator: Simulator, driver: Driver
) -> None:
    (clone,) = make_clones(driver, "desk-1")
    simulator.drop("PromoteDisks_Task", after=True)
    with pytest.raises(BusyError):
        driver.start(do.promote_vm(clone))
    result_of(driver, driver.start(do.promote_vm(clone)))
    assert mode_of(driver, clone) is Mode.FULL


def test_a_lone_host_is_not_even_asked(start_simulator: Callable[..., Simulator]) -> None:
    simulator = start_simulator("-esx")
    with opened(simulator) as driver:
        vm = driver.observe().vms[0]
        with pytest.raises(UnsupportedError) as caught:
            driver.start(do.promote_vm(vm))
    assert "``disk_move.shared``" in caught.value.hint
    assert "PromoteDisks_Task" not in simulator.calls()


# -- larger disks ---------------------------------------------------------------------


def test_growing_sends_the_disk_back_as_it_is_but_for_its_size(
    simulator: Simulator, driver: Driver
) -> None:
    (clone,) = make_clones(driver, "desk-1")
    result_of(driver, driver.start(do.promote_vm(clone)))
    before = read(driver, clone.id)
    label, size = before.disks[0].label, before.disks[0].capacity_bytes + GIB
    result_of(driver, driver.start(do.grow_disk(clone, label, size)))
    after = read(driver, clone.id)
    assert after.disks[0].capacity_bytes == size
    assert after.disks[0].chain == before.disks[0].chain
    (body,) = simulator.requests("ReconfigVM_Task")
    assert f"<capacityInBytes>{size}</capacityInBytes>" in body
    assert "extraConfig" not in body


def test_a_disk_with_a_backing_file_does_not_grow(simulator: Simulator, driver: Driver) -> None:
    (clone,) = make_clones(driver, "desk-1")
    label, size = clone.disks[0].label, clone.disks[0].capacity_bytes + GIB
    error = error_of(driver, lambda: driver.start(do.grow_disk(clone, label, size)))
    assert "Disks with parents cannot be expanded." in error.details


def test_growing_checks_what_it_is_given(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    disk = vm.disks[0]
    with pytest.raises(InputError):
        driver.start(do.grow_disk(vm, disk.label, disk.capacity_bytes + 1))
    with pytest.raises(NotFoundError):
        driver.start(do.grow_disk(vm, "Hard disk 7", disk.capacity_bytes + GIB))
    result_of(driver, driver.start(do.delete_vm(vm)))
    with pytest.raises(GoneError):
        driver.start(do.grow_disk(vm, disk.label, disk.capacity_bytes + GIB))
    assert "ReconfigVM_Task" not in simulator.calls()


# -- unregister -----------------------------------------------------------------------


def unregister(driver: Driver, vm: Vm) -> Job:
    assert isinstance(driver, VsphereDriver)
    return driver.start(do.unregister_vm(vm))


def test_the_last_user_of_a_base_is_unregistered_to_keep_it(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    first, second = make_clones(driver, "desk-1", "desk-2")
    result_of(driver, unregister(driver, find(driver, PARENT)))
    env = command.environment(simulator, tmp_path)
    refused = command.run("delete", "desk-1", "desk-2", "--yes", env=env)
    assert refused.returncode == 1
    assert "--keep-base" in refused.stderr
    code, report = command.run_json("delete", "desk-1", "desk-2", "--keep-base", "--yes", env=env)
    assert code == 0, report
    assert "UnregisterVM" in simulator.calls()
    assert driver.observe_vms([first.id, second.id]) == ()
    left = set(simulator.files())
    assert base_of(first) in left
    assert len({str(first.disks[0].top), str(second.disks[0].top)} & left) == 1


def test_a_family_goes_in_one_go_clones_of_clones_first(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    (middle,) = make_clones(driver, "desk-1")
    take_snapshot(driver, middle, "own")
    main_job(driver, "desk-1", ["desk-1-a", "desk-1-b"])
    simulator.reset_calls()
    code, report = command.run_json(
        "delete", "desk-1", "--cascade", "--yes", env=command.environment(simulator, tmp_path)
    )
    assert code == 0, report
    destroyed = [call["this"] for call in simulator.log() if call["method"] == "Destroy_Task"]
    assert len(destroyed) == 3
    assert destroyed[-1] == f"VirtualMachine:{middle.id}"
    parent = find(driver, PARENT)
    assert files_of(parent) <= set(simulator.files())
    assert not [file for file in simulator.files() if "desk-1" in file]


def test_unregistering_twice_is_done(simulator: Simulator, driver: Driver) -> None:
    (clone,) = make_clones(driver, "desk-1")
    simulator.drop("UnregisterVM", after=True)
    with pytest.raises(BusyError):
        unregister(driver, clone)
    result_of(driver, unregister(driver, clone))
    assert "desk-1.vmdk" in govc.files(simulator, "desk-1")


def test_a_running_vm_is_not_unregistered(simulator: Simulator, driver: Driver) -> None:
    (clone,) = make_clones(driver, "desk-1")
    set_power(driver, clone, Power.ON)
    error = error_of(driver, lambda: unregister(driver, clone))
    assert isinstance(error, HypervisorError)
    assert error.kind == "InvalidPowerState"
    assert read(driver, clone.id).name == "desk-1"


@pytest.mark.parametrize(
    ("privilege", "act"),
    [
        ("VirtualMachine.Provisioning.PromoteDisks", lambda d, vm: d.start(do.promote_vm(vm))),
        ("VirtualMachine.Inventory.Unregister", lambda d, vm: d.start(do.unregister_vm(vm))),
        (
            "VirtualMachine.Config.DiskExtend",
            lambda d, vm: d.start(do.grow_disk(vm, vm.disks[0].label, 64 * GIB)),
        ),
    ],
)
def test_a_missing_privilege_is_named(
    simulator: Simulator, driver: Driver, privilege: str, act: Callable[[Driver, Vm], Job]
) -> None:
    vm = find(driver, PARENT)
    simulator.miss_privileges([privilege])
    error = error_of(driver, lambda: act(driver, vm))
    assert isinstance(error, PermissionDeniedError)
    assert privilege in error.details
