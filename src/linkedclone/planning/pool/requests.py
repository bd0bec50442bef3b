"""From what is to change in a pool to requests and marks. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.pool import Create, Fitness, PoolChange, PoolSpec, Replace, Why
from linkedclone.model.request import (
    CloneRequest,
    Hardware,
    NewDisk,
    Own,
    SnapshotChoice,
)
from linkedclone.model.vm import Mark, PoolState, Vm
from linkedclone.planning.pool.membership import slot_of, state_of
from linkedclone.planning.pool.sight import PoolSight
from linkedclone.planning.pool.spares import find_ready


def build_request(spec: PoolSpec, *, section: str) -> CloneRequest:
    """Return the request that all clones of a pool have in common, without names.

    Args:
        spec: The pool.
        section: The part of the spec that is about this hypervisor.
    """
    snapshot, wanted = SnapshotChoice(), spec.hardware
    if spec.snapshot:
        snapshot = SnapshotChoice(kind="named", name=spec.snapshot)
    request = CloneRequest(
        parent=spec.parent,
        names=(),
        snapshot=snapshot,
        hardware=Hardware(
            cpus=wanted.cpus,
            cores_per_socket=wanted.cores_per_socket,
            memory_bytes=wanted.memory,
            extra_config=tuple(wanted.extra_config.items()),
            disks=tuple(NewDisk(capacity_bytes=size) for size in wanted.add_disks),
        ),
        annotation=spec.annotation,
        customization=spec.customization,
        customization_spec=spec.customization.stored if spec.customization else "",
        power_on=spec.running,
        instant=spec.instant,
        owner=spec.pool,
    )
    settings = spec.per_driver.get(section)
    return settings.apply_to(request) if settings else request


def add_clones(
    request: CloneRequest,
    spec: PoolSpec,
    sight: PoolSight,
    changes: Iterable[PoolChange],
    claim: str = "",
) -> CloneRequest:
    """Return the request with the clones that a wave's changes make.

    Args:
        request: What they have in common.
        spec: The pool.
        sight: What is seen.
        changes: Creations and replacements.
        claim: Who works on the pool, if the first of them is to say so from its birth on.
    """
    changes = tuple(changes)
    taken, generations = _taken_names(sight, changes), _last_generations(sight)
    ready = list(find_ready(spec, sight))
    names: list[str] = []
    own: dict[str, Own] = {}
    macs: dict[str, tuple[str, ...]] = {}
    for change in changes:
        state = sight.identify(spec).sign(build_state(change, generations, taken))
        if claim and not names:
            state = replace(state, claim=claim, claimed=int(sight.now.timestamp()))
        beside = change.slot.casefold() in taken
        name = _name_beside(change.slot, state.generation) if beside else change.slot
        before = change.old.valid_mark if change.old else None
        kept = before.addresses if before and "address" in spec.keep else ()
        names.append(name)
        called = change.slot if name != change.slot else ""
        if state.spare:  # its own name may make no host name; nobody sees it
            called = spec.name.format(n=spec.first)
        own[name] = Own(generation=state.generation, called=called, addresses=kept, pool=state)
        if change.old and change.old.macs and "mac" in spec.keep:
            macs[name] = change.old.macs
        elif ready and not kept and not state.spare:
            # It has its addresses already.
            spare = ready.pop(0)
            held = spare.valid_mark.addresses if spare.valid_mark else ()
            own[name] = replace(own[name], spare=spare.id, addresses=held)
    return replace(request, names=tuple(names), own=own, macs=macs)


def _taken_names(sight: PoolSight, changes: Iterable[PoolChange]) -> frozenset[str]:
    """Return the names that stay taken while the changes are carried out, in lower case."""
    going = {c.vm.id for c in changes if isinstance(c, Replace) and not c.beside}
    return frozenset(
        vm.name.casefold()
        for vm in sight.inventory.vms
        if vm.id not in going and vm.path.rpartition("/")[0] == sight.folder
    )


def _name_beside(slot: str, generation: int) -> str:
    return f"{slot}.{generation}"


def build_state(
    change: PoolChange, generations: Mapping[str, int], taken: frozenset[str] = frozenset()
) -> PoolState:
    """Return what the mark of a new clone says of its place in the pool.

    Failures are counted on one image: they go on where an unhealthy clone is
    replaced by one of the same image, and begin anew on another.
    """
    old, generation = change.old, generations.get(change.slot.casefold(), -1) + 1
    while _name_beside(change.slot, generation).casefold() in taken:
        generation += 1
    if old is None:
        spare = isinstance(change, Create) and change.spare
        return PoolState(slot=change.slot, generation=generation, spare=spare)
    state, mark = state_of(old), old.valid_mark
    whys = {reason.why for reason in change.reasons}
    moved = bool(whys & {Why.IMAGE})
    failures = state.failures + 1 if Why.UNHEALTHY in whys and not moved else 0
    previous = (
        (mark.parent_uuid, mark.snapshot)
        if mark and moved
        else (
            state.previous_parent,
            state.previous_snapshot,
        )
    )
    return PoolState(
        slot=change.slot,
        generation=generation,
        failures=failures,
        previous_parent=previous[0],
        previous_snapshot=previous[1],
    )


def _last_generations(sight: PoolSight) -> dict[str, int]:
    """Return the last generation that clones have, as far as they are there, by slot."""
    last: dict[str, int] = {}
    for vm in sight.inventory.vms:
        if vm.valid_mark and vm.valid_mark.pool:
            slot = slot_of(vm).casefold()
            last[slot] = max(last.get(slot, -1), state_of(vm).generation)
    return last


def find_recovered(members: Iterable[Vm], sight: PoolSight) -> tuple[Vm, ...]:
    """Return the clones that have become healthy after failures."""
    return tuple(
        vm
        for vm in members
        if vm.valid_mark and state_of(vm).failures and sight.fitness(vm) is Fitness.HEALTHY
    )


def forgive(vm: Vm) -> Mark | None:
    """Return the mark of a clone without failures; None if there is nothing to forgive."""
    mark, state = vm.valid_mark, state_of(vm)
    return replace(mark, pool=replace(state, failures=0)) if mark and state.failures else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A golden image: a parent by UUID, and one of its snapshots by id."""

    parent: str
    snapshot: str


def find_previous(members: Sequence[Vm], pool: str, current: Image) -> Image:
    """Return the image that a pool depended on before: what most came from, or are on still.

    A recompose that was stopped leaves clones on the image before; those are
    asked what they are on, not what they came from.

    Args:
        members: The pool's clones.
        pool: Its name.
        current: The image that is wanted now.
    """
    known: Counter[Image] = Counter()
    for vm in members:
        mark, state = vm.valid_mark, state_of(vm)
        held = Image(parent=mark.parent_uuid, snapshot=mark.snapshot) if mark else current
        if held == current:
            held = Image(parent=state.previous_parent, snapshot=state.previous_snapshot)
        if held.snapshot:
            known[held] += 1
    if not known:
        raise RefusedError(
            f"no clone of {pool} was made from another image before",
            hint="name the image yourself: ``pool recompose`` FILE ``snapshot`` S",
        )
    return known.most_common(1)[0][0]


def match_members(
    members: Sequence[Vm], names: Sequence[str]
) -> tuple[tuple[Vm, ...], tuple[str, ...]]:
    """Find clones of a pool by slot, name or UUID; return them, and the names that fit none."""
    by_key: dict[str, Vm] = {}
    for vm in members:
        for key in (vm.uuid, slot_of(vm), vm.name):
            by_key[key.casefold()] = vm
    found = [by_key[name.casefold()] for name in names if name.casefold() in by_key]
    missing = tuple(name for name in names if name.casefold() not in by_key)
    return tuple({vm.id: vm for vm in found}.values()), missing


def find_members(
    members: Sequence[Vm], names: Sequence[str], spec: PoolSpec
) -> tuple[tuple[Vm, ...], tuple[str, ...]]:
    """Find the clones that are to be made anew; return them, and the names that are not there.

    A clone that is missing in its slot is made anyway. Refused only if none is in the pool.
    """
    found, missing = match_members(members, names)
    slots = {slot.casefold() for slot in spec.slots}
    absent = tuple(name for name in missing if name.casefold() not in slots)
    if len(absent) == len(names):
        refuse_missing(absent, spec.pool)
    return found, absent


NOT_A_MEMBER = "``pool status`` FILE lists its clones"
"""What to try if a name is not in a pool."""


def say_missing(pool: str) -> str:
    """Say of a name that it is not in a pool."""
    return f"not in the pool {pool}"


def refuse_missing(names: Sequence[str], pool: str) -> None:
    """Refuse names that are not in a pool."""
    if names:
        raise InputError(f"{say_missing(pool)}: {', '.join(names)}", hint=NOT_A_MEMBER)
