"""What becomes of a clone, given what its call ended with and what stands there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from linkedclone.errors import (
    BusyError,
    CustomizationError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    NoSpaceError,
    PowerOnError,
)
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import DiskMove, Hardware, NewDisk
from linkedclone.model.vm import LEFT_FAILED, Power, Vm
from linkedclone.planning.clone.outcome import Fate, judge, judge_existing
from tests.unit.building import REASON, TARGET, clone_of, disk, gold, unreadable

GOLD = gold()
CLONE = clone_of(GOLD, "desk")
assert CLONE.mark
STEP = CreateClone(
    source=GOLD,
    snapshot=GOLD.snapshots[0],
    target=TARGET,
    name="desk",
    uuid=CLONE.uuid,
    mark=CLONE.mark,
)


def on(clone: Vm) -> Vm:
    return replace(clone, power=Power.ON)


def full(clone: Vm) -> Vm:
    return replace(clone, disks=(disk("desk/desk.vmdk"),))


def hidden(clone: Vm) -> Vm:
    return replace(clone, disks=(disk("desk/desk.vmdk", hidden=True),))


def diskless(clone: Vm) -> Vm:
    return replace(clone, disks=())


def of_another_run(clone: Vm) -> Vm:
    return replace(clone, mark=replace(clone.mark, run="run-9") if clone.mark else None)


def unmarked(clone: Vm) -> Vm:
    return replace(clone, mark=None)


def renumbered(clone: Vm) -> Vm:
    return replace(clone, uuid="given-by-vcenter")


@dataclass(frozen=True, kw_only=True)
class Case:
    step: CreateClone = STEP
    there: tuple[Callable[[Vm], Vm], ...] | None = ()
    error: LinkedCloneError | None = None
    known: bool = True
    power_on: bool = True
    fate: Fate
    linked: bool | None = None
    stage: str = ""
    mend: bool = False


def with_new_disk(clone: Vm) -> Vm:
    return replace(clone, disks=(*clone.disks, disk("desk/desk_1.vmdk")))


def sharing(clone: Vm) -> Vm:
    return replace(clone, disks=(disk("gold/other.vmdk", "desk/desk.vmdk"),))


FULL = replace(STEP, disk_move=DiskMove.SHARED)
ADDED = replace(STEP, hardware=Hardware(disks=(NewDisk(capacity_bytes=1 << 30),)))

CASES = {
    "full as wanted": Case(step=FULL, there=(on, full), fate=Fate.CREATED, linked=False),
    "full as wanted, but its base is shared": Case(
        step=FULL, there=(on, sharing), fate=Fate.CREATED, linked=False
    ),
    "full, and its power-on failed": Case(
        step=FULL,
        there=(full,),
        error=PowerOnError("no host"),
        fate=Fate.KEPT,
        linked=False,
        stage="power-on",
    ),
    "full, one disk is missing and a new one is there": Case(
        step=replace(ADDED, disk_move=DiskMove.SHARED),
        there=(on, full),
        fate=Fate.UNDONE,
        linked=False,
        stage="clone",
    ),
    "full, and it may still be copied": Case(
        step=FULL,
        there=(full,),
        error=EndpointError("away"),
        known=False,
        power_on=False,
        fate=Fate.NOTHING,
        stage="clone",
    ),
    "full, to be started, and it may still be copied": Case(
        step=FULL,
        there=(full,),
        error=EndpointError("away"),
        known=False,
        fate=Fate.NOTHING,
        stage="clone",
    ),
    "full, and it runs although nobody told": Case(
        step=FULL,
        there=(on, full),
        error=EndpointError("away"),
        known=False,
        fate=Fate.CREATED,
        linked=False,
    ),
    "full and half-made": Case(
        step=FULL,
        there=(diskless,),
        error=NoSpaceError("full"),
        fate=Fate.UNDONE,
        linked=False,
        stage="clone",
    ),
    "full, without its disks and without an error": Case(
        step=FULL, there=(on, diskless), fate=Fate.UNDONE, linked=False, stage="clone"
    ),
    "full of a VM without snapshots": Case(
        step=replace(FULL, snapshot=None), there=(on, full), fate=Fate.CREATED, linked=False
    ),
    "full by another run": Case(
        step=FULL, there=(on, full, of_another_run), fate=Fate.EXISTING, linked=False
    ),
    "full was wanted and another run's is linked": Case(
        step=FULL, there=(on, of_another_run), fate=Fate.NOTHING, stage="submit"
    ),
    "linked with a new disk": Case(
        step=ADDED, there=(on, with_new_disk), fate=Fate.CREATED, linked=True
    ),
    "a full copy with a new disk": Case(
        step=ADDED, there=(on, full, with_new_disk), fate=Fate.UNDONE, linked=False, stage="proof"
    ),
    "a disk that nobody asked for": Case(
        there=(on, with_new_disk), fate=Fate.UNDONE, linked=False, stage="proof"
    ),
    "good": Case(there=(on,), fate=Fate.CREATED, linked=True),
    "good and left off": Case(power_on=False, fate=Fate.CREATED, linked=True),
    "another uuid was given": Case(
        there=(on, renumbered), fate=Fate.CREATED, linked=True, mend=True
    ),
    "a full copy is undone": Case(there=(on, full), fate=Fate.UNDONE, linked=False, stage="proof"),
    "a hidden chain is never undone": Case(there=(on, hidden), fate=Fate.CREATED, linked=None),
    "half-made is undone": Case(
        there=(diskless,), error=NoSpaceError("full"), fate=Fate.UNDONE, linked=False, stage="clone"
    ),
    "customization failed": Case(
        error=CustomizationError("nics"), fate=Fate.UNDONE, linked=True, stage="customize"
    ),
    "whole but off, and left off as wanted, yet the server says no": Case(
        power_on=False,
        error=NoSpaceError("full"),
        fate=Fate.UNDONE,
        linked=True,
        stage="clone",
    ),
    "power-on failed": Case(
        error=PowerOnError("no host"), fate=Fate.KEPT, linked=True, stage="power-on"
    ),
    "no room for the swap file": Case(
        error=NoSpaceError("full"), fate=Fate.KEPT, linked=True, stage="power-on"
    ),
    "good and running, whatever the server says": Case(
        there=(on,), error=BusyError("busy"), fate=Fate.CREATED, linked=True
    ),
    "nothing is there": Case(
        there=None, error=NoSpaceError("full"), fate=Fate.NOTHING, stage="clone"
    ),
    "made and gone": Case(there=None, fate=Fate.NOTHING, stage="clone"),
    "the task is forgotten, the clone whole": Case(
        there=(on,), error=GoneError("gone"), known=False, fate=Fate.CREATED, linked=True
    ),
    "the task is forgotten, the clone whole and off as wanted": Case(
        error=GoneError("gone"), known=False, power_on=False, fate=Fate.CREATED, linked=True
    ),
    "the poll failed, the clone may be starting": Case(
        error=HypervisorError("?"), known=False, fate=Fate.KEPT, linked=True, stage="power-on"
    ),
    "connection lost, clone under way": Case(
        there=(diskless,),
        error=EndpointError("gone"),
        known=False,
        fate=Fate.NOTHING,
        stage="clone",
    ),
    "connection lost, nothing to see yet": Case(
        there=None, error=BusyError("gone"), known=False, fate=Fate.NOTHING, stage="clone"
    ),
    "another run's clone is never undone": Case(
        there=(full, of_another_run), error=NoSpaceError("full"), fate=Fate.NOTHING, stage="clone"
    ),
    "an unmarked VM is never undone": Case(
        there=(full, unmarked), fate=Fate.NOTHING, stage="submit"
    ),
    "attached to another run's clone": Case(
        there=(on, of_another_run), fate=Fate.EXISTING, linked=True
    ),
    "another run's clone is a full copy": Case(
        there=(on, full, of_another_run), fate=Fate.NOTHING, stage="proof"
    ),
    "the name was taken meanwhile": Case(there=(unmarked,), fate=Fate.NOTHING, stage="submit"),
    "attaching failed": Case(
        there=(of_another_run,),
        error=BusyError("busy"),
        fate=Fate.NOTHING,
        stage="clone",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_clone_is_judged(name: str) -> None:
    case = CASES[name]
    clone: Vm | None = CLONE
    if case.there is None:
        clone = None
    else:
        for change in case.there:
            assert clone
            clone = change(clone)
    step = replace(case.step, power_on=case.power_on)
    verdict = judge(step, clone, error=case.error, known=case.known)
    assert verdict.fate is case.fate
    assert (verdict.failure.stage if verdict.failure else "") == case.stage
    assert verdict.mark_to_mend is case.mend
    if case.fate in {Fate.CREATED, Fate.EXISTING, Fate.KEPT, Fate.UNDONE}:
        assert verdict.proof
        assert verdict.proof.linked is case.linked


KEPT = {
    "its customization was refused": CustomizationError("two cards", hint="count them"),
    "its job failed, and nothing was to be started": NoSpaceError("full"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_failed_job_left_is_kept_if_that_was_asked_for(name: str) -> None:
    error = KEPT[name]
    step = replace(STEP, power_on=isinstance(error, CustomizationError))
    gone = judge(step, CLONE, error=error, known=True)
    kept = judge(replace(step, keep_failed=True), CLONE, error=error, known=True)
    assert (gone.fate, kept.fate) == (Fate.UNDONE, Fate.KEPT)
    assert kept.failure
    assert gone.failure
    assert kept.failure.stage == gone.failure.stage
    assert "desk was kept as it was left" in kept.failure.brief
    assert "``delete`` desk" in kept.failure.hint
    assert (gone.left_failed, kept.left_failed) == (False, True)


@pytest.mark.parametrize("linked", [True, False])
def test_what_was_kept_after_a_failure_is_never_a_good_clone(linked: bool) -> None:
    assert CLONE.mark
    left = replace(CLONE, mark=replace(CLONE.mark, spec=LEFT_FAILED))
    verdict = judge_existing(STEP.source, left, linked=linked)
    assert verdict.fate is Fate.NOTHING
    assert verdict.failure
    assert "``delete``" in verdict.failure.hint


def test_half_a_clone_is_kept_if_that_was_asked_for() -> None:
    step = replace(STEP, keep_failed=True)
    kept = judge(step, diskless(CLONE), error=NoSpaceError("full"), known=True)
    assert kept.fate is Fate.KEPT


def test_an_unrequested_full_copy_is_undone_even_with_keep_failed() -> None:
    step = replace(STEP, keep_failed=True)
    verdict = judge(step, full(on(CLONE)), error=None, known=True)
    assert verdict.fate is Fate.UNDONE


def test_what_was_made_and_cannot_be_read_is_neither_linked_nor_undone() -> None:
    for made in (unreadable(CLONE), unreadable(diskless(CLONE))):
        verdict = judge(STEP, made, error=None, known=True)
        assert verdict.fate is Fate.CREATED
        assert verdict.proof is not None
        assert verdict.proof.linked is None
        assert REASON in verdict.proof.reason
