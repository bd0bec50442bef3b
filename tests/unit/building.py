"""VMs, snapshots and clones built by hand, for tests of pure decisions."""

from dataclasses import replace

from linkedclone.model.inventory import Inventory, LayerFile, Stray
from linkedclone.model.request import Target
from linkedclone.model.values.ids import FolderId, SnapshotId, StoreId, VmId
from linkedclone.model.vm import Disk, Identity, Layer, Mark, Power, Snapshot, Vm

STORE = StoreId("datastore-1")
TARGET = Target(
    folder=FolderId("group-v3"),
    folder_path="/DC0/vm",
    datastore=STORE,
    datastore_name="ssd1",
)
IDENTITY = Identity(instance="vc-1", product="vCenter", version="8.0.3", address="vsphere://vc")


def layer(path: str, store: str = STORE) -> Layer:
    return Layer(store=StoreId(store), path=path)


def disk(*paths: str, independent: bool = False, hidden: bool = False) -> Disk:
    chain = tuple(layer(path) for path in paths)
    return Disk(label="Hard disk 1", chain=chain, independent=independent, hidden=hidden)


def snapshot(name: str, *disks: Disk, current: bool = False, number: int = 1) -> Snapshot:
    return Snapshot(
        id=SnapshotId(f"snapshot-{number}"), name=name, path=name, current=current, disks=disks
    )


def vm(name: str, *disks: Disk, snapshots: tuple[Snapshot, ...] = (), uuid: str = "") -> Vm:
    return Vm(
        id=VmId(f"vm-{name}"),
        name=name,
        uuid=uuid or f"uuid-{name}",
        path=f"/DC0/vm/{name}",
        home=(STORE, name),
        power=Power.OFF,
        disks=disks,
        snapshots=snapshots,
    )


def gold() -> Vm:
    """A parent with one snapshot that is current."""
    base = snapshot("base", disk("gold/gold.vmdk"), current=True)
    return vm("gold", disk("gold/gold.vmdk", "gold/gold-000001.vmdk"), snapshots=(base,))


def clone_of(parent: Vm, name: str, *, owner: str = "linkedclone") -> Vm:
    """A linked clone of the parent's first snapshot, marked as ours."""
    base = parent.snapshots[0]
    assert base.disks
    chain = tuple(one.path for one in base.disks[0].chain)
    made = vm(name, disk(*chain, f"{name}/{name}.vmdk"))
    mark = Mark(
        owner=owner,
        uuid=made.uuid,
        run="run-0",
        parent_uuid=parent.uuid,
        parent_name=parent.name,
        snapshot=base.id,
        snapshot_name=base.name,
    )
    return replace(made, mark=mark)


def with_snapshot(made: Vm, name: str = "mine") -> Vm:
    """The VM after a snapshot: one disk, on a delta of its own."""
    (present,) = made.disks
    delta = layer(f"{made.name}/{made.name}-{len(made.snapshots) + 1:06}.vmdk")
    before = tuple(replace(one, current=False) for one in made.snapshots)
    taken = snapshot(name, present, current=True, number=len(made.snapshots) + 10)
    after = replace(present, chain=(*present.chain, delta))
    return replace(made, disks=(after,), snapshots=(*before, taken))


def hide(clone: Vm) -> Vm:
    """The clone with its chain hidden, as a native one has it."""
    return replace(
        clone, disks=tuple(replace(d, chain=d.chain[-1:], hidden=True) for d in clone.disks)
    )


REASON = "its host cannot get at its files"
"""Why a VM cannot be read."""


def unreadable(one: Vm) -> Vm:
    """The VM as it comes out where it cannot be read."""
    return replace(one, unreadable=REASON)


def stray(*paths: str, about: str = "", orphaned: bool = False, used: int | None = None) -> Stray:
    chain = tuple(layer(path) for path in paths)
    return Stray(chain=chain, about=about, orphaned=orphaned, used_bytes=used)


def sized(inventory: Inventory, **sizes: int | None) -> Inventory:
    """The inventory with sizes: ``gold`` is that of ``gold/gold.vmdk``, others count 1."""
    layers = {layer for vm in inventory.vms for layer in vm.layers}
    layers |= {layer for stray in inventory.strays for layer in stray.chain}
    stems = {one: one.path.rpartition("/")[2].removesuffix(".vmdk") for one in layers}
    files = {one: LayerFile(used_bytes=sizes.get(stems[one], 1)) for one in layers}
    return replace(inventory, files=files)
