"""Which of many names stand in a folder: by single finds or by reading all names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from linkedclone.drivers.vsphere.answers import StrangeAnswerError
from linkedclone.drivers.vsphere.collector import CHUNK, Collector
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.pages import Found
from linkedclone.drivers.vsphere.session import MAX_THREADS, Session
from linkedclone.model.ids import FolderId, VmId

_CALL_MS: Final = 1.6
"""Processor time of one pyVmomi call (measured)."""

_CHILD_MS: Final = 0.09
"""Processor time to decode one child's name (measured)."""

_LATENCY_MS: Final = 20.0
"""Round trip to a vCenter that is not next door."""

_ALWAYS_FIND: Final = 3
"""So few names are found at once, without asking how many children there are."""


def prefers_finds(names: int, children: int) -> bool:
    """Say whether a find for each name beats reading the names of all children.

    Both go out up to 16 at once and share one processor, so the cost is the
    processor time of all calls plus the round trips of one thread.
    """
    chunks = math.ceil(children / CHUNK)
    return _cost(names, 0) < _cost(chunks, children)


def _cost(calls: int, decoded: int) -> float:
    return calls * _CALL_MS + decoded * _CHILD_MS + math.ceil(calls / MAX_THREADS) * _LATENCY_MS


class Lookup:
    """Looks names up in folders."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    def find_names(self, folder: FolderId, names: Sequence[str]) -> tuple[VmId, ...]:
        """Return the ids of the VMs that stand in a folder under these names.

        vCenter compares names without regard to case.
        """
        native = self._session.managed("Folder", folder)
        if len(names) > _ALWAYS_FIND:
            children = self._read_children(native)
            if not prefers_finds(len(names), len(children)):
                return self._match(children, names)
        index = self._session.content.searchIndex
        found = self._session.map(
            lambda name: self._session.read(f"find {name!r}", index.FindChild, native, name), names
        )
        return tuple(
            VmId(moid_of(one))
            for one in found
            if one is not None and kind_of(one) == "VirtualMachine"
        )

    def _read_children(self, folder: Native) -> Sequence[str]:
        """Return the ids of the VMs in a folder; of ten thousand nothing but the ids is decoded."""
        wanted = {"Folder": ("childEntity",)}
        pages = self._collector.read_found("read the folder", [folder], wanted, _list_vms)
        return [child for children in pages for child in children]

    def _match(self, children: Sequence[str], names: Sequence[str]) -> tuple[VmId, ...]:
        wanted = {name.casefold() for name in names}
        natives = [self._session.managed("VirtualMachine", child) for child in children]
        seen = self._collector.read(
            "read the names in the folder", natives, {"VirtualMachine": ("name",)}
        )
        return tuple(
            VmId(moid)
            for moid, one in seen.items()
            if unescape(str(one.get("name") or "")).casefold() in wanted
        )


def _list_vms(folder: Found) -> list[str]:
    if "childEntity" in folder.refused:
        raise StrangeAnswerError(
            f"the folder's content is refused: {folder.refused['childEntity']}"
        )
    children = folder.elements.get("childEntity")
    return [
        child.text or ""
        for child in (() if children is None else children)
        if child.get("type") == "VirtualMachine"
    ]
