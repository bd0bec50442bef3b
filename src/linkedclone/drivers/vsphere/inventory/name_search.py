"""Which VMs have a bare name: by reading all names, or where there are many by asking the folders.

A name is unique in its folder, so one FindChild for each folder finds all VMs
of that name. In an inventory of 10,000 VMs that is some calls instead of a
hundred pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.choose import Way, fold
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_ways
from linkedclone.model.values.ids import VmId

_NAMES: Final = {"VirtualMachine": ("name",)}
_PATHS: Final = {"VirtualMachine": ("name", "parent", "parentVApp"), **PARTS}
_ABOUT: Final = "read the names of VMs"

_MOST_FINDS: Final = 200
"""So many finds cost less than the pages of names of a few thousand VMs."""


class NameSearch:
    """Looks for VMs by their bare names below a datacenter or the root folder."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    def read_ways(self, start: Native, refs: Sequence[str]) -> Mapping[VmId, Way]:
        """Return the names of VMs, or their paths if a ref is one, as vCenter keeps them.

        Of all VMs, or at least of all that the refs may mean. One call where
        all fit on a page.
        """
        if any("/" in ref for ref in refs):
            return self._read_paths(start)
        first, complete = self._collector.read_first(_ABOUT, start, _NAMES, traversal.VM_FOLDERS)
        if complete:
            return _names(first.values())
        found = self._ask_folders(start, refs)
        if {fold(ref) for ref in refs} <= {fold(way[-1]) for way in found.values()}:
            return found
        # What is misspelt, or an id, is looked for among all.
        everything = self._collector.read(
            _ABOUT, [start], _NAMES, traversal.VM_FOLDERS, lazily=True
        )
        return _names(everything.values())

    def _read_paths(self, start: Native) -> Mapping[VmId, Way]:
        ways = (*traversal.VM_FOLDERS, *traversal.UP)
        around = self._collector.read(_ABOUT, [start], _PATHS, ways, lazily=True)
        return {
            VmId(seen.id): build_ways(seen, around)[0]
            for seen in around.values()
            if seen.kind == _VM
        }

    def _ask_folders(self, start: Native, refs: Sequence[str]) -> Mapping[VmId, Way]:
        """Return the names of those VMs of any folder or vApp that are called like a ref."""
        wanted = {"Folder": ("name",), "VirtualApp": ("name",)}
        places = self._collector.read("read the folders", [start], wanted, traversal.VM_FOLDERS)
        folders = [moid for moid, seen in places.items() if seen.kind == "Folder"]
        if len(folders) * len(refs) > _MOST_FINDS:
            return {}
        hits = self._find([(folder, ref) for folder in folders for ref in refs])
        vapps = [moid for moid, seen in places.items() if seen.kind == "VirtualApp"]
        return self._read([("VirtualMachine", hit) for hit in hits]) | self._read(
            [("VirtualApp", vapp) for vapp in vapps]
        )

    def _find(self, questions: Sequence[tuple[str, str]]) -> list[str]:
        index = self._session.content.searchIndex

        def ask(question: tuple[str, str]) -> Native:
            folder, name = question
            native = self._session.managed("Folder", folder)
            return self._session.read(f"find {name!r}", index.FindChild, native, name)

        found = self._session.map(ask, questions)
        return [moid_of(one) for one in found if one is not None and kind_of(one) == _VM]

    def _read(self, starts: Sequence[tuple[str, str]]) -> dict[VmId, Way]:
        """Read the names of VMs, or of the VMs of vApps."""
        natives = [self._session.managed(kind, moid) for kind, moid in starts]
        if not natives:
            return {}
        return _names(self._collector.read(_ABOUT, natives, _NAMES, [traversal.VAPP_VMS]).values())


_VM: Final = "VirtualMachine"


def _names(seen: Iterable[Seen]) -> dict[VmId, Way]:
    return {VmId(one.id): (str(one.get("name") or ""),) for one in seen if one.kind == _VM}
