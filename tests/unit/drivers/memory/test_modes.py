"""What the hypervisor in memory makes of move types, new disks and given addresses."""

from typing import Any

import pytest

import linkedclone
from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.model.report import Mode
from linkedclone.model.request import CloneRequest, DiskMove, Hardware, NewDisk
from linkedclone.model.vm import Vm
from tests.memory import MemoryHypervisor

MAC = "00:50:56:00:00:01"


@pytest.fixture
def hypervisor() -> MemoryHypervisor:
    """One with a parent of two snapshots, whose chains are two files deep therefore."""
    made = MemoryHypervisor()
    golden = made.add_vm("golden")
    made.add_snapshot(golden, "first")
    made.add_snapshot(golden, "second")
    return made


def clone(hypervisor: MemoryHypervisor, **wanted: Any) -> tuple[linkedclone.CloneReport, Vm]:
    with Connection(MemoryDriver(hypervisor), address="memory:") as connection:
        report = connection.clone(CloneRequest(parent="golden", names=("desk",), **wanted))
    (made,) = [vm for vm in hypervisor.vms if vm.name == "desk"]
    return report, made


MODES = {
    DiskMove.LINKED: (Mode.LINKED, 3),
    DiskMove.SHARED: (Mode.SHARED, 2),
    DiskMove.CHILD_MOST: (Mode.SHARED, 2),
    DiskMove.COPIED: (Mode.FULL, 1),
    DiskMove.CONSOLIDATED: (Mode.FULL, 1),
}


@pytest.mark.parametrize("move", DiskMove)
def test_the_mode_is_what_the_disks_say(hypervisor: MemoryHypervisor, move: DiskMove) -> None:
    report, made = clone(hypervisor, disk_move=move)
    mode, files = MODES[move]
    (result,) = report.clones
    assert (result.mode, result.linked) == (mode, move is DiskMove.LINKED)
    assert [len(disk.chain) for disk in made.disks] == [files]
    assert bool(report.notes) is (mode is Mode.SHARED)


def test_a_parent_without_snapshots_is_copied(hypervisor: MemoryHypervisor) -> None:
    hypervisor.add_vm("bare")
    with Connection(MemoryDriver(hypervisor), address="memory:") as connection:
        request = CloneRequest(parent="bare", names=("copy",), disk_move=DiskMove.SHARED)
        report = connection.clone(request)
        again = connection.clone(request)
    assert [clone.mode for clone in report.clones] == [Mode.FULL]
    assert [clone.status for clone in again.clones] == ["existing"]


def test_new_disks_are_empty_and_keep_the_clone_linked(hypervisor: MemoryHypervisor) -> None:
    disks = (NewDisk(capacity_bytes=5 << 30),)
    report, made = clone(hypervisor, hardware=Hardware(disks=disks))
    assert report.clones[0].linked is True
    assert [disk.capacity_bytes for disk in made.disks] == [8 << 30, 5 << 30]
    assert len(made.disks[1].chain) == 1


def test_a_full_clones_disk_may_be_larger(hypervisor: MemoryHypervisor) -> None:
    wanted = {"disk_move": DiskMove.CONSOLIDATED, "hardware": Hardware(disk_bytes=20 << 30)}
    _, made = clone(hypervisor, **wanted)
    assert [disk.capacity_bytes for disk in made.disks] == [20 << 30]


def test_given_addresses_are_used(hypervisor: MemoryHypervisor) -> None:
    _, made = clone(hypervisor, macs={"desk": (MAC,)})
    assert made.macs == (MAC,)
