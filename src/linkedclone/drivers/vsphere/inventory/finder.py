"""Finds VMs by what a person calls them: inventory path, UUID, bare name or id."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.choose import Way, fold, match
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.datacenters import Datacenters
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_ways
from linkedclone.errors import AmbiguousError, NotFoundError, RefusedError, UnreadableAnswerError
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Vm

_NAMES: Final = {"VirtualMachine": ("name",)}
_PATHS: Final = {"VirtualMachine": ("name", "parent", "parentVApp"), **PARTS}
_ABOUT: Final = "read the names of VMs"
_MOST_FINDS: Final = 200
"""So many finds cost less than the pages of names of a few thousand VMs."""
_VM: Final = "VirtualMachine"


_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Finder:
    """Finds VMs of one endpoint, in its datacenter if it names one."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        observer: Observer,
        datacenters: Datacenters,
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._datacenters = datacenters
        self._index = session.content.searchIndex
        self._names = NameSearch(session, collector)

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find one VM for each ref and read them all in one batch.

        A path or a UUID costs one call; bare names cost one read of all names
        together, and some more calls where there are many; see ``namesearch``.
        """
        found = self._look_up(refs)
        for ref in refs:
            if len(found[ref]) > 1:
                self._refuse_ambiguous(ref, found[ref])
        vms = self._read([found[ref][0] for ref in refs])
        for ref in refs:
            if found[ref][0] not in vms:
                raise no_such_vms([ref], hint="it was deleted just now")
            if not fits_still(ref, vms[found[ref][0]]):
                raise _refuse_other(ref, vms[found[ref][0]])
        self._refuse_outside([ref for ref in refs if self._is_far(vms[found[ref][0]].path)])
        return tuple(vms[found[ref][0]] for ref in refs)

    def _is_far(self, path: str) -> bool:
        return self._datacenters.leave_out(path)

    def _refuse_outside(self, refs: Sequence[str]) -> None:
        """Refuse VMs of other datacenters: they are not absent, so nothing about them is done."""
        if refs:
            only = self._datacenters.restricted
            raise NotFoundError(
                f"not in the datacenter {only}, to which the endpoint is restricted: "
                + list_names(refs),
                hint="name an endpoint without a datacenter, or with the other one",
            )

    def _read(self, ids: Sequence[VmId]) -> Mapping[VmId, Vm]:
        """Read VMs whole; a single one as a source, which is what it is mostly looked for as."""
        if len(ids) != 1:
            return self._observer.observe_vms(ids, whole=True)
        source = self._observer.observe_source(ids[0])
        return {} if source is None else {source.id: source}

    def _look_up(self, refs: Sequence[str]) -> dict[str, tuple[VmId, ...]]:
        direct = [ref for ref in refs if "/" in ref or _UUID.fullmatch(ref)]
        found = dict(zip(direct, self._session.map(self._look_up_one, direct), strict=True))
        left = [ref for ref in refs if not found.get(ref)]
        known: Mapping[VmId, Way] = {}
        if left:
            known = self._names.read_ways(self._datacenters.start(), left)
            alike = _group(known)
            found.update((ref, match_vm(ref, alike.get(fold(ref), known))) for ref in left)
        missing = [ref for ref in refs if not found[ref]]
        if missing:
            _refuse_nameless(missing[0], known)
            paths = [ref for ref in missing if "/" in ref]
            self._refuse_outside([ref for ref in paths if self._is_far("/" + ref.strip("/"))])
            raise no_such_vms(missing, hint=self._suggest(missing[0], known))
        return found

    def _look_up_one(self, ref: str) -> tuple[VmId, ...]:
        return self._by_path(ref) if "/" in ref else self._by_uuid(ref)

    def _by_path(self, ref: str) -> tuple[VmId, ...]:
        """Ask for the path unchanged; with other spellings of names it is found later."""
        about = f"find {ref!r}"
        paths = dict.fromkeys(self._paths(ref))
        natives = [self._session.read(about, self._index.FindByInventoryPath, p) for p in paths]
        hits = [native for native in natives if native is not None]
        vms = dict.fromkeys(VmId(moid_of(hit)) for hit in hits if kind_of(hit) == "VirtualMachine")
        if hits and not vms:
            raise NotFoundError(f"{ref!r} is not a VM but a {kind_of(hits[0])}")
        return tuple(vms)

    def _paths(self, ref: str) -> Iterator[str]:
        """Yield the full paths that a ref may mean, in the endpoint's datacenter if any.

        A path without a leading slash may also start below the VM folder of a
        datacenter, as with govc.
        """
        if not self._datacenters.leave_out(ref):
            yield ref.strip("/")
        if not ref.startswith("/"):
            for datacenter in self._datacenters.all():
                yield f"{datacenter.path}/vm/{ref.removeprefix('./')}".strip("/")

    def _by_uuid(self, ref: str) -> tuple[VmId, ...]:
        """Search instance UUIDs, which are unique, before BIOS UUIDs, which are not."""
        for instance in (True, False):
            natives = self._session.read(
                f"find {ref}",
                self._index.FindAllByUuid,
                uuid=ref.lower(),
                vmSearch=True,
                instanceUuid=instance,
            )
            if natives:
                return tuple(VmId(moid_of(native)) for native in natives)
        return ()

    def _suggest(self, ref: str, known: Mapping[VmId, Way]) -> str:
        from difflib import get_close_matches

        only = self._datacenters.restricted
        where = f"the endpoint is restricted to the datacenter {only}" if only else ""
        if "/" in ref:
            way = "a path is written /DATACENTER/vm/FOLDER/NAME; the bare name works, too"
            return "; ".join(filter(None, (where, way)))
        names = dict.fromkeys(unescape(way[-1]) for way in known.values())
        close = get_close_matches(ref, names, n=3)
        return "did you mean " + " or ".join(close) + "?" if close else where

    def _refuse_ambiguous(self, ref: str, ids: Sequence[VmId]) -> None:
        vms = self._observer.observe_vms(ids, whole=False).values()
        starts = [self._session.managed("VirtualMachine", moid) for moid in ids]
        wanted = {"VirtualMachine": ("config.createDate",)}
        dates = self._collector.read("read when VMs were made", starts, wanted)
        lines = [f"{vm.path}  {_day(dates.get(vm.id))}  {vm.id}" for vm in vms]
        raise AmbiguousError(
            f"{ref!r} fits {len(ids)} VMs",
            candidates=tuple(sorted(lines)),
            hint="name the one you mean by its inventory path",
        )


def fits_still(ref: str, vm: Vm) -> bool:
    """Say whether a VM that was found is what a person named, by what was read of it afterwards.

    It may have been renamed in between, or its id given to another. Of one that
    cannot be read neither name nor UUID may be known.
    """
    if vm.unreadable or ref == vm.id:
        return True
    if _UUID.fullmatch(ref) and ref.lower() in {vm.uuid, vm.bios_uuid}:
        return True
    return fold(ref).strip("/").endswith(fold(vm.name).strip("/"))


def _refuse_other(ref: str, vm: Vm) -> RefusedError:
    return RefusedError(
        f"what was found as {ref!r} is {vm.name} by now ({vm.id})",
        details="it was renamed or replaced meanwhile; nothing was done",
        hint="look again: ``list``",
    )


def _day(seen: Seen | None) -> str:
    """Write when a VM was made; vCenter knows it since 6.7."""
    created = seen.get("config.createDate") if seen is not None else None
    return f"{created:%Y-%m-%d %H:%M}" if created is not None else "date unknown"


def _refuse_nameless(ref: str, known: Mapping[VmId, Way]) -> None:
    """Refuse to say that there is no such VM where it may be one whose name is not told."""
    nameless = sorted(moid for moid, way in known.items() if not way[-1])
    if nameless:
        raise UnreadableAnswerError(
            f"could not find {ref!r}: the names of some VMs cannot be read",
            details=list_names(nameless),
            hint="name the VM by its id, or let an administrator give the user the role Read-only",
        )


def _group(known: Mapping[VmId, Way]) -> Mapping[str, Mapping[VmId, Way]]:
    """Return the VMs by what all spellings of their names have in common."""
    groups: dict[str, dict[VmId, Way]] = defaultdict(dict)
    for moid, way in known.items():
        groups[fold(way[-1])][moid] = way
    return groups


def match_vm(ref: str, known: Mapping[VmId, Way]) -> tuple[VmId, ...]:
    """Return the VMs that a name or path fits, else the one of this id; empty if there is none."""
    found = match(ref, {moid: (way,) for moid, way in known.items()})
    return found or ((VmId(ref),) if VmId(ref) in known else ())


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
        everything = self._collector.read(_ABOUT, [start], _NAMES, traversal.VM_FOLDERS)
        return _names(everything.values())

    def _read_paths(self, start: Native) -> Mapping[VmId, Way]:
        ways = (*traversal.VM_FOLDERS, *traversal.UP)
        around = self._collector.read(_ABOUT, [start], _PATHS, ways)
        return {
            VmId(seen.id): build_ways(seen, around)[0]
            for seen in around.values()
            if seen.kind == _VM
        }

    def _ask_folders(self, start: Native, refs: Sequence[str]) -> Mapping[VmId, Way]:
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
        natives = [self._session.managed(kind, moid) for kind, moid in starts]
        if not natives:
            return {}
        return _names(self._collector.read(_ABOUT, natives, _NAMES, [traversal.VAPP_VMS]).values())


def _names(seen: Iterable[Seen]) -> dict[VmId, Way]:
    return {VmId(one.id): (str(one.get("name") or ""),) for one in seen if one.kind == _VM}
