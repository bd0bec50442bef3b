"""Inventory paths, put together from objects that were read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.vsphere.collector import Seen

PARTS: Final = {
    "Folder": ("name", "parent"),
    "Datacenter": ("name", "parent"),
    "VirtualApp": ("name", "parent", "parentFolder"),
}
"""What has to be read of the objects between a VM and the root folder."""


def build_path(thing: Seen, around: Mapping[str, Seen]) -> str:
    """Return the inventory path of an object, as ``/DC0/vm/Desktops/desk-001``.

    The names stay escaped as vCenter keeps them (``%2f`` for a slash), so that
    FindByInventoryPath takes the path as it stands. What could not be read is
    left out at the left.
    """
    names: list[str] = []
    current: Seen | None = thing
    while current is not None:
        above = around.get(_above(current))
        if above is not None or current is thing or current.kind != "Folder":
            names.append(str(current.get("name") or ""))
        current = above
    return "/" + "/".join(reversed(names))


def _above(thing: Seen) -> str:
    return thing.id_at("parentFolder") or thing.id_at("parentVApp") or thing.id_at("parent")


def datacenter_of(thing: Seen, around: Mapping[str, Seen]) -> Seen | None:
    """Return the datacenter that an object stands in, if it was read."""
    current: Seen | None = thing
    while current is not None and current.kind != "Datacenter":
        current = around.get(_above(current))
    return current
