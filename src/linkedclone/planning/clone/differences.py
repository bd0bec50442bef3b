"""What a clone that is there already has otherwise than it is asked for now.

What can be read from the VM is compared with it; the rest with the digests that
its mark holds of what was asked for when it was made. What nothing was asked
for is not compared, nor what neither of the two tells.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from linkedclone.lineage.family import Lineage, Origin
from linkedclone.model.inventory import Inventory
from linkedclone.model.report import Difference, Mode
from linkedclone.model.request import CloneRequest, Hardware, Target
from linkedclone.model.vm import Power, Snapshot, Vm
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from linkedclone.planning.clone.spec_digest import (
    describe_wanted,
    held_parts,
    is_there,
    other_settings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a clone depends on, or was copied from."""

    parent: str  # name of the VM
    snapshot: str  # name of its snapshot; empty where the current state was copied
    snapshot_id: str  # its id, as far as it is known
    description: str = ""  # the text given when it was taken, if it is still there


def find_base(vm: Vm, source: Vm, *, linked: bool) -> Base:
    """Return what a clone depends on: as its disks tell, else its mark.

    A full clone was copied from what its mark names, whatever it may share.
    """
    origin = Lineage(Inventory(vms=(source, vm))).origin(vm) if linked else Origin(mode=Mode.FULL)
    mark, snapshot = vm.mark, origin.snapshot
    if snapshot is None and mark is not None:
        snapshot = next((s for s in source.snapshots if s.id == mark.snapshot), None)
    return Base(
        parent=origin.parent.name if origin.parent else (mark.parent_name if mark else ""),
        snapshot=snapshot.name if snapshot else (mark.snapshot_name if mark else ""),
        snapshot_id=snapshot.id if snapshot else (mark.snapshot if mark else ""),
        description=snapshot.description if snapshot else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a batch of clones is asked for."""

    request: CloneRequest
    target: Target
    # The snapshot that they are to depend on; None for one that is yet to be taken, or where the
    # parent is copied in its current state.
    snapshot: Snapshot | None


def find_differences(wanted: Wanted, vm: Vm, base: Base) -> tuple[Difference, ...]:
    """Compare a clone that is there with what is asked for."""
    return (
        *_compare_snapshot(wanted, base),
        *_compare_sizes(wanted.request, vm),
        *_compare_place(wanted, vm),
        *_compare_power(wanted.request, vm),
        *_compare_asked(wanted, vm),
    )


def _compare_snapshot(wanted: Wanted, base: Base) -> Iterator[Difference]:
    choice, snapshot = wanted.request.snapshot, wanted.snapshot
    if choice.kind == "new" and choice.name:
        if base.snapshot != choice.name:
            yield Difference(field="snapshot", wanted=choice.name, found=base.snapshot)
    elif choice.kind == "new":
        # A run that is repeated finds what its first try has taken.
        if base.description != SNAPSHOT_NOTE:
            yield Difference(field="snapshot", wanted="a new one", found=base.snapshot)
    elif snapshot is not None and base.snapshot_id != snapshot.id:
        yield Difference(field="snapshot", wanted=snapshot.name, found=base.snapshot or None)


def _compare_power(request: CloneRequest, vm: Vm) -> Iterator[Difference]:
    """Tell of an instant clone that is off: it could only boot, so it is not started."""
    if request.instant and vm.power is not Power.ON:
        yield Difference(field="power", wanted=Power.ON.value, found=vm.power.value)


def _compare_sizes(request: CloneRequest, vm: Vm) -> Iterator[Difference]:
    hardware = request.hardware
    sizes = (
        ("cpus", hardware.cpus, vm.cpus),
        ("memory_bytes", hardware.memory_bytes, vm.memory_bytes),
    )
    for field, asked, found in sizes:
        if asked is not None and found is not None and asked != found:
            yield Difference(field=field, wanted=asked, found=found)
    macs = request.macs.get(vm.name.casefold(), ())
    if macs and vm.macs and vm.macs[: len(macs)] != macs:
        yield Difference(field="macs", wanted=list(macs), found=list(vm.macs[: len(macs)]))


def _compare_place(wanted: Wanted, vm: Vm) -> Iterator[Difference]:
    """Compare the datastore; the folder is the one in which the name was looked up."""
    target = wanted.target
    stores = {disk.top.store: disk.top.store_name for disk in vm.disks if disk.chain}
    there = target.datastore in stores or target.datastore_name in stores.values()
    if wanted.request.placement.datastore and stores and not there:
        found = ", ".join(name or store for store, name in stores.items())
        yield Difference(field="datastore", wanted=target.datastore_name, found=found)


def _ask_mode(request: CloneRequest) -> object:
    if request.instant:
        return "instant"
    return None if request.disk_move.linked else request.disk_move.value


_Ask = Callable[[CloneRequest], object]

_ASKED: Mapping[str, tuple[str, str, _Ask]] = {
    "mode": ("move", "", _ask_mode),
    "networks": (
        "networks",
        "hardware",
        lambda r: [n.network or n.action for n in r.hardware.nics],
    ),
    "disks": (
        "disks",
        "hardware",
        lambda r: (
            [disk.capacity_bytes for disk in r.hardware.disks]
            + ([r.hardware.disk_bytes] if r.hardware.disk_bytes is not None else [])
        ),
    ),
    "hardware": ("settings", "hardware", lambda r: other_settings(r.hardware) != Hardware()),
    "datastore_cluster": ("stores", "place", lambda r: r.placement.datastore_cluster),
    "resource_pool": (
        "resources",
        "place",
        lambda r: r.placement.resource_pool or r.placement.cluster,
    ),
    "host": ("host", "place", lambda r: r.placement.host),
    "notes": ("notes", "", lambda r: r.annotation),
    "customization": (
        "guest",
        "",
        lambda r: r.customization_spec or r.customization is not None,
    ),
}
"""Fields that only the mark tells of: the part of its shape, the coarser part that older
marks hold instead, and what was asked for."""


def _compare_asked(wanted: Wanted, vm: Vm) -> Iterator[Difference]:
    request = wanted.request
    held, now = held_parts(vm.mark.spec if vm.mark else ""), describe_wanted(request, wanted.target)
    told = set()
    for field, (fine, coarse, ask) in _ASKED.items():
        asked = ask(request)
        part = fine if fine in held or not coarse else coarse
        if asked in (None, "", [], False) or held.get(part, now[part]) == now[part]:
            continue
        if coarse == "place" and is_there(held, now):
            continue  # written in another way
        # Differences to an older mark of all hardware, or of the place, are reported once.
        if part != fine and part in told:
            continue
        told.add(part)
        name = field if part == fine else part
        yield Difference(field=name, wanted=None if asked is True else asked, found=None)
    unread = (
        ("cpus", "cpus", request.hardware.cpus, vm.cpus),
        ("memory_bytes", "memory", request.hardware.memory_bytes, vm.memory_bytes),
    )
    for field, part, size, found in unread:
        if size is not None and found is None and held.get(part, now[part]) != now[part]:
            yield Difference(field=field, wanted=size, found=None)
