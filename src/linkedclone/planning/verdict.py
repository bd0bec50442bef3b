"""Judge what a clone call has left behind: keep it, undo it, or leave it to its owner."""

from dataclasses import dataclass
from enum import StrEnum

from linkedclone.errors import (
    CustomizationError,
    EndpointError,
    LinkedCloneError,
    NameTakenError,
    NotLinkedError,
    PowerOnError,
)
from linkedclone.model.lineage import Proof, prove_linked
from linkedclone.model.observed import Power, Vm
from linkedclone.model.plan import CreateClone
from linkedclone.model.report import Failure, Stage


class Fate(StrEnum):
    """What becomes of a clone."""

    CREATED = "created"
    EXISTING = "existing"
    KEPT = "kept"
    UNDONE = "undone"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneVerdict:
    """The judgement on one clone.

    Attributes:
        fate: Created and good; existing: made by another run; kept: good, but
            its power-on failed; undone: this run made it, and it has to go;
            nothing: there is nothing that this run may touch.
        proof: Whether it is linked, where there is something to look at.
        failure: Why it failed; None if it did not.
        mark_to_mend: True if the hypervisor gave it another UUID than its mark
            names.
    """

    fate: Fate
    proof: Proof | None = None
    failure: Failure | None = None
    mark_to_mend: bool = False


def judge(
    step: CreateClone, vm: Vm | None, *, error: LinkedCloneError | None, accepted: bool
) -> CloneVerdict:
    """Judge one clone.

    Args:
        step: What was wanted.
        vm: What stands under its name; None if nothing does.
        error: What the call or job ended with.
        accepted: True if the hypervisor took this run's own call, so that what
            stands there may be this run's.
    """
    if vm is None:
        return _nothing(error)
    proof = prove_linked(vm.disks, step.snapshot.disks or () if step.snapshot else ())
    if not accepted:
        return _theirs(step, vm, proof, error)
    if vm.mark is None or vm.mark.run != step.mark.run:
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(error or _not_marked(step)))
    return _ours(step, vm, proof, error)


def _ours(step: CreateClone, vm: Vm, proof: Proof, error: LinkedCloneError | None) -> CloneVerdict:
    """Judge what this run has made."""
    mend = vm.mark is not None and vm.mark.uuid == step.uuid and vm.uuid != step.uuid
    if proof.linked is False:
        if isinstance(error, EndpointError):
            # The connection is lost, the task is not: what is half-made may still become whole.
            return CloneVerdict(fate=Fate.NOTHING, failure=_failure(error))
        why = error or NotLinkedError(
            f"{step.name} was to be a linked clone and is not",
            details=proof.reason,
            hint="it was deleted again; a full copy was not asked for",
        )
        return CloneVerdict(fate=Fate.UNDONE, proof=proof, failure=_failure(why))
    as_wanted = not step.power_on or vm.power is Power.ON
    if error is None or (as_wanted and isinstance(error, EndpointError)):
        return CloneVerdict(fate=Fate.CREATED, proof=proof, mark_to_mend=mend)
    if not isinstance(error, PowerOnError):
        # Whole as it may look, the server says that it is not; it is seconds old and has
        # never run, so that nothing is lost and the next run makes it anew.
        return CloneVerdict(fate=Fate.UNDONE, proof=proof, failure=_failure(error))
    kept = Failure(
        stage=Stage.POWER_ON,
        brief=f"{step.name} was made but could not be started: {error.brief}",
        details=error.details,
        hint=error.hint or "mend the cause and run the same command again: it is taken up",
    )
    return CloneVerdict(fate=Fate.KEPT, proof=proof, failure=kept, mark_to_mend=mend)


def _nothing(error: LinkedCloneError | None) -> CloneVerdict:
    if error is None:
        gone = Failure(
            stage=Stage.CLONE,
            brief="the clone was made but is not there any more",
            hint="somebody may have deleted it; run the command again",
        )
        return CloneVerdict(fate=Fate.NOTHING, failure=gone)
    stage = Stage.CLONE if isinstance(error, PowerOnError) else stage_of(error)
    return CloneVerdict(fate=Fate.NOTHING, failure=Failure.from_error(stage, error))


def _theirs(
    step: CreateClone, vm: Vm, proof: Proof, error: LinkedCloneError | None
) -> CloneVerdict:
    """Judge what another run has put there under the name that was wanted."""
    if error is not None:
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(error))
    mark = vm.valid_mark
    if mark is None or mark.owner != step.mark.owner or mark.parent_uuid != step.source.uuid:
        taken = NameTakenError(
            f"the name {step.name} was taken meanwhile by something else",
            details=vm.path,
            hint="choose another name",
        )
        return CloneVerdict(fate=Fate.NOTHING, failure=_failure(taken))
    return CloneVerdict(fate=Fate.EXISTING, proof=proof)


def _not_marked(step: CreateClone) -> LinkedCloneError:
    return NotLinkedError(
        f"what stands under the name {step.name} does not bear this run's mark",
        hint="look at it with: linkedclone show " + step.name,
    )


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
