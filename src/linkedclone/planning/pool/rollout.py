"""Choose what of a pool's plan may be done now, within the budgets of its rollout. Pure.

The plan says all that has to change. A wave is as much of it as may be under
way at once; after it everything is looked at and planned anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from linkedclone.model.pool import (
    Create,
    Delete,
    Fitness,
    PoolChange,
    PoolPlan,
    PoolSpec,
    Reconfigure,
    Replace,
    Start,
    Why,
)
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.membership import slot_of
from linkedclone.planning.pool.sight import PoolSight, hardware_to_change, is_behind

ChangeT = TypeVar("ChangeT", bound=PoolChange)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What may be done now."""

    changes: tuple[PoolChange, ...] = ()
    waits: str = ""  # why nothing more may be done now; empty if nothing is left

    @property
    def leaving(self) -> list[Delete | Replace]:
        """The changes that take a clone away; one that is replaced beside goes later."""
        replaced = (change for change in self.all_of(Replace) if not change.beside)
        return [*self.all_of(Delete), *replaced]

    def all_of(self, kind: type[ChangeT]) -> list[ChangeT]:
        """Return the changes of one kind."""
        return [change for change in self.changes if isinstance(change, kind)]


def choose_wave(spec: PoolSpec, sight: PoolSight, plan: PoolPlan) -> Wave:
    """Choose what may be done now; nothing at all if it has to be waited for clones to come up."""
    census = _Census(spec, sight, plan)
    careful: list[Replace | Reconfigure] = []
    quick: list[PoolChange] = []
    for change in plan.changes:
        if isinstance(change, Replace) or (
            isinstance(change, Reconfigure) and _needs_stop(change, spec)
        ):
            careful.append(change)
        else:
            # It makes nothing unavailable that serves; who wants a pool off, wants all of it off.
            quick.append(change)
    at_once = _fit_numbers(spec, census, quick)
    if not careful:
        later = len(at_once) < len(plan.changes)
        return Wave(changes=at_once, waits="the others follow" if later else "")
    careful.sort(key=lambda change: census.serves(change.vm))
    new_image = [change for change in careful if _onto_new(change)]
    others = [change for change in careful if not _onto_new(change)]
    allowed = census.allowed_canaries() if spec.rollout.canary else len(new_image)
    # What is not chosen for the canary's sake waits; the rest goes its way.
    candidates = [*others, *new_image[:allowed]]
    chosen = _fit(spec, census, candidates)
    waits = ""
    if len(chosen) < len(careful):
        waits = _say_why(spec, census, held_back=len(new_image) > allowed)
    elif len(at_once) + len(careful) < len(plan.changes):
        waits = "the others follow"
    return Wave(changes=(*at_once, *chosen), waits=waits)


def _fit_numbers(
    spec: PoolSpec, census: "_Census", changes: Sequence[PoolChange]
) -> tuple[PoolChange, ...]:
    """Let surplus clones serve for slots whose own are yet to come, as after a change of names.

    Each slot that is coming holds one of them back, but for as many as may be
    unavailable; and as long as they are there, clones that are missing are made
    as far as ``max_surge`` allows.
    """
    serving = [c for c in changes if _is_surplus(c) and census.serves(c.old)]
    held_back = max(0, census.coming - spec.rollout.max_unavailable)
    going = max(0, len(serving) - held_back)
    staying = {change.slot for change in serving[going:]}
    missing = [change for change in changes if isinstance(change, Create)]
    beyond = max(0, len(staying) - spec.rollout.max_surge)
    later = {change.slot for change in missing[max(0, len(missing) - beyond) :]}
    return tuple(
        change
        for change in changes
        if not (change.slot in staying and _is_surplus(change))
        and not (change.slot in later and isinstance(change, Create))
    )


def _is_surplus(change: PoolChange) -> bool:
    return isinstance(change, Delete) and any(r.why is Why.SURPLUS for r in change.reasons)


def _needs_stop(change: Reconfigure, spec: PoolSpec) -> bool:
    return hardware_to_change(change.vm, spec) != (None, None)


def _onto_new(change: Replace | Reconfigure) -> bool:
    whys = {reason.why for reason in change.reasons}
    return isinstance(change, Replace) and bool(whys & {Why.IMAGE, Why.SPEC})


def _fit(
    spec: PoolSpec, census: "_Census", candidates: Iterable[Replace | Reconfigure]
) -> list[Replace | Reconfigure]:
    """Take candidates as long as the budgets last; clones that do not serve anyway cost nothing."""
    room = max(0, spec.size + spec.rollout.max_surge - census.total)
    spare = max(0, spec.rollout.max_unavailable - census.unavailable)
    chosen: list[Replace | Reconfigure] = []
    for change in candidates:
        if not census.serves(change.vm):
            chosen.append(change)
        elif isinstance(change, Replace) and spec.rollout.max_surge and room > 0:
            room -= 1
            chosen.append(replace(change, beside=True))
        elif spare > 0:
            spare -= 1
            chosen.append(change)
        elif isinstance(change, Reconfigure) and not spec.rollout.max_unavailable and room > 0:
            # What may never be off cannot be changed in place: another takes its place.
            room -= 1
            chosen.append(
                Replace(slot=change.slot, vm=change.vm, reasons=change.reasons, beside=True)
            )
    return chosen


def _say_why(spec: PoolSpec, census: "_Census", *, held_back: bool) -> str:
    if held_back and census.fresh_healthy < spec.rollout.canary:
        return f"{spec.rollout.canary} on the new image have to be healthy first"
    if census.unavailable:
        return f"{census.unavailable} of {spec.size} are missing or not healthy"
    return "the others follow"


class _Census:
    """Counts a pool's clones: what serves, what is on the way."""

    def __init__(self, spec: PoolSpec, sight: PoolSight, plan: PoolPlan) -> None:
        self._spec = spec
        self._sight = sight
        members = sight.members(spec)
        wanted = {slot.casefold() for slot in spec.slots}
        serving = {slot_of(vm).casefold() for vm in members if self.serves(vm)} & wanted
        creates = sum(isinstance(c, Create) and not c.spare for c in plan.changes)
        self.total = len(members) + creates
        self.unavailable = len(wanted) - len(serving)
        starting = {slot_of(vm).casefold() for vm in members if self._is_starting(vm)}
        due = {
            change.slot.casefold()
            for change in plan.changes
            if isinstance(change, Create | Replace | Start)
        }
        self.coming = len((wanted - serving) & (starting | due))
        fresh = [vm for vm in members if not is_behind(vm, spec, sight)]
        self.fresh = len(fresh)
        self.fresh_healthy = sum(self.serves(vm) for vm in fresh)

    def serves(self, vm: Vm | None) -> bool:
        """Say whether a clone does what it is there for; in a pool that is off, all do."""
        if vm is None:
            return False
        if not self._spec.running:
            return True
        return vm.power is Power.ON and self._sight.fitness(vm) is Fitness.HEALTHY

    def _is_starting(self, vm: Vm) -> bool:
        return self._sight.fitness(vm) is Fitness.STARTING

    def allowed_canaries(self) -> int:
        """Return how many may go onto the new image now."""
        canary = self._spec.rollout.canary
        if self.fresh_healthy >= canary:
            return self._spec.size
        return max(0, canary - self.fresh)
