"""Judge what a clone call has left behind: keep it, undo it, or leave it to its owner."""

from dataclasses import dataclass, replace
from enum import StrEnum

from linkedclone.errors import (
    CustomizationError,
    HypervisorError,
    LinkedCloneError,
    NameTakenError,
    NotLinkedError,
    PowerOnError,
)
from linkedclone.lineage.proof import Proof, hangs_from, hangs_from_any, prove_copied, prove_linked
from linkedclone.model.plan import CreateClone
from linkedclone.model.report import Failure, Stage
from linkedclone.model.vm import LEFT_FAILED, Disk, Power, Vm


class Fate(StrEnum):
    """What becomes of a clone."""

    CREATED = "created"
    EXISTING = "existing"
    KEPT = "kept"
    UNDONE = "undone"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneVerdict:
    """The judgement on one clone."""

    # Created and good; existing: made by another run; kept: good, but not running as it should;
    # undone: this run made it, and it has to go; nothing: there is nothing that this run may touch.
    fate: Fate
    proof: Proof | None = None  # whether it is linked, where there is something to look at
    failure: Failure | None = None  # why it failed; None if it did not
    mark_to_mend: bool = False  # True if the hypervisor gave it another UUID than its mark names
    # True if it is kept as its failed call left it: its mark has to say so, or a later run would
    # take it up.
    left_failed: bool = False


def judge(
    step: CreateClone,
    vm: Vm | None,
    *,
    error: LinkedCloneError | None,
    known: bool,
) -> CloneVerdict:
    """Judge one clone.

    Args:
        step: What was wanted.
        vm: The VM with its name; None if there is none.
        error: What the call or job ended with.
        known: True if the hypervisor itself told how it ended. Where it could
            not be asked, nothing is undone: the job may go on.
    """
    if vm is None:
        return _nothing(error, known=known)
    if vm.mark is None or vm.mark.run != step.mark.run:
        return _theirs(step, vm, error)
    proof = _prove(step, vm)
    mend = vm.mark.uuid == step.uuid and vm.uuid != step.uuid
    if proof.linked is False and proof.reason:
        verdict = _not_linked(step, proof, error, known=known)
        return _spare(step, verdict, error) if step.keep_failed else verdict
    if error is not None and not known and _may_be_unfinished(step, vm):
        return CloneVerdict(fate=Fate.NOTHING, failure=_goes_on(error))
    if step.instant and (error is not None or vm.mark.spec == LEFT_FAILED):
        why = error or _nameless(step)
        verdict = CloneVerdict(fate=Fate.UNDONE, proof=proof, failure=_failure(why))
        return _spare(step, verdict, why) if step.keep_failed else verdict
    if error is None or _is_as_wanted(step, vm, error, known=known):
        return CloneVerdict(fate=Fate.CREATED, proof=proof, mark_to_mend=mend)
    if known and (isinstance(error, CustomizationError) or not step.power_on):
        verdict = CloneVerdict(fate=Fate.UNDONE, proof=proof, failure=_failure(error))
        return _spare(step, verdict, error) if step.keep_failed else verdict
    kept = Failure(
        stage=Stage.POWER_ON,
        brief=f"{step.name} was made but could not be started: {error.brief}",
        details=error.details,
        hint=error.hint
        or "fix the cause and run the same command again: it continues with this clone",
    )
    return CloneVerdict(fate=Fate.KEPT, proof=proof, failure=kept, mark_to_mend=mend)


def _prove(step: CreateClone, vm: Vm) -> Proof:
    """Look at a clone's disks: what was to be linked depends on the snapshot, else all are there.

    What is as wanted gives no reason.
    """
    if vm.unreadable:
        return Proof(linked=None, reason=f"it cannot be read: {vm.unreadable}")
    snapshot, added = step.snapshot, len(step.hardware.disks)
    if not step.disk_move.linked:
        disks = step.source.disks if snapshot is None else snapshot.disks or ()
        return prove_copied(vm.disks, disks, added=added)
    if step.instant and snapshot is None:
        return hangs_from(vm, _shared_layers(step.source))
    return prove_linked(vm.disks, snapshot.disks or () if snapshot else (), added=added)


def _shared_layers(source: Vm) -> tuple[Disk, ...]:
    """Return what the clones of a parent as it runs depend on, which has grown since.

    A frozen one has its top to itself from its first clone on [fact: vs-instant-frozen].
    """
    if not source.frozen:
        return source.disks
    return tuple(replace(disk, chain=disk.chain[:-1] or disk.chain) for disk in source.disks)


def _may_be_unfinished(step: CreateClone, vm: Vm) -> bool:
    """Say whether what is there may still be worked on.

    A copy shows all its disks before they are whole, and an instant clone runs before it
    has an identity of its own.
    """
    if step.instant:
        return True
    return not step.disk_move.linked and vm.power is not Power.ON


def _nameless(step: CreateClone) -> LinkedCloneError:
    return CustomizationError(
        f"{step.name} took no identity of its own: its network stayed down",
        hint="run the same command again",
    )


def _is_as_wanted(step: CreateClone, vm: Vm, error: LinkedCloneError, *, known: bool) -> bool:
    """Say whether a proven clone is good in spite of an error."""
    if not step.power_on:
        return not known
    return vm.power is Power.ON and not isinstance(error, CustomizationError)


def _not_linked(
    step: CreateClone, proof: Proof, error: LinkedCloneError | None, *, known: bool
) -> CloneVerdict:
    """Judge what this run has made and what does not have the disks that were wanted."""
    if error is not None and not known:
        # What is half-made may still become whole.
        return CloneVerdict(fate=Fate.NOTHING, failure=_goes_on(error))
    why = error or _unlike(step, proof)
    return CloneVerdict(fate=Fate.UNDONE, proof=proof, failure=_failure(why))


def _spare(
    step: CreateClone, verdict: CloneVerdict, error: LinkedCloneError | None
) -> CloneVerdict:
    """Keep what a failed job has left, as was asked for, and say so."""
    if verdict.fate is not Fate.UNDONE or error is None:
        return verdict
    kept = Failure(
        stage=stage_of(error),
        brief=f"{error.brief}; {step.name} was kept as it was left",
        details=error.details,
        hint=f"look at it, then delete it before you try again: ``delete`` {step.name}. "
        f"As for the cause: {error.hint}",
    )
    return replace(verdict, fate=Fate.KEPT, failure=kept, left_failed=True)


def _unlike(step: CreateClone, proof: Proof) -> LinkedCloneError:
    if not step.disk_move.linked:
        brief = f"{step.name} was made without all of its disks"
        return HypervisorError(brief, details=proof.reason, hint="it was deleted again")
    return NotLinkedError(
        f"{step.name} was to be a linked clone and is not",
        details=proof.reason,
        hint="it was deleted again; a full copy was not asked for",
    )


def _nothing(error: LinkedCloneError | None, *, known: bool) -> CloneVerdict:
    if error is None:
        gone = Failure(
            stage=Stage.CLONE,
            brief="the clone was created but no longer exists",
            hint="another user may have deleted it; run the command again",
        )
        return CloneVerdict(fate=Fate.NOTHING, failure=gone)
    if not known:
        return CloneVerdict(fate=Fate.NOTHING, failure=_goes_on(error))
    stage = Stage.CLONE if isinstance(error, PowerOnError) else stage_of(error)
    return CloneVerdict(fate=Fate.NOTHING, failure=Failure.from_error(stage, error))


def _goes_on(error: LinkedCloneError) -> Failure:
    return Failure(
        stage=Stage.CLONE,
        brief=f"the outcome of the clone task is unknown, and it may still run: {error.brief}",
        details=error.details,
        hint="run the same command again: it continues with what was made",
    )


def _theirs(step: CreateClone, vm: Vm, error: LinkedCloneError | None) -> CloneVerdict:
    """Judge what another run has put there under the name that was wanted."""
    if error is not None:
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(error))
    mark = vm.valid_mark
    if mark is None or mark.owner != step.mark.owner or mark.parent_uuid != step.source.uuid:
        taken = NameTakenError(
            f"another VM took the name {step.name} in the meantime",
            details=vm.path,
            hint="choose another name",
        )
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(taken))
    return judge_existing(step.source, vm, linked=step.disk_move.linked)


def judge_existing(source: Vm, vm: Vm, *, linked: bool = True) -> CloneVerdict:
    """Judge a clone of ours that an earlier or another run has made.

    It is proven against any snapshot of the parent. One that is not linked is
    told and never deleted: a user may have made it independent on purpose. So
    is one that was kept as its failed call left it.

    Args:
        source: The parent.
        vm: The clone.
        linked: Whether it is to be linked; a full clone that is linked is reported, too.
    """
    # Its mark may still name another UUID than the hypervisor gave it.
    if vm.mark and vm.mark.spec == LEFT_FAILED:
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(_was_left(vm)))
    if not linked:
        return _judge_copy(source, vm)
    proof = hangs_from_any(vm, source)
    if proof.linked is False:
        unlinked = NotLinkedError(
            f"{vm.name} exists with linkedclone's mark, but is not a linked clone of {source.name}",
            details=proof.reason,
            hint=f"delete it and run this again, if you want it linked: ``delete`` {vm.name}",
        )
        return CloneVerdict(fate=Fate.NOTHING, proof=proof, failure=_failure(unlinked))
    return CloneVerdict(fate=Fate.EXISTING, proof=proof)


def _was_left(vm: Vm) -> LinkedCloneError:
    return NameTakenError(
        f"{vm.name} was left by a failed or interrupted call; it is not a usable clone",
        details="it was neither finished nor given its identity, so it is left alone",
        hint=f"look at it, then delete it and run this again: ``delete`` {vm.name}",
    )


def _judge_copy(source: Vm, vm: Vm) -> CloneVerdict:
    """Judge a clone that was to be full: it must not depend on the snapshot that its mark names.

    Sharing a deeper layer is what the classic way of full clones may come to.
    """
    mark = vm.valid_mark
    marked = [s.disks or () for s in source.snapshots if mark and s.id == mark.snapshot]
    if any(hangs_from(vm, disks).linked for disks in marked):
        linked = NameTakenError(
            f"{vm.name} exists and is a linked clone of {source.name}, not a full one",
            hint=f"make it independent: ``promote`` {vm.name}",
        )
        return CloneVerdict(fate=Fate.NOTHING, proof=Proof(linked=True), failure=_failure(linked))
    return CloneVerdict(fate=Fate.EXISTING, proof=Proof(linked=False))


def _failure(error: LinkedCloneError) -> Failure:
    return Failure.from_error(stage_of(error), error)


def stage_of(error: LinkedCloneError) -> Stage:
    """Return the stage that an error belongs to, by its type."""
    if isinstance(error, CustomizationError):
        return Stage.CUSTOMIZE
    if isinstance(error, PowerOnError):
        return Stage.POWER_ON
    if isinstance(error, NotLinkedError):
        return Stage.PROOF
    if isinstance(error, NameTakenError):
        return Stage.SUBMIT
    return Stage.CLONE
