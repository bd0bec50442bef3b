"""Which of many names stand in a folder: by single finds or by reading all names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from linkedclone.drivers.vsphere.collector import CHUNK, Collector
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import kind_of, moid_of
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

    def _read_children(self, folder: object) -> Sequence[object]:
        seen = self._collector.read("read the folder", [folder], {"Folder": ("childEntity",)})
        return [
            child
            for one in seen.values()
            for child in one.get("childEntity") or ()
            if kind_of(child) == "VirtualMachine"
        ]

    def _match(self, children: Sequence[object], names: Sequence[str]) -> tuple[VmId, ...]:
        wanted = {name.casefold() for name in names}
        seen = self._collector.read(
            "read the names in the folder", children, {"VirtualMachine": ("name",)}
        )
        return tuple(
            VmId(moid)
            for moid, one in seen.items()
            if unescape(str(one.get("name") or "")).casefold() in wanted
        )
