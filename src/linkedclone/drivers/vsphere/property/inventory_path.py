"""Inventory paths, put together from objects that were read. Pure."""

from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.vsphere.property.collector import Seen

PARTS: Final = {
    "Folder": ("name", "parent"),
    "Datacenter": ("name", "parent"),
    "VirtualApp": ("name", "parent", "parentFolder"),
}
"""What has to be read of the objects between a VM and the root folder."""


def build_path(thing: Seen, around: Mapping[str, Seen]) -> str:
    """Return the inventory path of an object, as ``/DC0/vm/Desktops/desk-001``.

    The names stay escaped as vCenter keeps them (``%2f`` for a slash), so that
    FindByInventoryPath takes the path unchanged. What could not be read is
    left out at the left.
    """
    return f"{build_prefix(above_of(thing), around)}/{thing.get('name') or ''}"


def build_prefix(above: str, around: Mapping[str, Seen]) -> str:
    """Return the path of an object's parent, by id: the thing's own without ``/NAME``."""
    return "".join(f"/{name}" for name in _levels(above, around))


def build_ways(thing: Seen, around: Mapping[str, Seen]) -> tuple[tuple[str, ...], ...]:
    """Return the levels of all inventory paths of an object: the one that is shown comes first.

    A vApp is in a folder of VMs, and in a resource pool as well.
    """
    above = dict.fromkeys((above_of(thing), thing.id_at("parent")))
    name = str(thing.get("name") or "")
    return tuple((*_levels(one, around), name) for one in above)


def _levels(above: str, around: Mapping[str, Seen]) -> tuple[str, ...]:
    names: list[str] = []
    passed: set[str] = set()
    current = around.get(above)
    while current is not None and current.id not in passed:
        passed.add(current.id)
        further = around.get(above_of(current))
        if further is not None or current.kind != "Folder":
            names.append(str(current.get("name") or ""))
        current = further
    return tuple(reversed(names))


def above_of(thing: Seen) -> str:
    """Return the id of an object's parent."""
    return thing.id_at("parentFolder") or thing.id_at("parentVApp") or thing.id_at("parent")


def datacenter_of(thing: Seen, around: Mapping[str, Seen]) -> Seen | None:
    """Return the datacenter of an object, if it was read."""
    passed: set[str] = set()
    current: Seen | None = thing
    while current is not None and current.kind != "Datacenter":
        if current.id in passed:
            return None
        passed.add(current.id)
        current = around.get(above_of(current))
    return current
