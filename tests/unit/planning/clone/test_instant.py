"""Tests of what instant clones are made of, and of what they cannot be given."""

from dataclasses import replace

import pytest

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.findings import Verdict
from linkedclone.model.request import (
    CloneRequest,
    DiskMove,
    Hardware,
    NewDisk,
    Nic,
    SnapshotChoice,
)
from linkedclone.model.values.ids import SnapshotId, StoreId, VmId
from linkedclone.model.vm import Disk, Layer, Power, Snapshot, SnapshotMemory, Vm
from linkedclone.planning.clone.instant import (
    MANY_LAYERS,
    MOST_LAYERS,
    check_layers,
    settle_instant,
    tell_forking,
)

WANTED = CloneRequest(parent="golden", names=("web-1",), instant=True)
COLD = Snapshot(id=SnapshotId("s-1"), name="cold", path="cold")
WARM = Snapshot(
    id=SnapshotId("s-2"), name="warm", path="cold/warm", memory=SnapshotMemory(size_bytes=1)
)
GOLDEN = Vm(id=VmId("vm-1"), name="golden", uuid="u", power=Power.ON)


def settle(source: Vm, snapshot: SnapshotChoice | None = None) -> SnapshotChoice:
    request = WANTED if snapshot is None else replace(WANTED, snapshot=snapshot)
    return settle_instant(request, source, forks_snapshots=True).snapshot


def test_a_new_snapshot_with_memory_is_taken_of_a_running_parent() -> None:
    assert settle(GOLDEN) == SnapshotChoice(kind="new", memory=True)
    named = SnapshotChoice(kind="new", name="warm")
    assert settle(GOLDEN, named) == SnapshotChoice(kind="new", name="warm", memory=True)


def test_a_parent_that_is_off_is_forked_from_its_current_snapshot_with_memory() -> None:
    off = replace(GOLDEN, power=Power.OFF, snapshots=(COLD, replace(WARM, current=True)))
    assert settle(off) == SnapshotChoice(kind="named", name="s-2")


def test_a_named_snapshot_with_memory_is_forked_whether_or_not_its_vm_runs() -> None:
    for power in (Power.ON, Power.OFF):
        source = replace(GOLDEN, power=power, snapshots=(COLD, WARM))
        choice = SnapshotChoice(kind="named", name="warm")
        assert settle(source, choice) == SnapshotChoice(kind="named", name="s-2")


@pytest.mark.parametrize(
    ("source", "choice", "words"),
    [
        (replace(GOLDEN, power=Power.OFF), SnapshotChoice(), "golden is off, and an instant"),
        (replace(GOLDEN, power=Power.OFF), SnapshotChoice(kind="new"), "golden is off"),
        (replace(GOLDEN, power=Power.UNKNOWN), SnapshotChoice(), "golden is unknown"),
        (replace(GOLDEN, template=True), SnapshotChoice(kind="new"), "golden is a template"),
        (
            replace(GOLDEN, snapshots=(COLD,)),
            SnapshotChoice(kind="named", name="cold"),
            "'cold' of golden has no memory",
        ),
        (
            replace(GOLDEN, power=Power.OFF, snapshots=(replace(COLD, current=True), WARM)),
            SnapshotChoice(),
            "'cold' of golden has no memory",
        ),
    ],
)
def test_what_cannot_be_forked_is_refused(source: Vm, choice: SnapshotChoice, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        settle(source, choice)


def test_a_snapshot_whose_memory_is_stale_is_refused_with_the_reason() -> None:
    stale = replace(WARM, memory=SnapshotMemory(size_bytes=1, stale="QEMU is older"))
    source = replace(GOLDEN, snapshots=(stale,))
    with pytest.raises(RefusedError, match="no instant clone can be made") as refused:
        settle(source, SnapshotChoice(kind="named", name="warm"))
    assert refused.value.details == "QEMU is older"


def test_where_running_vms_are_forked_no_snapshot_is_chosen() -> None:
    assert settle_instant(WANTED, GOLDEN, forks_snapshots=False) == WANTED
    named = replace(WANTED, snapshot=SnapshotChoice(kind="new"))
    with pytest.raises(InputError, match="as it runs, not of a snapshot"):
        settle_instant(named, GOLDEN, forks_snapshots=False)
    with pytest.raises(RefusedError, match="golden is off"):
        settle_instant(WANTED, replace(GOLDEN, power=Power.OFF), forks_snapshots=False)


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("power_on", replace(WANTED, power_on=False)),
        ("disk_move", replace(WANTED, disk_move=DiskMove.SHARED)),
        ("hardware.cpus", replace(WANTED, hardware=Hardware(cpus=2))),
        ("hardware.memory_bytes", replace(WANTED, hardware=Hardware(memory_bytes=1 << 30))),
        ("hardware.disks", replace(WANTED, hardware=Hardware(disks=(NewDisk(capacity_bytes=1),)))),
        ("hardware.firmware", replace(WANTED, hardware=Hardware(firmware="uefi"))),
        (
            "hardware.nics.add",
            replace(WANTED, hardware=Hardware(nics=(Nic(action="add", network="n"),))),
        ),
        ("customization_spec", replace(WANTED, customization_spec="win")),
        (
            "customization.os",
            replace(WANTED, customization=Customization(os=GuestOs.WINDOWS)),
        ),
        (
            "customization.time_zone",
            replace(WANTED, customization=Customization(time_zone="Europe/Berlin")),
        ),
        ("snapshot.quiesce", replace(WANTED, snapshot=SnapshotChoice(kind="new", quiesce=True))),
    ],
)
def test_what_only_a_guest_that_boots_can_be_given_is_refused_by_name(
    field: str, request_: CloneRequest
) -> None:
    with pytest.raises(InputError) as refused:
        settle_instant(request_, GOLDEN, forks_snapshots=True)
    assert f"``{field}``" in refused.value.brief


def test_another_network_is_no_other_hardware() -> None:
    remapped = replace(WANTED, hardware=Hardware(nics=(Nic(action="remap", network="n"),)))
    settle_instant(remapped, GOLDEN, forks_snapshots=True)


def test_a_running_vm_whose_chains_near_their_end_is_forked_only_if_it_is_frozen() -> None:
    def disks(layers: int) -> tuple[Disk, ...]:
        chain = tuple(Layer(store=StoreId("s"), path=str(n)) for n in range(layers))
        return (Disk(label="d", chain=chain),)

    check_layers(GOLDEN, disks(MOST_LAYERS))
    check_layers(replace(GOLDEN, frozen=True), disks(MOST_LAYERS + 1))
    with pytest.raises(RefusedError, match="201 layers"):
        check_layers(GOLDEN, disks(MOST_LAYERS + 1))
    check_layers(GOLDEN, disks(MOST_LAYERS - 9), count=10)
    with pytest.raises(RefusedError, match="and 10 more are wanted"):
        check_layers(GOLDEN, disks(MOST_LAYERS - 8), count=10)


def test_a_parent_that_is_forked_as_it_runs_is_told_with_its_layers() -> None:
    def tell(layers: int, *, frozen: bool = False) -> tuple[Verdict, str]:
        chain = tuple(Layer(store=StoreId("s"), path=str(n)) for n in range(layers))
        found = tell_forking(replace(GOLDEN, disks=(Disk(label="d", chain=chain),), frozen=frozen))
        return found.verdict, found.text

    assert tell(MANY_LAYERS - 1) == (
        Verdict.OK,
        "golden runs and has 59 layers: each clone adds one",
    )
    assert tell(MANY_LAYERS)[0] is Verdict.WARNING
    verdict, text = tell(MANY_LAYERS, frozen=True)
    assert verdict is Verdict.OK
    assert "golden is frozen" in text
