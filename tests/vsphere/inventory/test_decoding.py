"""What is read of whole inventories is what pyVmomi reads, field by field."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import pytest

from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.login import open_vsphere
from linkedclone.lineage.family import Lineage
from linkedclone.model.inventory import Inventory
from linkedclone.model.report import Mode
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere.acts import Start, opened, prepare
from tests.vsphere.oracle import read_inventory


@contextmanager
def reading(simulator: Simulator) -> Iterator[VsphereDriver]:
    driver = open_vsphere(simulator.endpoint())
    assert isinstance(driver, VsphereDriver)
    try:
        yield driver
    finally:
        driver.close()


def compare(ours: Inventory, theirs: Inventory) -> None:
    assert [vm.id for vm in ours.vms] == [vm.id for vm in theirs.vms]
    for vm, other in zip(ours.vms, theirs.vms, strict=True):
        for field in fields(vm):
            assert getattr(vm, field.name) == getattr(other, field.name), (vm.name, field.name)
        for disk, twin in zip(vm.disks, other.disks, strict=True):
            assert [layer.store_name for layer in disk.chain] == [
                layer.store_name for layer in twin.chain
            ]
    assert ours.files == theirs.files
    assert ours.stores == theirs.stores
    assert ours.measured == theirs.measured
    assert ours.blind == theirs.blind == ()


@pytest.fixture
def crowded(start_simulator: Start) -> Simulator:
    """A vCenter with families of three generations, on more pages than one."""
    return start_simulator("-vm", "60", "-clones", "65", "-ds", "2", "-app", "1", "-autostart")


def test_every_field_reads_as_pyvmomi_reads_it(crowded: Simulator) -> None:
    with reading(crowded) as driver:
        ours = driver._observer.observe(sizes=True)
        compare(ours, read_inventory(driver._session))
    assert len(ours.vms) > 300
    modes = [Lineage(ours).origin(vm).mode for vm in ours.vms]
    assert modes.count(Mode.LINKED) == 3 * 65
    assert max(len(disk.chain) for vm in ours.vms for disk in vm.disks) == 3


def test_files_of_all_layers_are_measured_and_lost_ones_are_missing(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        parent = prepare(driver)
    lost = parent.disks[0].chain[0]
    simulator.control("POST", "files/remove", {"name": f"[{lost.store_name}] {lost.path}"})
    with reading(simulator) as driver:
        assert not driver._observer.observe(sizes=True).files[lost].missing
        driver._session.managed("VirtualMachine", parent.id).RefreshStorageInfo()
        ours = driver._observer.observe(sizes=True)
        compare(ours, read_inventory(driver._session))
    assert {layer for layer, file in ours.files.items() if file.missing} == {lost}
    assert ours.files.keys() == {layer for vm in ours.vms for layer in vm.layers}


def test_growth_shows_once_the_server_has_measured_again(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        parent = prepare(driver)
    top = parent.disks[0].top
    with reading(simulator) as driver:
        before = driver._observer.observe(sizes=True)
        grown = {"name": f"[{top.store_name}] {top.path}", "bytes": 1 << 20}
        simulator.control("POST", "files/grow", grown)
        driver._session.managed("VirtualMachine", parent.id).RefreshStorageInfo()
        after = driver._observer.observe(sizes=True)
    sizes = [one.files[top].used_bytes or 0 for one in (before, after)]
    assert sizes[1] - sizes[0] == 1 << 20
    assert before.measured is not None


def test_without_sizes_nothing_of_them_is_read(simulator: Simulator) -> None:
    with reading(simulator) as driver:
        simulator.reset_calls()
        ours = driver._observer.observe()
        (request,) = simulator.requests("RetrievePropertiesEx")
        assert (dict(ours.files), ours.stores, ours.measured) == ({}, (), None)
        assert "layoutEx.disk" not in request
        assert "layoutEx.snapshot" not in request
        assert "summary.capacity" not in request


def test_a_vm_that_is_found_is_the_one_that_is_observed(crowded: Simulator) -> None:
    with opened(crowded) as driver:
        everything = {vm.path: vm for vm in driver.observe().vms}
        for path in ("/DC0/vm/DC0_H0_VM0", "/DC0/vm/DC0_H0_C10", "/DC0/vm/DC0_H0_C1"):
            assert find(driver, path) == everything[path]
