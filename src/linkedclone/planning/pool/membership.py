"""Who belongs to a pool: more than a name, for two pools may bear the same one. Pure.

A clone says in its mark what it belongs to: the owner's name, the numbering of
its slots, the folder, the parent. What does not fit the pool's file is never
changed or deleted for that pool; it is named, with what differs. What a clone
of an older version does not say is judged by what is seen.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from linkedclone.errors import RefusedError
from linkedclone.model.inventory import Inventory
from linkedclone.model.pool import PoolSpec, Stranger
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.values.ids import FolderId, VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer, Mark, PoolState, Vm
from linkedclone.planning.clone.plan import uuid_of

_MOST_GENERATIONS: Final = 200
"""How often a clone may have been made anew for its remains to be known again."""

_FIELD: Final = re.compile(r"\{n[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolIdentity:
    """What a clone has to fit to belong to a pool."""

    spec: PoolSpec  # the pool, for its name and its numbering
    parent: Vm  # the golden image
    place: str  # inventory path of the folder that its clones are made in
    # Clones that a person has said belong to it, though their marks do not say so yet.
    accepted: frozenset[VmId] = field(default_factory=frozenset)
    # The endpoint's own id and the folder's, of which the UUIDs of clones are made; None where
    # remains are not to be known again.
    origin: tuple[str, FolderId] | None = None

    def fits(self, vm: Vm) -> bool:
        """Say whether a VM belongs to the pool."""
        if is_remnant(vm):
            return self._has_made(vm)
        if vm.owner != self.spec.pool:
            return False
        return vm.id in self.accepted or not any(self._differences(vm))

    def _has_made(self, vm: Vm) -> bool:
        """Say whether a VM that lost its mark has a UUID that only this pool gives."""
        if self.origin is None or not _is_numbered(PoolState(), vm.name, self.spec):
            return False
        generations = range(_MOST_GENERATIONS)
        names = ((vm.name, n) for n in generations), ((f"{vm.name}.{n}", n) for n in generations)
        return any(
            vm.uuid == uuid_of(*self.origin, self.spec.pool, name, number)
            for name, number in chain(*names)
        )

    def sign(self, state: PoolState) -> PoolState:
        """Return what a clone's mark says of its place in the pool, with what it belongs to."""
        return replace(
            state, pattern=self.spec.numbering, place=self.place, parent=self.parent.uuid
        )

    def explain(self, vm: Vm) -> str:
        """Say why a VM of the pool's name does not fit."""
        return "; ".join(text for _, text in self._differences(vm))

    def advise(self, vm: Vm) -> str:
        """Say how a VM of the pool's name that does not fit comes into the pool."""
        mark = vm.valid_mark
        if mark is None or [field for field, _ in self._differences(vm)] != ["parent"]:
            return "if these clones belong to this pool: ``pool adopt`` FILE NAME"
        recompose = "``pool recompose`` FILE"
        if mark.parent_name == self.parent.name:  # made anew under its name
            return f"if this pool's parent was replaced: {recompose} ``snapshot`` SNAPSHOT"
        return (
            f"if this pool's parent was changed: write 'parent: {mark.parent_name}' into the file "
            f"again, then {recompose} ``parent`` {self.parent.name} ``snapshot`` SNAPSHOT"
        )

    def _differences(self, vm: Vm) -> Iterator[tuple[str, str]]:
        """Yield what does not fit: the setting of the file, and how it differs."""
        mark, state = vm.valid_mark, state_of(vm)
        if mark is None:
            yield "mark", "it has no mark of its own"
            return
        if not _is_numbered(state, vm.name, self.spec):
            held = state.pattern or f"the slot {state.slot or vm.name}"
            yield "name", f"it belongs to {held}, and the file says {self.spec.numbering}"
        place = state.place or _folder_of(vm)
        if place != self.place:
            yield "place", f"it belongs in {place}, and the file's clones are in {self.place}"
        if not self._is_of_parent(vm, mark, state):
            held = mark.parent_name or mark.parent_uuid or "another image"
            yield "parent", f"its parent is {held}, and the file's parent is {self.parent.name}"

    def _is_of_parent(self, vm: Vm, mark: Mark, state: PoolState) -> bool:
        if state.parent:
            return state.parent == self.parent.uuid
        frozen = {disk.top for one in self.parent.snapshots for disk in one.disks or ()}
        return mark.parent_uuid == self.parent.uuid or bool(find_forks(vm) & frozen)


def is_remnant(vm: Vm) -> bool:
    """Say whether nothing is left of a VM of ours but its name: its files were removed by hand."""
    return vm.owner == DEFAULT_OWNER and bool(vm.trouble) and not (vm.disks or vm.unreadable)


def _is_numbered(state: PoolState, name: str, spec: PoolSpec) -> bool:
    """Say whether a clone has a slot of the pool's numbering; in this size, or another."""
    if state.pattern:
        return state.pattern == spec.numbering
    before, after = _FIELD.split(spec.name, maxsplit=1)
    slot = (state.slot or name).casefold()
    found = re.fullmatch(
        f"{re.escape(before.casefold())}([0-9]{{1,9}}){re.escape(after.casefold())}", slot
    )
    if found is None or int(found[1]) < spec.first:
        return False
    return spec.name.format(n=int(found[1])).casefold() == slot


def _folder_of(vm: Vm) -> str:
    return vm.path.rpartition("/")[0]


def members_of(inventory: Inventory, identity: PoolIdentity) -> tuple[Vm, ...]:
    """Return a pool's clones: those whose valid mark names it, and that fit it; no spares."""
    return tuple(vm for vm in inventory.vms if identity.fits(vm) and not state_of(vm).spare)


def spares_of(inventory: Inventory, identity: PoolIdentity) -> tuple[Vm, ...]:
    """Return a pool's spares, whatever state they are in, by name."""
    found = [vm for vm in inventory.vms if state_of(vm).spare and identity.fits(vm)]
    return tuple(sorted(found, key=lambda vm: (vm.name, vm.uuid)))


def find_strangers(inventory: Inventory, identity: PoolIdentity) -> tuple[Stranger, ...]:
    """Return the clones of the pool's name that do not fit it, each with the reason."""
    found = [vm for vm in namesakes_of(inventory, identity.spec.pool) if not identity.fits(vm)]
    found.sort(key=lambda vm: (vm.path, vm.name, vm.uuid))
    return tuple(
        Stranger(vm=vm, because=identity.explain(vm), hint=identity.advise(vm)) for vm in found
    )


def advise_on(strangers: Sequence[Stranger]) -> str:
    """Say what to do about clones of a pool's name that do not fit it."""
    hints = dict.fromkeys(one.hint for one in strangers)
    return "; ".join(("another pool may have this name", *hints))


def namesakes_of(inventory: Inventory, pool: str) -> tuple[Vm, ...]:
    """Return all clones whose valid mark names a pool; of one pool or of several."""
    return tuple(vm for vm in inventory.vms if vm.owner == pool)


def members_by_name(inventory: Inventory, pool: str) -> tuple[Vm, ...]:
    """Return the clones of a pool of which no more than the name is known."""
    found = namesakes_of(inventory, pool)
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for vm in found:
        state, mark = state_of(vm), vm.valid_mark
        parent = state.parent or (mark.parent_uuid if mark else "")
        kinds.setdefault((state.pattern, state.place or _folder_of(vm), parent), []).append(vm.name)
    if len(kinds) > 1:
        raise RefusedError(
            f"several pools are called {pool}",
            details="\n".join(
                f"{pattern or 'without numbering'} in {place}: {list_names(names)}"
                for (pattern, place, _), names in sorted(kinds.items())
            ),
            hint="name the pool by its file",
        )
    return found


def find_accepted(
    inventory: Inventory, identity: PoolIdentity, before: PoolIdentity | None, parent: str
) -> frozenset[VmId]:
    """Find the clones that a pool takes along when its file changes on purpose.

    Args:
        inventory: All VMs.
        identity: The pool as the changed file describes it.
        before: As the file described it before; None if that cannot be looked up.
        parent: The parent as the file named it before: a clone still counts
            where another VM has that name by now, or none has.
    """
    name = parent.rpartition("/")[2]
    return frozenset(
        vm.id
        for vm in namesakes_of(inventory, identity.spec.pool)
        if identity.fits(vm)
        or (before is not None and before.fits(vm))
        or _was_called(identity, vm, name)
    )


def _was_called(identity: PoolIdentity, vm: Vm, parent: str) -> bool:
    mark, state = vm.valid_mark, state_of(vm)
    return (
        mark is not None
        and mark.parent_name == parent
        and _is_numbered(state, vm.name, identity.spec)
        and (state.place or _folder_of(vm)) == identity.place
    )


def choose_to_adopt(
    inventory: Inventory, identity: PoolIdentity, names: Iterable[str]
) -> tuple[tuple[Vm, ...], tuple[str, ...]]:
    """Return the clones of a pool's name that are named, and the names that fit none of them.

    A name is a name, path or UUID. Without names: all that do not fit the pool.
    """
    pool = identity.spec.pool
    refused = tuple(one.vm for one in find_strangers(inventory, identity))
    if not names:
        return refused, ()
    chosen: dict[VmId, Vm] = {}
    missing = []
    for name in names:
        key = name.casefold()
        found = [
            vm
            for vm in namesakes_of(inventory, pool)
            if key in {vm.name.casefold(), vm.path.casefold(), vm.uuid}
        ]
        # Of several, those that fit the pool already are not meant.
        found = [vm for vm in found if vm in refused] or found
        if len(found) > 1:
            raise RefusedError(
                f"{name} fits {len(found)} clones that bear the name of the pool {pool}",
                hint="give the path or the UUID of one",
            )
        chosen |= {vm.id: vm for vm in found}
        missing += [] if found else [name]
    if not chosen:
        raise RefusedError(
            f"not clones that bear the name of the pool {pool}: {', '.join(missing)}",
            hint="``pool status`` FILE lists them",
        )
    return tuple(chosen.values()), tuple(missing)


def state_of(vm: Vm) -> PoolState:
    """Return what the pool keeps on a clone."""
    mark = vm.valid_mark
    return mark.pool if mark and mark.pool else PoolState(slot=vm.name)


def slot_of(vm: Vm) -> str:
    """Return the slot that a clone belongs to."""
    return state_of(vm).slot or vm.name


def find_forks(vm: Vm) -> set[Layer]:
    """Return where a clone's chains leave its own folder for its parent's layers."""
    found = set()
    for disk in vm.disks:
        others = [at for at in disk.chain[:-1] if (at.store, at.folder) != vm.home]
        found.update(others[-1:])
    return found
