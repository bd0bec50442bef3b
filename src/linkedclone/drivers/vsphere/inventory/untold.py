"""What the answer to a look at everything names and leaves out. Pure.

Objects name each other: a folder its datacenters, a datacenter its datastores, a
datastore the VMs that use it, a VM its datastores and snapshots. What is named
and not told was made or deleted meanwhile, or may not be seen, or the answer is
not whole. So it is asked for by itself.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from linkedclone.drivers.vsphere.inventory.decoder import Read
from linkedclone.drivers.vsphere.inventory.devices import Hardware, is_unresolved
from linkedclone.drivers.vsphere.property.inventory_path import datacenter_of
from linkedclone.errors import UnreadableAnswerError

Reads = Mapping[str, Read]
"""All objects that were read, by id."""


def find_untold_places(reads: Reads) -> Mapping[str, str]:
    """Return the types of the datacenters, folders and datastores that are named and not told."""
    named = {moid: kind for read in reads.values() for kind, moid in _places(read, reads)}
    return {moid: kind for moid, kind in named.items() if moid not in reads}


def _places(read: Read, reads: Reads) -> Iterator[tuple[str, str]]:
    match read.kind:
        case "Folder" if datacenter_of(read, reads) is None:
            yield from read.get("childEntity") or ()
        case "Datacenter":
            yield from (("Datastore", moid) for moid in read.get("datastore") or ())
        case "VirtualMachine" | "VirtualMachineSnapshot":
            hardware: Hardware | None = read.get("config.hardware.device")
            layers = hardware.layers if hardware else ()
            backed = {layer.store for layer in layers if not is_unresolved(layer.store)}
            yield from (("Datastore", moid) for moid in {*(read.get("datastore") or ()), *backed})
        case _:
            pass


def find_untold_vms(reads: Reads) -> AbstractSet[str]:
    """Return the VMs that datastores list, and that were not told.

    Refuses an answer to another question: a datastore that a VM uses lists no VM at all,
    or there is nothing in any datacenter, not even the folder that each has, and the
    server does not say why.
    """
    _require_contents(reads)
    used = {store for read in reads.values() for store in read.values.get("datastore", ())}
    for store in sorted(used & reads.keys()):
        if reads[store].kind == "Datastore" and not _tells_users(reads[store]):
            reads[store].demand("vm")
    listed = (read.get("vm") or () for read in reads.values() if read.kind == "Datastore")
    return {moid for some in listed for moid in some} - reads.keys()


def _tells_users(store: Read) -> bool:
    return "vm" in store.values or "vm" in store.refused


def _require_contents(reads: Reads) -> None:
    centers = {read.id for read in reads.values() if read.kind == "Datacenter"}
    above = {read.id_at("parent") for read in reads.values() if read.kind == "Folder"}
    if centers.isdisjoint(above):
        stores = any(read.kind in {"VirtualMachine", "Datastore"} for read in reads.values())
        for center in () if stores else centers:
            reads[center].demand("vmFolder")


def require_owners(reads: Reads) -> None:
    """Refuse an answer with snapshots that no VM in it has."""
    told = {read.id for read in reads.values() if read.kind == "VirtualMachineSnapshot"}
    owned = {one.id for read in reads.values() for one in read.values.get("snapshot", ())}
    # A VM whose snapshots were refused counts as one that cannot be read.
    refused = any("snapshot" in read.refused for read in reads.values())
    unowned = sorted(told - owned)
    if unowned and not refused:
        raise UnreadableAnswerError(
            "could not read the inventory: the server lists snapshots that belong to no VM",
            details=", ".join(unowned),
            hint="look again: a VM may have been changed in between",
        )


def build_untold(moid: str, reason: str) -> Read:
    """Return a VM of which nothing could be read."""
    refused = {"config.hardware.device": reason}
    return Read(kind="VirtualMachine", id=moid, values={"name": moid}, refused=refused)
