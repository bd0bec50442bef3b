"""Which of many names exist in a folder: by single finds or by reading all names."""

import math
from collections.abc import Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError
from linkedclone.drivers.vsphere.connection.session import MAX_THREADS, Session
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property.collector import CHUNK, Collector
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.drivers.vsphere.property.response import Found
from linkedclone.drivers.vsphere.property.traversal import VAPP_VMS
from linkedclone.errors import RefusedError
from linkedclone.model.values.ids import FolderId, VmId

_VM: Final = "VirtualMachine"

_CHILDREN: Final = {_VM: "the VM", "Folder": "the folder", "VirtualApp": "the vApp"}
"""The kinds of objects in folders of VMs, for people."""

_Child = tuple[str, str]
"""The type and the id of an object in a folder."""

_CALL_MS: Final = 1.6
"""Processor time of one pyVmomi call [fact: py-costs]."""

_CHILD_MS: Final = 0.09
"""Processor time to decode one child's name [fact: py-costs]."""

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
        """Return the ids of the VMs in a folder with these names.

        vCenter ignores case in names [fact: vs-name-case].
        """
        return tuple(VmId(moid) for kind, moid in self._find(folder, names) if kind == _VM)

    def check_names(self, folder: FolderId, names: Sequence[str]) -> tuple[VmId, ...]:
        """Return the same, unless something else than a VM has one of the names."""
        found = self._find(folder, names)
        others = [(kind, moid) for kind, moid in found if kind != _VM]
        if others:
            natives = [self._session.managed(kind, moid) for kind, moid in others]
            wanted = dict.fromkeys(_CHILDREN, ("name",))
            seen = self._collector.read("read what has the names", natives, wanted).values()
            what = (f"{_CHILDREN[o.kind]} {unescape(str(o.get('name')))!r}" for o in seen)
            raise RefusedError(
                f"no VM can be made under a name that something else has: {', '.join(what)}",
                hint="choose another name, or another ``placement.folder``",
            )
        return tuple(VmId(moid) for _, moid in found)

    def find_in_vapp(self, pool: str, names: Sequence[str]) -> tuple[VmId, ...]:
        """Return the VMs of a vApp under these names; nothing where the pool is none.

        A VM of a vApp is in no folder [fact: vs-unseen-vapp].
        """
        native = pool_of(pool)
        if kind_of(native) != "VirtualApp":
            return ()
        vapp = self._session.managed("VirtualApp", moid_of(native))
        wanted = {"VirtualApp": ("vm",), _VM: ("name",)}
        seen = self._collector.read("read the vApp", [vapp], wanted, [VAPP_VMS])
        alike = {name.casefold() for name in names}
        return tuple(
            VmId(one.id)
            for one in seen.values()
            if one.kind == _VM and unescape(str(one.demand("name"))).casefold() in alike
        )

    def _find(self, folder: FolderId, names: Sequence[str]) -> tuple[_Child, ...]:
        native = self._session.managed("Folder", folder)
        if len(names) > _ALWAYS_FIND:
            children = self._read_children(native)
            if not prefers_finds(len(names), len(children)):
                return self._match(children, names)
        index = self._session.content.searchIndex
        found = self._session.map(
            lambda name: self._session.read(f"find {name!r}", index.FindChild, native, name), names
        )
        return tuple((kind_of(one), moid_of(one)) for one in found if one is not None)

    def _read_children(self, folder: Native) -> Sequence[_Child]:
        """Return types and ids of the objects in a folder; nothing else is decoded."""
        wanted = {"Folder": ("childEntity",)}
        pages = self._collector.read_found("read the folder", [folder], wanted, _list_children)
        return [child for children in pages for child in children]

    def _match(self, children: Sequence[_Child], names: Sequence[str]) -> tuple[_Child, ...]:
        wanted = {name.casefold() for name in names}
        natives = [self._session.managed(kind, moid) for kind, moid in children]
        seen = self._collector.read(
            "read the names in the folder", natives, dict.fromkeys(_CHILDREN, ("name",))
        )
        return tuple(
            (one.kind, one.id)
            for one in seen.values()
            if unescape(str(one.get("name") or "")).casefold() in wanted
        )


def _list_children(folder: Found) -> list[_Child]:
    if "childEntity" in folder.refused:
        raise StrangeAnswerError(
            f"the folder's content is refused: {folder.refused['childEntity']}"
        )
    children = folder.elements.get("childEntity")
    return [
        (child.get("type", ""), child.text or "")
        for child in (() if children is None else children)
        if child.get("type") in _CHILDREN
    ]
