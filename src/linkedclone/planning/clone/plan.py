"""Plan N linked clones of one parent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from linkedclone.errors import NameTakenError, RefusedError
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.plan import (
    CreateClone,
    CreateFolder,
    Plan,
    SetPower,
    Step,
    TakeSnapshot,
    WriteMark,
)
from linkedclone.model.request import CloneRequest, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Disk, Identity, Mark, Power, Snapshot, Vm
from linkedclone.planning.clone.hardware import check_disks, check_hardware, note_disks
from linkedclone.planning.clone.outcome import judge_existing
from linkedclone.planning.clone.snapshot_choice import choose_snapshot
from linkedclone.planning.clone.spec_digest import describe_wanted, render_shape
from linkedclone.planning.vms.guards import refuse_unread

_NAMESPACE = uuid.UUID("6f0d5b0a-5f0e-5c3e-9d55-0d3f4c6f1b7e")

SNAPSHOT_NOTE = "Base of linked clones; made by linkedclone"
"""The description of snapshots that are taken for clones: so they are known again as ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What distinguishes this run; made outside, so that planning stays pure.

    Attributes:
        id: A random id that goes into the marks.
        version: The version of linkedclone.
        snapshot_name: What a new snapshot is called unless the request says so.
    """

    id: str
    version: str
    snapshot_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that was looked up for a batch; nothing more is looked at until it runs.

    Attributes:
        source: The parent, with the disks of its snapshots.
        target: Where the clones go.
        identity: What the endpoint says it is.
        run: What distinguishes this run.
        there: The VMs that already have the wanted names.
        vms: All VMs, where something that clones are given has to be single
            among them (MAC and IP addresses).
    """

    source: Vm
    target: Target
    identity: Identity
    run: Run
    there: tuple[Vm, ...] = ()
    vms: tuple[Vm, ...] = ()


def needs_inventory(request: CloneRequest) -> bool:
    """Say whether new clones of a request are given what must be single among all VMs."""
    wanted = request.customization
    return bool(request.macs) or (wanted is not None and wanted.gives_addresses)


def clone_uuid(identity: Identity, target: Target, request: CloneRequest, name: str) -> str:
    """Return the instance UUID of a clone: the same for every run that wants the same clone.

    It is made of the endpoint's own id, the folder's id, the owner, the name
    and the generation; never of the endpoint's address, which may change.
    """
    generation = request.generation_of(name)
    return uuid_of(identity.instance, target.folder, request.owner, name, generation)


def uuid_of(instance: str, folder: FolderId, owner: str, name: str, generation: int) -> str:
    """Return the instance UUID of what is made for an owner, under a name, at a place."""
    parts = (instance, folder, owner, name, str(generation))
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))


def hang_from(step: CreateClone, parent: Vm, snapshot: Snapshot) -> CreateClone:
    """Return the step with the snapshot that it refers to."""
    mark = replace(step.mark, snapshot=snapshot.id, snapshot_name=snapshot.name)
    return replace(step, source=parent, snapshot=snapshot, mark=mark)


def put_into(step: CreateClone, folder: FolderId, identity: Identity) -> CreateClone:
    """Return the step with the folder that it refers to, and the UUID that follows from it."""
    own = uuid_of(identity.instance, folder, step.mark.owner, step.name, step.generation)
    return replace(
        step,
        target=replace(step.target, folder=folder, new_folder=""),
        uuid=own,
        mark=replace(step.mark, uuid=own),
        guest=step.guest and replace(step.guest, instance_id=own),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClonePlan(Plan):
    """What is to be done for a batch.

    Attributes:
        snapshot: What is cloned from; None for a snapshot that is yet to be taken,
            and where a parent without snapshots is copied in its current state.
        snapshot_name: Its name, also if it is yet to be taken; empty for such a copy.
    """

    snapshot: Snapshot | None = None
    snapshot_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClonePlanner:
    """Plans a batch. Pure.

    Attributes:
        request: What is wanted.
        scene: What was looked up.
    """

    request: CloneRequest
    scene: Scene

    @property
    def _source(self) -> Vm:
        return self.scene.source

    @property
    def _target(self) -> Target:
        return self.scene.target

    def plan(self) -> ClonePlan:
        """Plan the clones.

        A clone of this parent that is there already comes out as ``existing``,
        from whichever snapshot it was made; the report says how it differs from
        the request. If it is off and should be on, it is started.
        """
        refuse_unread([self._source], action="clone")
        check_hardware(self.request.hardware)
        there = {vm.name.casefold(): vm for vm in self.scene.there}
        missing = [name for name in self.request.names if name.casefold() not in there]
        named = {n: there[n.casefold()] for n in self.request.names if n.casefold() in there}
        existing = tuple(named.values())
        snapshot = self._snapshot(missing=bool(missing))
        self._refuse_taken(named)
        mend = tuple(
            WriteMark(vm=vm.id, vm_name=vm.name, mark=replace(vm.mark, uuid=vm.uuid), seen=vm.mark)
            for vm in existing
            if vm.mark is not None and vm.valid_mark is None
        )
        targets = self._targets(missing)
        shape = render_shape(describe_wanted(self.request, self._target)) if missing else ""
        cards = self._cards(missing)
        make = tuple(
            self._create(name, snapshot, targets[name], shape=shape, cards=cards.get(name, ()))
            for name in missing
        )
        self._refuse_used_macs(make)
        take = self._take(snapshot, needed=bool(make))
        folder = self._folder(needed=bool(make))
        make = tuple(replace(step, awaits=take + folder) for step in make)
        start = tuple(self._starts(existing))
        stages = tuple(stage for stage in (mend, take, folder, make + start) if stage)
        notes = self._notes(snapshot) if make else ()
        return ClonePlan(
            stages=stages,
            existing=existing,
            notes=self._target.notes + notes,
            snapshot=snapshot,
            snapshot_name=snapshot.name if snapshot else self._new_name(),
        )

    def _notes(self, snapshot: Snapshot | None) -> tuple[str, ...]:
        """Tell what a person should know of the disks before the clones are made."""
        return tuple(note_disks(self.request, self._source, self._disks(snapshot)))

    def _targets(self, names: Sequence[str]) -> Mapping[str, Target]:
        """Return where each clone goes: all to one place, or spread over several."""
        over = self.request.placement.spread
        if not over or not self._target.spots:
            return dict.fromkeys(names, self._target)
        from linkedclone.planning.clone.spread import place_at, spread

        found = spread(names, self._target.spots)
        return {name: place_at(self._target, spot, over) for name, spot in found.items()}

    def _snapshot(self, *, missing: bool) -> Snapshot | None:
        """Return the snapshot that is cloned from; None for one that is yet to be taken.

        None as well where a parent without snapshots is copied in its current state:
        only what is linked needs one.
        """
        if self._copies_as_it_stands():
            snapshot = None
        else:
            snapshot = choose_snapshot(self._source, self.request.snapshot)
        if missing:
            disks = self._disks(snapshot)
            self._refuse_unlinkable(snapshot, disks)
            check_disks(self.request, self._source, disks)
        return snapshot

    def _copies_as_it_stands(self) -> bool:
        """Say whether there is no snapshot to clone from, and no need of one."""
        wanted = self.request.snapshot
        if wanted.kind != "current":
            return False
        if self.request.instant:  # of the parent as it runs, see ``settle_instant``
            return True
        linked = self.request.disk_move.linked or self._source.snapshots
        return not linked and not wanted.prepare_template

    def _disks(self, snapshot: Snapshot | None) -> tuple[Disk, ...]:
        """Return the disks that are cloned."""
        return self._source.disks if snapshot is None else snapshot.disks or ()

    def _refuse_unlinkable(self, snapshot: Snapshot | None, disks: Iterable[Disk]) -> None:
        if not self.request.disk_move.linked or any(not disk.independent for disk in disks):
            return
        what = f"snapshot {snapshot.name!r} of {self._source.name}" if snapshot else "the parent"
        raise RefusedError(
            f"{what} has no disk that a clone could depend on",
            hint="independent disks are left out of snapshots; make a disk dependent first, "
            "or make full clones with ``disk_move.shared``",
        )

    def _refuse_taken(self, existing: Mapping[str, Vm]) -> None:
        taken = [
            f"{vm.path or vm.name}: {reason}"
            for name, vm in existing.items()
            if (reason := self._conflict(vm, name))
        ]
        if taken:
            raise NameTakenError(
                render_count(len(taken), "name is taken", "names are taken"),
                details="\n".join(taken),
                hint="choose other names or another ``placement.folder``; nothing was created",
            )

    def _conflict(self, vm: Vm, name: str) -> str:
        """Say why an existing VM is not a clone of this parent that the request may keep."""
        if vm.unreadable:
            return f"cannot be read: {vm.unreadable}"
        mark = self._mark_of(vm, name)
        if mark is None:
            return "not made by linkedclone"
        if mark.owner != self.request.owner:
            return f"belongs to {mark.owner}"
        if not mark.parent_uuid:
            return "not a clone"
        if mark.parent_uuid != self._source.uuid:
            return f"a clone of {mark.parent_name or 'another parent'}"
        return ""

    def _mark_of(self, vm: Vm, name: str) -> Mark | None:
        """Return a VM's mark if it counts.

        Also one that names the UUID which a clone of this name in this folder
        is given: vCenter gave it another, and that run ended before it wrote so.
        """
        if vm.valid_mark is not None or vm.mark is None:
            return vm.valid_mark
        wanted = clone_uuid(self.scene.identity, self._target, self.request, name)
        return vm.mark if vm.mark.uuid == wanted else None

    def _create(
        self,
        name: str,
        snapshot: Snapshot | None,
        target: Target,
        *,
        shape: str,
        cards: tuple[GuestCard, ...],
    ) -> CreateClone:
        own = clone_uuid(self.scene.identity, self._target, self.request, name)
        guest = self._guest(name, own, cards)
        mark = Mark(
            owner=self.request.owner,
            uuid=own,
            run=self.scene.run.id,
            parent_uuid=self._source.uuid,
            parent_name=self._source.name,
            snapshot=snapshot.id if snapshot else "",
            snapshot_name=snapshot.name if snapshot else self._new_name(),
            spec=shape,
            pool=self.request.own_of(name).pool,
            addresses=guest.addresses if guest else (),
            instant=self.request.instant,
            version=self.scene.run.version,
        )
        return CreateClone(
            source=self._source,
            snapshot=snapshot,
            target=target,
            name=name,
            uuid=own,
            mark=mark,
            disk_move=self.request.disk_move,
            instant=self.request.instant,
            spare=self.request.own_of(name).spare,
            hardware=self.request.hardware,
            macs=self.request.macs.get(name.casefold(), ()),
            annotation=self.request.annotation,
            guest=guest,
            power_on=self.request.power_on,
            keep_failed=self.request.keep_failed,
            generation=self.request.generation_of(name),
        )

    def _refuse_used_macs(self, creates: Sequence[CreateClone]) -> None:
        if not self.request.macs:
            return
        from linkedclone.planning.clone.macs import refuse_used_macs

        refuse_used_macs(creates, self.scene.vms)

    def _cards(self, names: Sequence[str]) -> Mapping[str, tuple[GuestCard, ...]]:
        """Return what the cards of each new clone get; nothing without a customization."""
        wanted = self.request.customization
        if wanted is None:
            return {}
        from linkedclone.planning.clone.ip_addresses import give_addresses, used_addresses

        kept = {name: own.addresses for name, own in self.request.own.items() if own.addresses}
        # Those of a spare are its clone's.
        spares = {own.spare for own in self.request.own.values()}
        used = used_addresses(vm for vm in self.scene.vms if vm.id not in spares)
        return give_addresses(wanted, names, used, kept)

    def _guest(self, name: str, own: str, cards: tuple[GuestCard, ...]) -> Guest | None:
        wanted = self.request.customization
        if wanted is None:
            return None
        from linkedclone.guest.identity import build_guest

        called, secrets = self.request.called(name), self.request.secrets
        return build_guest(wanted, name=called, uuid=own, cards=cards, secrets=secrets)

    def _starts(self, existing: Iterable[Vm]) -> Iterable[Step]:
        if not self.request.power_on or self.request.instant:  # to boot is not to go on
            return ()
        return (
            SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON)
            for vm in existing
            if vm.power is Power.OFF
            and not judge_existing(self._source, vm, linked=self.request.disk_move.linked).failure
        )

    def _folder(self, *, needed: bool) -> tuple[CreateFolder, ...]:
        """Return the step that makes the folder which the clones go into, if it is missing."""
        path = self._target.new_folder if needed else ""
        return (CreateFolder(above=self._target.folder, path=path),) if path else ()

    def _take(self, snapshot: Snapshot | None, *, needed: bool) -> tuple[TakeSnapshot, ...]:
        if snapshot is not None or not needed or self._copies_as_it_stands():
            return ()
        choice = self.request.snapshot
        if self._source.template and not choice.prepare_template:
            raise RefusedError(
                f"{self._source.name} is a template, and a template cannot be snapshotted",
                hint="``snapshot.prepare_template`` makes it a VM, takes the snapshot, and makes "
                "it a template again",
            )
        name = self._new_name()
        if any(there.name == name for there in self._source.snapshots):
            raise RefusedError(
                f"{self._source.name} has a snapshot called {name!r} already",
                hint=f"clone from it with ``snapshot`` {name}, or give the new one another name",
            )
        return (
            TakeSnapshot(
                vm=self._source.id,
                vm_name=self._source.name,
                name=self._new_name(),
                description=SNAPSHOT_NOTE,
                quiesce=choice.quiesce,
                memory=choice.memory,
                template_pool=self._target.pool if self._source.template else "",
            ),
        )

    def _new_name(self) -> str:
        if self._copies_as_it_stands():
            return ""
        if self.request.snapshot.name:
            return self.request.snapshot.name
        name = self.scene.run.snapshot_name
        # Made of the time: two runs of one second would want the same.
        taken = any(there.name == name for there in self._source.snapshots)
        return f"{name}-{self.scene.run.id[:4]}" if taken else name
