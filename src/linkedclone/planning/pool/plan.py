"""Plan what has to change in a pool for it to be as its spec wants it. Pure.

Every clone has a slot: the name that it has in the pool, kept in its mark. A
slot may hold two clones for a while, when the new one is to be healthy before
the old one goes; the newer then bears another name until it is renamed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import find_unread_users, hangable
from linkedclone.lineage.proof import shared_layers
from linkedclone.model.inventory import tell_unreadable
from linkedclone.model.pool import (
    Act,
    Create,
    Delete,
    Fitness,
    MemberChange,
    PoolChange,
    PoolPlan,
    PoolSpec,
    Reason,
    Reconfigure,
    Rename,
    Replace,
    Skip,
    Start,
    Stop,
    Why,
)
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.membership import (
    find_strangers,
    is_remnant,
    slot_of,
    state_of,
)
from linkedclone.planning.pool.sight import (
    PoolSight,
    changed_shape,
    hardware_to_change,
    is_behind,
    mendable_parts,
    on_image,
    parts_to_renew,
)
from linkedclone.planning.pool.spares import find_ready, find_unfit, name_spares

QUARANTINE_AFTER: Final = 3
"""Failures in a row on one image after which a clone is not made anew any more."""

_RANKS: Final[Mapping[Fitness, int]] = {
    Fitness.HEALTHY: 0,
    Fitness.STARTING: 1,
    Fitness.UNKNOWN: 2,
    Fitness.UNHEALTHY: 3,
}

_PARTS: Final[Mapping[str, str]] = {
    "cpus": "CPUs",
    "memory": "memory",
    "hardware": "hardware",
    "place": "place",
    "notes": "annotation",
    "guest": "customization",
    "move": "kind of clone",
}


def plan_pool(spec: PoolSpec, sight: PoolSight) -> PoolPlan:
    """Plan all that has to change, whatever may be done at once: see ``rollout`` for that."""
    return _Planner(spec, sight).plan()


class _Planner:
    def __init__(self, spec: PoolSpec, sight: PoolSight) -> None:
        self._spec = spec
        self._sight = sight
        self._lineage = Lineage(sight.inventory)
        self._changes: list[PoolChange] = []
        self._skipped: list[Skip] = []
        self._notes: list[str] = []
        self._standing = {
            vm.name.casefold(): vm
            for vm in sight.inventory.vms
            if vm.path.rpartition("/")[0] == sight.folder
        }
        self._unreadable = {vm.name.casefold(): vm for vm in reversed(sight.inventory.unreadable)}

    def plan(self) -> PoolPlan:
        members = self._sight.members(self._spec)
        by_slot: dict[str, list[Vm]] = {}
        for vm in members:
            by_slot.setdefault(slot_of(vm).casefold(), []).append(vm)
        for slot in self._spec.slots:
            self._plan_slot(slot, by_slot.pop(slot.casefold(), []))
        for vm in sorted((vm for vms in by_slot.values() for vm in vms), key=_by_name):
            self._act(Delete(slot=slot_of(vm), vm=vm, reasons=(Reason(why=Why.SURPLUS),)))
        self._plan_spares()
        self._note_moved(members)
        if self._sight.blocked:
            self._notes.append(f"no clone can be made now: {self._sight.blocked}")
        return PoolPlan(
            changes=tuple(self._changes),
            skipped=tuple(self._skipped),
            notes=tuple(self._notes),
            refused=find_strangers(self._sight.inventory, self._sight.identify(self._spec)),
        )

    def _plan_spares(self) -> None:
        """Take away the spares that no clone can take over, and fill up the others."""
        ready = find_ready(self._spec, self._sight)
        taking = sum(isinstance(change, Create | Replace) for change in self._changes)
        if ready and taking:
            few = render_count(min(len(ready), taking), "clone takes", "clones take")
            self._notes.append(f"{few} a spare over, if it fits")
        for vm in self._sight.spares(self._spec):
            if vm not in ready:
                reasons = find_unfit(vm, self._spec, self._sight) or (Reason(why=Why.SURPLUS),)
                self._act(Delete(slot=vm.name, vm=vm, reasons=reasons))
        if not self._sight.blocked:
            names = name_spares(self._spec, self._sight)
            for number in range(len(ready) + 1, self._spec.spares + 1):
                reason = Reason(why=Why.SPARE, text=f"{number} of {self._spec.spares}")
                self._changes.append(Create(slot=next(names), reasons=(reason,)))

    # -- one slot ---------------------------------------------------------------------

    def _plan_slot(self, slot: str, vms: Sequence[Vm]) -> None:
        if not vms:
            self._plan_missing(slot)
            return
        unread = next((vm for vm in vms if vm.unreadable), None)
        if unread is not None:
            reasons = (Reason(why=Why.UNREADABLE),)
            self._skip(Replace(slot=slot, vm=unread, reasons=reasons), tell_unreadable(unread))
            return
        stays, *others = sorted(vms, key=self._rank)
        coming = [vm for vm in vms if self._sight.fitness(vm) is Fitness.STARTING]
        if others and coming and self._spec.running:
            self._notes += [f"{vm.name} is coming up for {slot}" for vm in coming]
            return
        failed = self._find_failed(stays, others)
        for vm in others:
            if vm is not failed:
                self._act(Delete(slot=slot, vm=vm, reasons=self._reasons_to_drop(vm, stays)))
        if failed is None:
            self._plan_member(slot, stays)
            return
        # The old one goes on serving, and the new one is what is tried again: its
        # failures are counted on itself, so that this too comes to an end.
        self._act(Replace(slot=slot, vm=failed, reasons=tuple(self._condition(failed))))
        later = Replace(slot=slot, vm=stays, reasons=self._reasons_to_replace(stays))
        self._skip(later, f"{failed.name} has to be healthy first")

    def _find_failed(self, stays: Vm, others: Iterable[Vm]) -> Vm | None:
        """Find the clone that was to take the place of one that is to go, and is not healthy."""
        sick = [vm for vm in others if self._sight.fitness(vm) is Fitness.UNHEALTHY]
        if not sick or not self._reasons_to_replace(stays):
            return None
        return next((vm for vm in sick if not is_behind(vm, self._spec, self._sight)), None)

    def _plan_missing(self, slot: str) -> None:
        # Of one that cannot be read, neither the pool nor the folder may be known.
        unread = self._unreadable.get(slot.casefold())
        there = unread or self._standing.get(slot.casefold())
        reasons = (Reason(why=Why.MISSING),)
        if there is None:
            self._changes.append(Create(slot=slot, reasons=reasons))
            return
        because = "a VM outside this pool has its name"
        if unread is not None:
            because = tell_unreadable(unread)
        skip = Skip(slot=slot, vm=there, act=Act.CREATE, reasons=reasons, because=because)
        self._skipped.append(skip)

    def _rank(self, vm: Vm) -> tuple[int, bool, int, str]:
        """Sort the clones of one slot: the one that should stay comes first."""
        fitness = _RANKS[self._sight.fitness(vm)]
        return fitness, not on_image(vm, self._sight), -state_of(vm).generation, vm.uuid

    def _reasons_to_drop(self, vm: Vm, stays: Vm) -> tuple[Reason, ...]:
        """Say why a slot's second clone goes."""
        found = self._sight.health.get(vm.id)
        if found and found.fitness is Fitness.UNHEALTHY:
            return (Reason(why=Why.UNHEALTHY, text=found.reason),)
        return (Reason(why=Why.REPLACED, text=f"{stays.name} serves in its place"),)

    def _plan_member(self, slot: str, vm: Vm) -> None:
        renew = self._reasons_to_replace(vm)
        if renew:
            self._act(Replace(slot=slot, vm=vm, reasons=renew))
            return
        if vm.name != slot:
            self._plan_rename(slot, vm)
        reasons = self._reasons_to_reconfigure(vm)
        change = Reconfigure(slot=slot, vm=vm, reasons=reasons)
        # A guest that is suspended can only be shut down once it goes on.
        between = vm.power not in {Power.ON, Power.OFF}
        if not reasons or (between and self._spec.running):
            self._plan_power(slot, vm)
        elif between and hardware_to_change(vm, self._spec) != (None, None):
            self._skip(change, f"it is {vm.power.value}")
        else:
            self._act(change)

    def _plan_rename(self, slot: str, vm: Vm) -> None:
        there = self._standing.get(slot.casefold())
        reason = Reason(why=Why.RENAMED, text=f"it is called {vm.name}")
        change = Rename(slot=slot, vm=vm, reasons=(reason,))
        if there is None or there.id == vm.id:
            self._changes.append(change)
        elif not self._sight.identify(self._spec).fits(there) or slot_of(there) != slot:
            self._skip(change, f"{there.path or there.name} is there")

    def _plan_power(self, slot: str, vm: Vm) -> None:
        running = vm.power is Power.ON
        if running == self._spec.running or vm.power is Power.UNKNOWN:
            return
        if not self._spec.running and vm.power is not Power.ON:
            return
        reasons = (Reason(why=Why.POWER, text=f"it is {vm.power.value}"),)
        turn = Start if self._spec.running else Stop
        self._act(turn(slot=slot, vm=vm, reasons=reasons))

    # -- reasons ----------------------------------------------------------------------

    def _reasons_to_replace(self, vm: Vm) -> tuple[Reason, ...]:
        if is_remnant(vm):
            return (Reason(why=Why.UNHEALTHY, text="its files no longer exist"),)
        return (*self._image(vm), *self._shape(vm), *self._condition(vm))

    def _image(self, vm: Vm) -> Iterable[Reason]:
        sight = self._sight
        if on_image(vm, sight):
            return
        mark = vm.valid_mark
        if not shared_layers(vm) and not any(disk.hidden for disk in vm.disks):
            yield Reason(why=Why.UNLINKED, text="its disks are its own")
            return
        held = "another image"
        if mark:
            held = ", ".join(filter(None, (mark.parent_name, mark.snapshot_name)))
        wanted = ", ".join(filter(None, sight.image))
        yield Reason(why=Why.IMAGE, text=f"{held} → {wanted}")

    def _shape(self, vm: Vm) -> Iterable[Reason]:
        parts = parts_to_renew(vm, self._spec, self._sight)
        if parts:
            yield Reason(why=Why.SPEC, text=", ".join(_PARTS[part] for part in parts))

    def _condition(self, vm: Vm) -> Iterable[Reason]:
        spec, sight = self._spec, self._sight
        found = sight.health.get(vm.id)
        if found and found.fitness is Fitness.UNHEALTHY:
            yield Reason(why=Why.UNHEALTHY, text=found.reason)
        if spec.refresh_above is not None and (vm.own_bytes or 0) > spec.refresh_above:
            sizes = f"{render_size(vm.own_bytes)} of {render_size(spec.refresh_above)}"
            yield Reason(why=Why.GROWN, text=sizes)
        if spec.max_age is not None and vm.created is not None:
            age = sight.now - vm.created
            if age > timedelta(seconds=spec.max_age):
                yield Reason(why=Why.OLD, text=f"made {vm.created:%Y-%m-%d %H:%M}")
        if spec.instant and vm.power is Power.OFF:
            yield Reason(why=Why.POWER, text="it is off; it is forked anew, and not booted")
        if vm.id in sight.asked:
            yield Reason(why=Why.ASKED)

    def _reasons_to_reconfigure(self, vm: Vm) -> tuple[Reason, ...]:
        hardware = self._spec.hardware
        mendable = mendable_parts(self._spec)
        parts = {part for part in changed_shape(vm, self._sight) if part in mendable}
        seen = {"cpus": (vm.cpus, hardware.cpus), "memory": (vm.memory_bytes, hardware.memory)}
        for part, (held, wanted) in seen.items():
            if wanted is not None and held is not None and held != wanted:
                parts.add(part)
            elif wanted is not None and held == wanted:
                parts.discard(part)
        names = [_PARTS[part] for part in sorted(parts)]
        return (Reason(why=Why.SPEC, text=", ".join(names)),) if names else ()

    # -- what is left alone -----------------------------------------------------------

    def _act(self, change: MemberChange) -> None:
        because = self._why_not(change)
        if because:
            self._skip(change, because)
        else:
            self._changes.append(change)

    def _skip(self, change: MemberChange, because: str) -> None:
        self._skipped.append(
            Skip(
                slot=change.slot,
                vm=change.vm,
                act=change.act,
                reasons=change.reasons,
                because=because,
            )
        )

    def _why_not(self, change: MemberChange) -> str:
        vm = change.vm
        state = state_of(vm)
        if state.hold:
            return f"held: {state.hold}"
        if vm.unreadable:
            return tell_unreadable(vm)
        if isinstance(change, Start):
            return ""
        found = self._sight.health.get(vm.id)
        if found and found.in_use:
            return found.unasked or "in use"
        if not isinstance(change, Delete | Replace):
            return ""
        names = sorted({reader.name for reader in self._lineage.dependants(vm)})
        if names:
            return f"others depend on it: {list_names(names)}"
        lost = self._lineage.lost_with([vm])
        if any(self._lineage.owner(layer) is None for layer in lost):
            return (
                "it is the last VM on a base that belongs to no VM, which would be deleted with it"
            )
        layers = hangable(vm, self._lineage) | frozenset(lost)
        unread = find_unread_users(layers, self._lineage, {vm.id})
        if unread and not self._sight.despite_unreadable:
            return f"{tell_unreadable(unread[0])}; it may depend on this one"
        broken = {reason.why for reason in change.reasons} == {Why.UNHEALTHY}
        if broken and isinstance(change, Replace) and state.failures >= QUARANTINE_AFTER:
            return f"quarantined: it failed {state.failures} times on this image"
        return ""

    def _note_moved(self, members: Iterable[Vm]) -> None:
        moved = sorted(
            vm.path
            for vm in members
            if vm.path and vm.path.rpartition("/")[0] != self._sight.folder
        )
        if moved:
            self._notes.append(f"not in {self._sight.folder}: {list_names(moved)}")


def _by_name(vm: Vm) -> tuple[str, str]:
    return vm.name, vm.uuid
