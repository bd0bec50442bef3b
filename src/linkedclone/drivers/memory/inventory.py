"""The VMs, their files and places, and what each action does to them once it takes effect.

No time and no chance in here: :mod:`~linkedclone.drivers.memory.hypervisor`
decides when an action takes effect and whether it fails.
"""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from linkedclone.drivers.memory.guest import Inside
from linkedclone.drivers.memory.placement import ROOT_POOL, Places
from linkedclone.drivers.memory.storage import Home, Storage
from linkedclone.drivers.memory.vm import Machine, Point, view, with_sizes
from linkedclone.drivers.rules.marks import merge_mark, refuse_changed
from linkedclone.errors import (
    DuplicateNameError,
    GoneError,
    HypervisorError,
    InUseError,
    RefusedError,
)
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import CreateClone, ReconfigureVm, RelocateVm
from linkedclone.model.request import DiskMove
from linkedclone.model.values.ids import FolderId, SnapshotId, StoreId, VmId
from linkedclone.model.vm import CustomizationStatus, Disk, Layer, Mark, Power, Vm

Linking = Literal["linked", "full", "hidden"]
"""What a clone's disks become: deltas, copies, or deltas whose chain is not shown."""

BASE_BYTES = 2 << 30
CAPACITY_BYTES = 8 << 30
FIRST = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)
_IDS = uuid.UUID("6d656d6f-7279-4c43-8000-000000000000")


class Estate:
    """Everything that a hypervisor holds. Ids, UUIDs and MAC addresses are deterministic."""

    def __init__(self) -> None:
        self.places = Places()
        self.storage = Storage(self.places.stores)
        self.machines: dict[VmId, Machine] = {}
        self.unregistered: list[Machine] = []
        self.orphans: dict[Layer, tuple[Layer, ...]] = {}
        self._numbers: Counter[str] = Counter()

    def number(self, kind: str) -> int:
        """Return the next number of a kind of things."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    def fresh_uuid(self) -> str:
        """Return a UUID that no VM has."""
        return str(uuid.uuid5(_IDS, str(self.number("uuid"))))

    def fresh_mac(self) -> str:
        """Return a MAC address of the locally administered kind that no VM has."""
        number = self.number("mac").to_bytes(3, "big")
        return "02:00:00:" + number.hex(":")

    # -- read -------------------------------------------------------------------------

    def machine(self, vm: VmId) -> Machine:
        """Return a VM."""
        found = self.machines.get(vm)
        if found is None:
            details = "The object has already been deleted or has not been completely created"
            raise GoneError(f"there is no VM {vm}", details=details, kind="ManagedObjectNotFound")
        return found

    def point(self, vm: VmId, snapshot: SnapshotId) -> tuple[Machine, Point]:
        """Return a VM and one of its snapshots."""
        machine = self.machine(vm)
        found = machine.point(snapshot)
        if found is None:
            brief = f"{machine.name} has no snapshot {snapshot}"
            raise GoneError(brief, kind="ManagedObjectNotFound")
        return machine, found

    def at(self, folder: FolderId, name: str) -> Machine | None:
        """Return the VM of this name in a folder; case does not matter, as in vCenter."""
        return self.names_in(folder).get(name.casefold())

    def names_in(self, folder: FolderId) -> dict[str, Machine]:
        """Return the VMs of a folder by their names in lower case."""
        here = (machine for machine in self.machines.values() if machine.folder == folder)
        return {machine.name.casefold(): machine for machine in here}

    def disconnect_media(self, vm: VmId) -> None:
        """Empty the CD drive of a VM."""
        self.machine(vm).media = False

    def set_template(self, vm: VmId, *, template: bool, pool: str) -> None:
        """Make a VM a template, which is in no resource pool, or a template a VM."""
        machine = self.machine(vm)
        if machine.template is template:
            return
        if machine.power is not Power.OFF:
            raise HypervisorError(f"{machine.name} runs", kind="InvalidPowerState")
        machine.template, machine.pool = template, "" if template else pool or ROOT_POOL

    def view(self, machines: Iterable[Machine], *, with_disks: bool) -> tuple[Vm, ...]:
        """Return VMs as outsiders see them."""
        readers = Counter(layer for m in self.machines.values() for layer in m.layers)
        shared = frozenset(layer for layer, users in readers.items() if users > 1)
        return tuple(
            with_sizes(
                view(machine, self.path(machine), with_disks=with_disks),
                machine.layers,
                shared,
                self.storage,
            )
            for machine in machines
        )

    def path(self, machine: Machine) -> str:
        """Return the place of a VM in the inventory."""
        return f"{self.places.folders[machine.folder]}/{machine.name}"

    def used(self, *, apart_from: Machine | None = None) -> frozenset[Layer]:
        """Return every file that some VM uses."""
        others = (m for m in self.machines.values() if m is not apart_from)
        return frozenset(layer for machine in others for layer in machine.layers)

    def survey(self, *, sizes: bool, scan: bool) -> Inventory:
        """Return everything at once; strays only where they are scanned for."""
        seen = (machine for machine in self.machines.values() if not machine.overlooked)
        vms = self.view(seen, with_disks=True)
        if not sizes:
            return Inventory(
                vms=vms,
                strays=self.strays() if scan else (),
                blind=_unscanned(scan),
                unscanned=_unscanned(scan),
            )
        strays = self.strays()
        layers = {layer for vm in vms for layer in vm.layers}
        layers |= {layer for stray in strays for layer in stray.chain}
        return Inventory(
            vms=vms,
            strays=strays if scan else (),
            files={layer: self.storage.look(layer) for layer in layers},
            stores=tuple(self.storage.measure_store(store) for store in self.places.stores),
            blind=_unscanned(scan),
            unscanned=_unscanned(scan),
        )

    def strays(self) -> tuple[Stray, ...]:
        """Return the files that no VM uses: of unregistered VMs, and left behind by tasks."""
        used = self.used()
        chains = {
            disk.chain[: number + 1]: f"of the unregistered VM {machine.name}"
            for machine in self.unregistered
            for disk in machine.all_disks
            for number in range(len(disk.chain))
        }
        foreign = tuple(
            Stray(chain=chain, used_bytes=self.storage.size(chain[-1]), about=about)
            for chain, about in chains.items()
            if chain[-1] not in used and chain[-1] in self.storage.files
        )
        orphans = tuple(
            Stray(chain=chain, used_bytes=self.storage.size(layer), orphaned=True)
            for layer, chain in self.orphans.items()
        )
        return tuple(sorted((*foreign, *orphans), key=lambda stray: stray.layer))

    # -- act --------------------------------------------------------------------------

    def create(self, name: str, folder: FolderId, store: StoreId, *, disks: int) -> Machine:
        """Make a VM with disks of its own."""
        number = self.number("vm")
        machine = Machine(
            id=VmId(f"vm-{number}"),
            created=FIRST + timedelta(minutes=number),
            name=name,
            uuid=self.fresh_uuid(),
            folder=folder,
            home=self.storage.make_home(store, name),
            pool=ROOT_POOL,
            macs=(self.fresh_mac(),),
        )
        self.machines[machine.id] = machine
        for _ in range(disks):
            self.add_disk(machine, independent=False)
        return machine

    def add_disk(
        self, machine: Machine, *, independent: bool, size_bytes: int = BASE_BYTES
    ) -> Disk:
        """Add a disk of its own to a VM; so much of it is written."""
        disk = Disk(
            label=f"Hard disk {len(machine.disks) + 1}",
            chain=(self.storage.make_base(machine.home, machine.name, size_bytes),),
            capacity_bytes=CAPACITY_BYTES,
            independent=independent,
        )
        machine.disks += (disk,)
        return disk

    def clone(self, step: CreateClone, linking: Linking) -> Machine:
        """Make a clone; it has its mark, and a UUID and MAC addresses of its own, from birth."""
        if step.snapshot is None:
            source = self.machine(step.source.id)
            disks = source.disks
        else:
            source, point = self.point(step.source.id, step.snapshot.id)
            disks = point.disks
        machine = self.clone_without_disks(step, source)
        machine.disks = self._moved(machine.home, step, linking, disks)
        if step.instant and step.snapshot is None:
            # The parent goes on in new layers, too [fact: vs-instant-clone].
            source.disks = self.storage.push_deltas(source.home, source.disks)
        for disk in step.hardware.disks:
            made = self.add_disk(machine, independent=False, size_bytes=0)
            larger = replace(made, capacity_bytes=disk.capacity_bytes)
            machine.disks = (*machine.disks[:-1], larger)
        machine.whole = True
        return machine

    def _moved(
        self, home: Home, step: CreateClone, linking: Linking, disks: tuple[Disk, ...]
    ) -> tuple[Disk, ...]:
        """Make a clone's disks as its move type says.

        A base is shared where it may be: a real vCenter looks for one with the
        same content, and finds the parent's.
        """
        if step.disk_move.linked and linking != "full":
            linked = self.storage.link(home, step.name, disks)
            hidden = linking == "hidden"
            return tuple(replace(d, hidden=hidden and not d.independent) for d in linked)
        shares = step.disk_move in {DiskMove.SHARED, DiskMove.CHILD_MOST}
        copy = self.storage.copy_tops if shares else self.storage.copy
        moved = copy(home, step.name, disks)
        size = step.hardware.disk_bytes
        if size is None or not moved:
            return moved
        return (replace(moved[0], capacity_bytes=size), *moved[1:])

    def clone_without_disks(self, step: CreateClone, source: Machine) -> Machine:
        """Make what a clone is before it has its disks, and what a failed one may leave."""
        number = self.number("vm")
        taken = {machine.uuid for machine in self.machines.values()}
        annotation = source.annotation if step.annotation is None else step.annotation
        is_told = bool(step.guest or step.target.customization_spec)
        machine = Machine(
            id=VmId(f"vm-{number}"),
            created=FIRST + timedelta(minutes=number),
            name=step.name,
            # vCenter gives another instance UUID where the wanted one is in use.
            uuid=self.fresh_uuid() if step.uuid in taken else step.uuid,
            folder=step.target.folder,
            home=self.storage.make_home(StoreId(step.target.datastore), step.name),
            pool=step.target.pool,
            macs=self._macs(step, source),
            inside=Inside(wanted=step.guest) if is_told else None,
            whole=False,
            mark=step.born,
            annotation=annotation,
            cpus=step.hardware.cpus or source.cpus,
            memory_bytes=step.hardware.memory_bytes or source.memory_bytes,
        )
        self.machines[machine.id] = machine
        return machine

    def _macs(self, step: CreateClone, source: Machine) -> tuple[str, ...]:
        fresh = (self.fresh_mac() for _ in source.macs[len(step.macs) :])
        return (*step.macs, *fresh)

    def delete(self, vm: VmId, seen: Mark | None = None) -> None:
        """Remove a VM with the files that it alone uses; an absent one counts as removed."""
        machine = self.machines.get(vm)
        if machine is None:
            return
        refuse_changed(machine.name, seen=seen, now=machine.mark)
        if machine.power is not Power.OFF:
            raise wrong_power(machine)
        del self.machines[vm]
        self.storage.drop_home(machine.home)
        self.storage.remove_unused(machine.layers, self.used())

    def unregister(self, vm: VmId) -> None:
        """Forget a VM; its files stay."""
        machine = self.machine(vm)
        if machine.power is not Power.OFF:
            raise wrong_power(machine)
        del self.machines[vm]
        self.unregistered.append(machine)

    def leave_orphan(self, vm: VmId) -> Layer:
        """Leave a delta behind in a VM's folder, as a task does that dies half-way."""
        machine = self.machine(vm)
        below = machine.disks[0].chain
        orphan = self.storage.make_delta(machine.home, below[-1])
        self.orphans[orphan] = (*below, orphan)
        return orphan

    def remove_stray(self, layer: Layer) -> None:
        """Remove a file that no VM uses; an absent one counts as removed."""
        readers = [m.name for m in self.machines.values() if layer in m.layers]
        if readers:
            raise InUseError(f"{layer} is in use", dependants=tuple(sorted(readers)))
        self.orphans.pop(layer, None)
        self.storage.remove_unused([layer], self.used())

    def set_power(self, vm: VmId, power: Power) -> None:
        """Start or stop a VM."""
        machine = self.machine(vm)
        if power is Power.ON and (machine.template or not machine.whole):
            brief = f"{machine.name} cannot be started"
            raise HypervisorError(brief, details="The VM is a template or unfinished.")
        machine.power = power

    def booted(self) -> tuple[Machine, ...]:
        """Return the VMs that run and whose guests have yet to become who they are to be."""
        return tuple(
            machine
            for machine in self.machines.values()
            if machine.inside is not None
            and machine.inside.status is CustomizationStatus.PENDING
            and machine.power is Power.ON
        )

    def relocate(self, step: RelocateVm) -> None:
        """Move a VM: to another pool, and with its top layers to another datastore.

        What those depend on stays where it is [fact: vs-relocate].
        """
        machine, store = self.machine(step.vm), StoreId(step.target.datastore)
        machine.pool = step.target.pool or machine.pool
        if not store or not step.moves_disks:
            return
        before = machine.layers
        left = machine.home
        machine.home = self.storage.make_home(store, machine.name)
        machine.disks = self.storage.copy_tops(machine.home, machine.name, machine.disks)
        self.storage.drop_home(left)
        self.storage.remove_unused(before, self.used())

    def reconfigure(self, step: ReconfigureVm) -> None:
        """Change processors, memory, notes or mark."""
        machine = self.machine(step.vm)
        cpus = step.cpus or machine.cpus
        memory_bytes = step.memory_bytes or machine.memory_bytes
        changed = (cpus, memory_bytes) != (machine.cpus, machine.memory_bytes)
        if changed and machine.power is not Power.OFF:
            raise RefusedError(
                f"{machine.name} runs, and its hardware changes only while it is off",
                hint=f"``stop`` {machine.name}",
            )
        if step.mark is not None:
            mark = merge_mark(machine.name, step.mark, seen=step.seen, now=machine.mark)
            machine.mark = mark
        machine.cpus, machine.memory_bytes = cpus, memory_bytes
        machine.annotation = machine.annotation if step.annotation is None else step.annotation

    def rename(self, vm: VmId, name: str) -> None:
        """Give a VM another name; its files keep theirs."""
        machine = self.machine(vm)
        holder = self.at(machine.folder, name)
        if holder is not None and holder is not machine:
            raise name_taken(name)
        machine.name = name


def name_taken(name: str) -> DuplicateNameError:
    """Return the error for a name that another VM of the folder has, or is getting."""
    details = f"The name '{name}' already exists."
    return DuplicateNameError(f"the name {name} is taken", details=details, kind="DuplicateName")


def wrong_power(machine: Machine) -> HypervisorError:
    """Return the error for what cannot be done to a VM as it runs."""
    return HypervisorError(
        f"{machine.name} is powered {machine.power}",
        details="The attempted operation cannot be performed in the current state (Powered on).",
        hint="stop it first",
        kind="InvalidPowerState",
    )


def _unscanned(scan: bool) -> tuple[str, ...]:  # noqa: FBT001 - only called above
    return () if scan else ("files of unregistered VMs were not looked for (``scan`` does)",)
