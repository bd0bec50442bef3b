"""What doctor finds of a lone host, and what is refused there before anything is sent."""

from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.errors import DuplicateNameError, InUseError, RefusedError, UnsupportedError
from linkedclone.model.findings import Verdict
from linkedclone.model.request import CloneRequest, DiskMove, Scan
from linkedclone.model.vm import Power
from tests import do, govc
from tests.contract.acts import current, diagnose, error_of, find, result_of, take_snapshot
from tests.simulator import Simulator
from tests.vsphere.acts import opened
from tests.vsphere.lone_host.conftest import PARENT, link

CHANGES = ("PowerOnVM_Task", "CreateVM_Task", "RemoveSnapshot_Task", "Rename_Task", "MakeDirectory")


def findings(host: Simulator) -> dict[str, tuple[Verdict, str]]:
    driver = open_driver(host.endpoint())
    found = {one.check: (one.verdict, one.text) for one in diagnose(driver)}
    driver.close()
    return found


def set_host(host: Simulator, **settings: object) -> None:
    host.control("POST", "esx", settings)


def was_changed(host: Simulator) -> bool:
    return bool(set(CHANGES) & host.calls().keys())


def test_a_host_without_peculiarities_is_fine(host: Simulator) -> None:
    found = findings(host)
    assert {verdict for verdict, _ in found.values()} == {Verdict.OK}
    assert "ESXi host without vCenter" in found["vCenter"][1]


def test_doctor_names_what_stands_against_clones(host: Simulator) -> None:
    set_host(host, licence="free", managed_by="10.0.0.5", delta_disks=False, shared=["LocalDS_0"])
    found = findings(host)
    assert found["licence"][0] is Verdict.FAILED
    assert "this licence allows no changes" in found["licence"][1]
    assert found["managed by"][0] is Verdict.FAILED
    assert "10.0.0.5" in found["managed by"][1]
    assert found["delta disks"][0] is Verdict.FAILED
    assert found["datastores"][0] is Verdict.WARNING
    assert "LocalDS_0" in found["datastores"][1]


def test_doctor_names_vms_of_one_name(host: Simulator) -> None:
    link(host, "desk-1")
    govc.run(host, "vm.change", "-vm", "desk-1", "-name", PARENT)
    verdict, text = findings(host)["names"]
    assert verdict is Verdict.WARNING
    assert PARENT in text


def test_a_host_that_a_vcenter_manages_is_not_changed(host: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    set_host(host, managed_by="10.0.0.5")
    host.reset_calls()
    for step in (do.set_power(vm, Power.ON), do.rename_vm(vm, "other"), do.delete_vm(vm)):
        with opened(host) as fresh, pytest.raises(RefusedError, match=r"10\.0\.0\.5 manages"):
            fresh.start(step)
    assert not was_changed(host)
    despite = open_driver(replace(host.endpoint(), despite_vcenter=True))
    result_of(despite, despite.start(do.set_power(vm, Power.ON)))
    despite.close()


def test_linked_clones_are_refused_where_disks_cannot_be_shared(
    host: Simulator, driver: Driver
) -> None:
    set_host(host, delta_disks=False)
    request = CloneRequest(parent=PARENT, names=("desk-1",))
    parent = find(driver, PARENT)
    with pytest.raises(UnsupportedError, match="deltaDiskBackingsSupported"):
        driver.resolve_target(parent, request)
    assert driver.resolve_target(parent, replace(request, disk_move=DiskMove.SHARED)).datastore


def test_a_free_licence_is_named_by_the_first_change_which_is_not_repeated(
    host: Simulator, driver: Driver
) -> None:
    set_host(host, licence="free")
    host.reset_calls()
    error = error_of(driver, lambda: driver.start(do.set_power(find(driver, PARENT), Power.ON)))
    assert "this licence allows no changes" in error.brief
    assert not error.retryable
    assert host.calls()["PowerOnVM_Task"] == 1


def test_vms_of_other_hosts_on_shared_storage_are_said_to_be_unseen(
    host: Simulator, driver: Driver
) -> None:
    assert len(driver.observe().blind) == 1
    set_host(host, nfs=["LocalDS_0"])
    with opened(host) as fresh:
        assert any("VMs of other hosts on LocalDS_0" in one for one in fresh.observe().blind)


def test_no_file_on_shared_storage_is_waste(host: Simulator, driver: Driver) -> None:
    host.leave_orphan(PARENT)
    assert [stray.orphaned for stray in driver.observe(scan=Scan()).strays] == [True]
    set_host(host, shared=["LocalDS_0"])
    with opened(host) as fresh:
        assert [stray.orphaned for stray in fresh.observe(scan=Scan()).strays] == [False]


# -- what the host itself would do ----------------------------------------------------


def test_a_snapshot_that_clones_depend_on_is_neither_deleted_nor_merged(
    host: Simulator, driver: Driver
) -> None:
    link(host, "desk-1")
    vm = find(driver, PARENT)
    with pytest.raises(InUseError) as caught:
        driver.start(do.delete_snapshot(vm, current(vm).id))
    assert caught.value.dependants == ("desk-1",)
    later = take_snapshot(driver, vm, "later")
    assert "RemoveSnapshot_Task" not in host.calls()
    result_of(driver, driver.start(do.delete_snapshot(vm, later.id)))


def test_a_revert_keeps_what_a_clone_of_the_present_state_reads(
    host: Simulator, driver: Driver
) -> None:
    link(host, "desk-1", f"{PARENT}/disk1-000001.vmdk")
    vm = find(driver, PARENT)
    with pytest.raises(InUseError):
        driver.start(do.revert_snapshot(vm, current(vm).id))
    larger = do.grow_disk(vm, vm.disks[0].label, vm.disks[0].capacity_bytes + (1 << 30))
    with pytest.raises(InUseError):
        driver.start(larger)


def test_a_name_is_given_once_although_the_host_would_give_it_twice(
    host: Simulator, driver: Driver
) -> None:
    vm = find(driver, PARENT)
    with pytest.raises(DuplicateNameError):
        driver.start(do.rename_vm(vm, "ha-host_vm1"))
    result_of(driver, driver.start(do.rename_vm(vm, "gold")))
    assert find(driver, "gold").id == vm.id
