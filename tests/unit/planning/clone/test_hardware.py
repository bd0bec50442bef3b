"""What of the wanted hardware and disks is refused before anything is sent, and what is told."""

from dataclasses import replace
from typing import Any

import pytest

from linkedclone.errors import InputError, LinkedCloneError, NoSnapshotError, RefusedError
from linkedclone.lineage.proof import DEEPEST
from linkedclone.model.plan import CreateClone, Plan, TakeSnapshot
from linkedclone.model.request import (
    CloneRequest,
    DiskMove,
    Hardware,
    NewDisk,
    SnapshotChoice,
    Target,
)
from linkedclone.model.vm import Disk, Vm
from linkedclone.planning.clone.hardware import check_hardware
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene
from tests.unit.building import IDENTITY, TARGET, clone_of, disk, gold, snapshot, vm

GIB = 1 << 30
RUN = Run(id="run-1", version="1.0", snapshot_name="linkedclone-20261122")
REQUEST = CloneRequest(parent="gold", names=("desk-1",))


def plan(source: Vm, seen: tuple[Vm, ...] = (), **wanted: Any) -> Plan:
    return planner(source, seen, **wanted).plan()


def planner(
    source: Vm, seen: tuple[Vm, ...] = (), target: Target = TARGET, **wanted: Any
) -> ClonePlanner:
    scene = Scene(source=source, target=target, identity=IDENTITY, run=RUN, there=seen)
    return ClonePlanner(request=replace(REQUEST, **wanted), scene=scene)


def sized(one: Disk, size: int = 10 * GIB) -> Disk:
    return replace(one, capacity_bytes=size)


def with_disks(*disks: Disk) -> Vm:
    """A parent whose only snapshot has these disks."""
    return vm("gold", *disks, snapshots=(snapshot("base", *disks, current=True),))


def deep(files: int) -> Vm:
    """A parent whose clones have chains of so many files."""
    paths = [f"gold/gold-{number}.vmdk" for number in range(files - 1)]
    return with_disks(disk(*paths))


HARDWARE: dict[str, tuple[Hardware, str]] = {
    "cores": (Hardware(cpus=6, cores_per_socket=4), "sockets of 4 cores"),
    "an odd disk": (Hardware(disks=(NewDisk(capacity_bytes=1000),)), "multiple of 1 KiB"),
    "an odd size": (Hardware(disk_bytes=GIB + 1), "multiple of 1 KiB"),
    "no disk at all": (Hardware(disks=(NewDisk(capacity_bytes=0),)), "multiple of 1 KiB"),
    "our own key": (Hardware(extra_config=(("LinkedClone.owner", "me"),)), "linkedclone's own"),
    "no key": (Hardware(extra_config=((" ", "x"),)), "no key"),
    "a key twice": (Hardware(extra_config=(("a", "1"), ("A", "2"))), "given twice"),
    "a key with a field": (Hardware(extra_config=(("numvcpus", "4"),)), "would be dropped"),
}


@pytest.mark.parametrize("case", HARDWARE)
def test_hardware_that_no_parent_could_have_is_refused(case: str) -> None:
    hardware, words = HARDWARE[case]
    with pytest.raises(InputError, match=words):
        check_hardware(hardware)
    with pytest.raises(InputError, match=words):
        plan(gold(), hardware=hardware)


def test_hardware_that_fits_is_not_refused() -> None:
    disks = (NewDisk(capacity_bytes=GIB),)
    check_hardware(Hardware(cpus=8, cores_per_socket=4, disks=disks, extra_config=(("a", ""),)))


def test_chains_may_be_just_so_deep() -> None:
    assert plan(deep(DEEPEST)).steps
    with pytest.raises(RefusedError, match=f"{DEEPEST + 1} files deep") as caught:
        plan(deep(DEEPEST + 1))
    assert "``promote`` gold" in caught.value.hint
    assert "``disk_move.shared``" in caught.value.hint


@pytest.mark.parametrize("move", [m for m in DiskMove if not m.linked])
def test_a_full_copy_may_have_a_parent_with_any_chain_depth(move: DiskMove) -> None:
    assert plan(deep(DEEPEST + 5), disk_move=move).steps


def test_a_snapshot_that_is_yet_to_be_taken_counts_for_the_depth() -> None:
    paths = [f"gold/gold-{number}.vmdk" for number in range(DEEPEST)]
    source = vm("gold", disk(*paths))
    with pytest.raises(RefusedError, match="files deep"):
        plan(source, snapshot=SnapshotChoice(kind="new"))


def test_a_linked_clone_as_parent_is_reported_with_its_depth() -> None:
    clone = clone_of(gold(), "middle")
    frozen = snapshot("base", clone.disks[0], current=True)
    (note,) = plan(replace(clone, snapshots=(frozen,))).notes
    assert note == "middle is a linked clone itself: chains of its clones are 3 files deep"


def test_a_parent_of_its_own_is_not_worth_a_note() -> None:
    assert plan(gold()).notes == ()


def test_independent_disks_are_reported_with_their_size() -> None:
    data = replace(sized(disk("gold/data.vmdk", independent=True)), label="Hard disk 2")
    (note,) = plan(with_disks(sized(disk("gold/gold.vmdk")), data)).notes
    assert note.startswith("Hard disk 2 (10.0 GiB) is independent and is copied for each clone")


def test_notes_of_the_place_appear_only_once() -> None:
    found = planner(gold(), target=replace(TARGET, notes=("fell back",))).plan()
    assert found.notes == ("fell back",)


SIZES: dict[str, tuple[Vm, DiskMove, int, type[LinkedCloneError], str]] = {
    "a linked disk grows": (
        with_disks(sized(disk("gold/gold.vmdk"))),
        DiskMove.LINKED,
        20 * GIB,
        RefusedError,
        "a linked disk cannot grow",
    ),
    "a disk shrinks": (
        with_disks(sized(disk("gold/gold.vmdk"))),
        DiskMove.COPIED,
        5 * GIB,
        InputError,
        "cannot shrink",
    ),
    "a disk that may be shared grows": (
        with_disks(sized(disk("gold/gold.vmdk", "gold/gold-1.vmdk"))),
        DiskMove.SHARED,
        20 * GIB,
        RefusedError,
        "clones may share",
    ),
    "there is no disk": (
        vm("gold", snapshots=(snapshot("base", current=True),)),
        DiskMove.COPIED,
        5 * GIB,
        InputError,
        "no disk that could get",
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_a_size_that_cannot_be_had_is_refused_with_ways_out(case: str) -> None:
    source, move, size, error, words = SIZES[case]
    with pytest.raises(error, match=words) as caught:
        plan(source, disk_move=move, hardware=Hardware(disk_bytes=size))
    if case == "a linked disk grows":
        assert all(
            way in caught.value.hint
            for way in ("promote", "``disk_move.shared``", "``hardware.disks``")
        )


@pytest.mark.parametrize(
    ("move", "size"),
    [
        (DiskMove.LINKED, 10 * GIB),
        (DiskMove.SHARED, 20 * GIB),
        (DiskMove.CONSOLIDATED, 20 * GIB),
    ],
)
def test_the_size_it_has_and_larger_ones_of_full_clones_are_taken(
    move: DiskMove, size: int
) -> None:
    source = with_disks(sized(disk("gold/gold.vmdk")))
    (step,) = plan(source, disk_move=move, hardware=Hardware(disk_bytes=size)).steps
    assert isinstance(step, CreateClone)
    assert step.hardware.disk_bytes == size


# -- full clones -------------------------------------------------------------------------


@pytest.mark.parametrize("move", DiskMove)
def test_the_step_says_what_becomes_of_the_disks(move: DiskMove) -> None:
    (step,) = plan(gold(), disk_move=move).steps
    assert isinstance(step, CreateClone)
    assert (step.disk_move, step.snapshot) == (move, gold().snapshots[0])


@pytest.mark.parametrize("move", [m for m in DiskMove if not m.linked])
def test_a_parent_without_snapshots_is_copied_in_its_current_state(move: DiskMove) -> None:
    bare = vm("gold", disk("gold/gold.vmdk"))
    made = planner(bare, disk_move=move).plan()
    (step,) = made.steps
    assert isinstance(step, CreateClone)
    assert (step.snapshot, made.snapshot_name, step.mark.snapshot_name) == (None, "", "")


def test_a_linked_clone_of_a_parent_without_snapshots_is_never_a_copy() -> None:
    with pytest.raises(NoSnapshotError):
        plan(vm("gold", disk("gold/gold.vmdk")))


def test_a_full_clone_may_be_of_a_new_snapshot() -> None:
    new = SnapshotChoice(kind="new", name="now")
    bare = vm("gold", disk("gold/gold.vmdk"))
    take, make = plan(bare, disk_move=DiskMove.SHARED, snapshot=new).steps
    assert isinstance(take, TakeSnapshot)
    assert isinstance(make, CreateClone)


def test_independent_disks_alone_are_enough_for_a_full_clone() -> None:
    source = with_disks(disk("gold/gold.vmdk", independent=True))
    assert plan(source, disk_move=DiskMove.SHARED).steps
    with pytest.raises(RefusedError, match="no disk that a clone could depend on") as caught:
        plan(source)
    assert "``disk_move.shared``" in caught.value.hint
