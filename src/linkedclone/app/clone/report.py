"""What a batch of clones is reported with: verdicts and what was seen, as results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linkedclone.errors import LinkedCloneError
from linkedclone.execution.clone_stage import Made
from linkedclone.execution.runner import Runner
from linkedclone.execution.stages import Landing
from linkedclone.lineage.proof import Proof, shared_layers
from linkedclone.model.plan import CreateClone
from linkedclone.model.report import CloneReport, CloneResult, Failure, Mode, Stage, Status
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.outcome import CloneVerdict, Fate, judge_existing

if TYPE_CHECKING:
    from linkedclone.app.clone.job import Prepared
    from linkedclone.planning.clone.differences import Wanted


def mark_failed(result: CloneResult, stage: Stage, error: LinkedCloneError) -> CloneResult:
    """Return a result with an error."""
    return replace(result, status=Status.FAILED, error=Failure.from_error(stage, error))


def describe_existing(prepared: Prepared, vm: Vm) -> CloneResult:
    """Return the result for a clone that was there already."""
    linked = prepared.request.disk_move.linked
    verdict = judge_existing(prepared.scene.source, vm, linked=linked)
    result = CloneResult(name=vm.name, status=Status.FAILED, error=verdict.failure)
    if verdict.failure is None:
        result = replace(result, status=Status.EXISTING)
    return _compared(_seen(result, vm, verdict.proof), vm, prepared.scene.source, prepared.wanted)


def _compared(result: CloneResult, vm: Vm, source: Vm, wanted: Wanted) -> CloneResult:
    """Tell what a clone that was there depends on, and in what it differs from what is wanted."""
    from linkedclone.planning.clone.differences import find_base, find_differences

    base = find_base(vm, source, linked=wanted.request.disk_move.linked)
    result = replace(result, parent=base.parent, snapshot=base.snapshot)
    differences = find_differences(wanted, vm, base)
    if result.status is not Status.EXISTING or not differences:
        return result
    return replace(result, status=Status.DIFFERS, differences=differences)


def describe_started(result: CloneResult, landing: Landing[Any]) -> CloneResult:
    """Return the result of a clone that was there, off, and was to be started."""
    if landing.error is not None:
        return mark_failed(result, Stage.POWER_ON, landing.error)
    stages = (*result.stages, ("powered_on", landing.seconds))
    return replace(result, power=Power.ON, seconds=landing.seconds, stages=stages)


def describe_made(made: Made, prepared: Prepared) -> CloneResult:
    """Return the result for a clone that this run has made, or tried to."""
    verdict = made.verdict
    status = {
        Fate.CREATED: Status.CREATED,
        Fate.EXISTING: Status.EXISTING,
    }.get(verdict.fate, Status.FAILED)
    result = CloneResult(
        name=made.item.name,
        status=status,
        seconds=made.seconds,
        task=made.task,
        stages=_stages(made, verdict),
        error=verdict.failure,
    )
    if made.vm is None or verdict.fate in {Fate.UNDONE, Fate.NOTHING}:
        return replace(result, linked=verdict.proof.linked if verdict.proof else None)
    result = _seen(result, made.vm, verdict.proof)
    step, snapshot = made.item, made.item.snapshot
    if verdict.fate is Fate.EXISTING:
        here = replace(prepared.wanted, snapshot=snapshot)
        return _compared(result, made.vm, step.source, here)
    return replace(result, parent=step.source.name, snapshot=snapshot.name if snapshot else "")


def _stages(made: Made, verdict: CloneVerdict) -> tuple[tuple[str, float], ...]:
    """Return the seconds of each stage that the clone itself went through.

    Where the call that makes a clone starts it too, it runs when its task ends.
    """
    taken = made.submitted_seconds
    if taken is None:
        return ()
    submitted = ("submitted", taken)
    if made.vm is None or verdict.fate in {Fate.UNDONE, Fate.NOTHING}:
        return (submitted,)
    cloned = ("cloned", made.seconds - taken)
    if made.vm.power is not Power.ON:
        return (submitted, cloned)
    return (submitted, cloned, ("powered_on", 0.0))


def describe_unsent(step: CreateClone, runner: Runner) -> CloneResult:
    """Return the result for a clone that an interrupt left unfinished."""
    name = step.name
    if name in runner.in_flight and step.instant:
        brief = "interrupted before it had an identity of its own"
        hint = f"``delete`` {name} if it is there, then run the same command again"
    elif name in runner.in_flight:
        brief = "interrupted: the endpoint continues to create this clone"
        hint = "run the same command again to take it up"
    else:
        brief, hint = "interrupted before it was sent", "run the same command again"
    failure = Failure(stage=Stage.CLONE, brief=brief, hint=hint)
    return CloneResult(name=name, status=Status.SKIPPED, error=failure)


def tell_sharing(copies: Sequence[Vm]) -> tuple[str, ...]:
    """Tell of full clones that came out sharing files with others: those have to stay."""
    shared = {vm.name: shared_layers(vm) for vm in copies}
    names = [name for name, layers in shared.items() if layers]
    if not names:
        return ()
    files = sorted({layer for layers in shared.values() for layer in layers})
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    count = render_count(len(names), "full clone", "full clones")
    verb = "shares" if len(names) == 1 else "share"
    return (f"{count} ({list_names(names, most=1)}) {verb} {files[0]}{more} with other VMs",)


def _mode(vm: Vm, *, linked: bool | None) -> Mode:
    if linked is None:
        return Mode.UNKNOWN
    if linked:
        return Mode.LINKED
    return Mode.SHARED if shared_layers(vm) else Mode.FULL


def _seen(result: CloneResult, vm: Vm, proof: Proof | None) -> CloneResult:
    linked = proof.linked if proof else None
    return replace(
        result,
        id=vm.id,
        uuid=vm.uuid,
        mode=_mode(vm, linked=linked),
        linked=linked,
        proof="hidden" if linked is None else "",
        power=vm.power,
        host_name=vm.host_name,
        addresses=vm.addresses,
        ssh=vm.ssh,
        own_bytes=vm.own_bytes,
        shared_bytes=vm.shared_bytes,
    )


def build_report(
    prepared: Prepared, endpoint: str, results: Mapping[str, CloneResult], *, seconds: float
) -> CloneReport:
    """Return the report of a batch, in the order in which the names were given."""
    linked = prepared.request.disk_move.linked
    # What is not there has the mode that was wanted.
    mode = Mode.LINKED if linked else Mode.FULL
    by_name = {
        name.casefold(): _without_passwords(result if result.id else replace(result, mode=mode))
        for name, result in results.items()
    }
    if networks := prepared.request.network_filter:
        from linkedclone.model.values.networks import choose_addresses

        by_name = {
            key: replace(result, addresses=choose_addresses(result.addresses, networks))
            for key, result in by_name.items()
        }
    return CloneReport(
        endpoint=endpoint,
        parent=prepared.scene.source.name,
        snapshot=_common_snapshot(prepared, by_name.values()),
        clones=tuple(by_name[name.casefold()] for name in prepared.request.names),
        seconds=seconds,
        kind="instant" if prepared.request.instant else mode.value,
    )


def _common_snapshot(prepared: Prepared, results: Iterable[CloneResult]) -> str:
    """Return the snapshot that a batch depends on; one that was never taken is not told."""
    if prepared.creates:
        return prepared.plan.snapshot_name
    names = {result.snapshot for result in results if result.id}
    return names.pop() if len(names) == 1 else ""


def _without_passwords(result: CloneResult) -> CloneResult:
    """Return a result whose error does not repeat what was sent to the endpoint."""
    error = result.error
    if error is None:
        return result
    from linkedclone.config.redaction import scrub, scrub_sentence

    clean = replace(
        error,
        brief=scrub_sentence(error.brief),
        details=scrub(error.details),
        hint=scrub_sentence(error.hint),
    )
    return replace(result, error=clean)
