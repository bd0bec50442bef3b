"""Plan N linked clones of one parent."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from linkedclone.errors import NameTakenError, RefusedError
from linkedclone.model.observed import Identity, Mark, Power, Snapshot, Vm
from linkedclone.model.plan import CreateClone, Plan, SetPower, Step, TakeSnapshot, WriteMark
from linkedclone.model.proof import hangs_from
from linkedclone.model.spec import CloneRequest, Target
from linkedclone.planning.snapshots import choose_snapshot

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


def clone_uuid(identity: Identity, target: Target, request: CloneRequest, name: str) -> str:
    """Return the instance UUID of a clone: the same for every run that wants the same clone.

    It is made of the endpoint's own id, the folder's id, the owner, the name
    and the generation; never of the endpoint's address, which may change.
    """
    parts = (identity.instance, target.folder, request.owner, name, str(request.generation))
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))


def hash_spec(request: CloneRequest) -> str:
    """Return what tells clones of different shape apart: 16 hexadecimal digits.

    Made of all that a clone is given beside its parent and name: hardware,
    place, notes, customization. Which fields there are is part of it, so a
    later version with more of them gives another hash; it is for comparing,
    never a proof.
    """
    shape = (request.hardware, request.placement, request.annotation, request.customization_spec)
    return hashlib.sha256(repr(shape).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClonePlanner:
    """All that is known before anything is changed.

    Attributes:
        request: What is wanted.
        source: The parent, with the disks of its snapshots.
        target: Where the clones go.
        identity: What the endpoint says it is.
        run: What distinguishes this run.
    """

    request: CloneRequest
    source: Vm
    target: Target
    identity: Identity
    run: Run

    def plan(self, seen: Sequence[Vm]) -> Plan:
        """Plan the clones, given the VMs that stand under the wanted names already.

        What is there already as wanted comes out as ``existing``; if it is off
        and should be on it is started: a clone that was made but did not power
        on is taken up so.

        Raises:
            NameTakenError: Names belong to VMs that are not ours, or that hang
                from something else. Nothing has been sent then.
            RefusedError: The snapshot has no disk to hang from.
            NoSnapshotError, NotFoundError, AmbiguousError: see
                :func:`~linkedclone.planning.snapshots.choose_snapshot`.
        """
        there = {vm.name.casefold(): vm for vm in seen}
        missing = [name for name in self.request.names if name.casefold() not in there]
        existing = [there[n.casefold()] for n in self.request.names if n.casefold() in there]
        snapshot = self._snapshot(missing=bool(missing))
        self._refuse_taken(existing, snapshot)
        mend = tuple(
            WriteMark(vm=vm.id, vm_name=vm.name, mark=replace(vm.mark, uuid=vm.uuid))
            for vm in existing
            if vm.mark is not None and vm.valid_mark is None
        )
        make = tuple(self._create(name, snapshot) for name in missing)
        start = tuple(self._starts(existing))
        take = self._take(snapshot, needed=bool(make))
        stages = tuple(stage for stage in (mend, take, make + start) if stage)
        return Plan(stages=stages, existing=tuple(existing))

    def snapshot_name(self) -> str:
        """Return the name of the snapshot that the clones hang from, or will hang from."""
        snapshot = self._snapshot(missing=False)
        return snapshot.name if snapshot else self._new_name()

    def _snapshot(self, *, missing: bool) -> Snapshot | None:
        snapshot = choose_snapshot(self.source, self.request.snapshot)
        disks = snapshot.disks if snapshot else self.source.disks
        if missing and not any(not disk.independent for disk in disks or ()):
            what = f"snapshot {snapshot.name!r} of {self.source.name}" if snapshot else "the parent"
            raise RefusedError(
                f"{what} has no disk that a clone could hang from",
                hint="independent disks are left out of snapshots; make a disk dependent first",
            )
        return snapshot

    def _refuse_taken(self, existing: Iterable[Vm], snapshot: Snapshot | None) -> None:
        taken = [
            f"{vm.path or vm.name}: {reason}"
            for vm in existing
            if (reason := self._conflict(vm, snapshot))
        ]
        if taken:
            word = "name is" if len(taken) == 1 else "names are"
            raise NameTakenError(
                f"{len(taken)} {word} taken",
                details="\n".join(taken),
                hint="choose other names or another --folder; nothing was made",
            )

    def _conflict(self, vm: Vm, snapshot: Snapshot | None) -> str:
        """Say why an existing VM is not the clone that is wanted; empty if it is."""
        mark = self._mark_of(vm)
        if mark is None:
            return "not made by linkedclone"
        if mark.owner != self.request.owner:
            return f"belongs to {mark.owner}"
        if mark.parent_uuid != self.source.uuid:
            return f"a clone of {mark.parent_name or 'another parent'}"
        if self.request.snapshot.kind == "named" and snapshot is not None:
            if mark.snapshot != snapshot.id:
                return f"hangs from snapshot {mark.snapshot_name or mark.snapshot!r}"
            if hangs_from(vm, snapshot.disks or ()).linked is False:
                return "bears our mark but is not linked to that snapshot"
        return ""

    def _mark_of(self, vm: Vm) -> Mark | None:
        """Return a VM's mark if it counts.

        Also one that names the UUID which a clone of this name in this folder
        is given: vCenter gave it another, and that run ended before it wrote so.
        """
        if vm.valid_mark is not None or vm.mark is None:
            return vm.valid_mark
        wanted = {
            clone_uuid(self.identity, self.target, self.request, name)
            for name in self.request.names
            if name.casefold() == vm.name.casefold()
        }
        return vm.mark if vm.mark.uuid in wanted else None

    def _create(self, name: str, snapshot: Snapshot | None) -> CreateClone:
        own = clone_uuid(self.identity, self.target, self.request, name)
        mark = Mark(
            owner=self.request.owner,
            uuid=own,
            run=self.run.id,
            parent_uuid=self.source.uuid,
            parent_name=self.source.name,
            snapshot=snapshot.id if snapshot else "",
            snapshot_name=snapshot.name if snapshot else self._new_name(),
            spec=hash_spec(self.request),
            version=self.run.version,
        )
        return CreateClone(
            source=self.source,
            snapshot=snapshot,
            target=self.target,
            name=name,
            uuid=own,
            mark=mark,
            hardware=self.request.hardware,
            annotation=self.request.annotation,
            power_on=self.request.power_on,
        )

    def _starts(self, existing: Iterable[Vm]) -> Iterable[Step]:
        if not self.request.power_on:
            return ()
        return (
            SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON)
            for vm in existing
            if vm.power is Power.OFF
        )

    def _take(self, snapshot: Snapshot | None, *, needed: bool) -> tuple[Step, ...]:
        if snapshot is not None or not needed:
            return ()
        if self.source.template:
            raise RefusedError(
                f"{self.source.name} is a template, and a template cannot be snapshotted",
                hint="convert it to a VM, take the snapshot, convert it back",
            )
        name = self._new_name()
        if any(there.name == name for there in self.source.snapshots):
            raise RefusedError(
                f"{self.source.name} has a snapshot called {name!r} already",
                hint=f"clone from it with --snapshot {name}, or give the new one another name",
            )
        return (
            TakeSnapshot(
                vm=self.source.id,
                vm_name=self.source.name,
                name=self._new_name(),
                description=SNAPSHOT_NOTE,
            ),
        )

    def _new_name(self) -> str:
        return self.request.snapshot.name or self.run.snapshot_name
