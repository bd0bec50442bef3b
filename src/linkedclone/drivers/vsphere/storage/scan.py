"""The look for disk files of no VM: one search of each datastore, then their descriptors.

All searches run at once; of the files that are found only those are read that
no VM here reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.attach import Attacher
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.storage.chains import Chains, read_through
from linkedclone.drivers.vsphere.storage.datastores import (
    Datastore,
    choose_datastores,
    drop_twins,
    find_shared,
    read_datastores,
)
from linkedclone.drivers.vsphere.storage.orphans import (
    NOTE,
    Found,
    Home,
    build_strays,
    find_candidates,
)
from linkedclone.drivers.vsphere.storage.search_results import Listing
from linkedclone.errors import LinkedCloneError, PermissionDeniedError
from linkedclone.model.inventory import Inventory, LayerFile, Stray
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.request import Scan
from linkedclone.model.values.ids import StoreId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer, Vm

_TICK: Final = 5.0

_ELSEWHERE: Final = (
    "what another vCenter keeps on these datastores, and VMs that the user may not see, "
    "show up as files of no VM"
)


class Scanner:
    """Looks for strays at one endpoint."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        observer: Observer,
        attacher: Attacher,
        elsewhere: frozenset[StoreId] = frozenset(),
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._elsewhere = elsewhere  # datastores whose files VMs of other hosts may use
        self._jobs = Jobs(session, collector, attacher, results=False)

    def choose(self, scan: Scan) -> tuple[Datastore, ...]:
        """Read the datastores; those that the scan names have to be there."""
        stores = read_datastores(self._session, self._collector)
        choose_datastores(stores, scan.places, frozenset())
        return stores

    def scan(self, inventory: Inventory, scan: Scan, stores: Sequence[Datastore]) -> Inventory:
        """Return the inventory with the strays of the datastores that the scan is for.

        ``blind`` names what could not be read for lack of a privilege.
        """
        known = frozenset(layer.store for vm in inventory.vms for layer in vm.layers)
        shared = find_shared(stores)
        chosen = choose_datastores(stores, scan.places, known)
        stores, wanted = drop_twins(stores, chosen)
        blind = [*inventory.blind, _ELSEWHERE]
        listing = self._search([store for store in wanted if store.accessible], blind)
        blind += [f"no host reaches {store.name}" for store in wanted if not store.accessible]
        unseen = [s for s in stores if s.id in known and s.id not in listing.searched]
        left = sorted({store.name for store in unseen if store not in wanted})
        if left:
            blind.append(f"files of unregistered VMs on {', '.join(left)} were not looked for")
        candidates = self._drop_new(find_candidates(listing, inventory.vms), inventory.vms)
        chains = Chains(inventory.vms, stores, read_through(self._session, stores))
        chains.follow(candidates)
        foreign = self._find_foreign(candidates, listing, inventory.vms)
        found = Found(
            listing=listing,
            chains=chains,
            vms=inventory.vms,
            foreign=foreign,
            deleted=self._find_deleted(candidates, inventory.vms, stores),
            veiled=frozenset(s.id for s in stores) if unseen else shared | self._elsewhere,
        )
        strays = build_strays(candidates, found)
        blind += _say_unread(chains, strays)
        files = dict(inventory.files)
        if files or inventory.stores:
            files |= _files(strays, chains)
        return replace(
            inventory, strays=strays, files=files, blind=tuple(blind), unscanned=(_ELSEWHERE,)
        )

    # -- the search -------------------------------------------------------------------

    def _search(self, stores: Sequence[Datastore], blind: list[str]) -> Listing:
        outcomes = self._session.map(self._start, stores)
        started = [(s, o) for s, o in zip(stores, outcomes, strict=True) if isinstance(o, Job)]
        failures: list[LinkedCloneError] = [o for o in outcomes if isinstance(o, LinkedCloneError)]
        states = self._finish([job for _, job in started])
        failures += [state.error for state in states.values() if state.error is not None]
        for error in failures:
            if not isinstance(error, PermissionDeniedError):
                raise error
            blind.append(str(error))
        listing = Listing()
        done = {job.id: store for store, job in started if states[job.id].error is None}
        tasks = [self._session.managed("Task", moid) for moid in done]
        about, wanted = "read what a search found", {"Task": ("info.result",)}
        seen = self._collector.read(about, tasks, wanted)
        for moid, store in done.items():
            found = seen[moid].get("info.result") if moid in seen else None
            if found is not None:
                listing.add(store, found)
            else:
                blind.append(f"what was found on {store.name} could not be read")
        return listing

    def _start(self, store: Datastore) -> Job | PermissionDeniedError:
        method = store.browser.SearchDatastoreSubFolders_Task
        about = f"datastore {store.name}"
        try:
            return self._jobs.start(
                about, "search", method, datastorePath=f"[{store.name}]", searchSpec=_build_spec()
            )
        except PermissionDeniedError as error:
            return error

    def _finish(self, jobs: Sequence[Job]) -> Mapping[str, JobState]:
        ended: dict[str, JobState] = {}
        while left := [job for job in jobs if job.id not in ended]:
            states = self._jobs.wait(left, _TICK)
            ended |= {state.job.id: state for state in states if state.finished}
        return ended

    def _drop_new(self, candidates: Sequence[Layer], vms: Sequence[Vm]) -> list[Layer]:
        """Leave out what a VM reads by now, as the delta of a snapshot that was just taken.

        The VMs were read before the search, so those with candidates beside
        them are read once more. The owner of one that cannot be read now is unknown.
        """
        folders = {(layer.store, layer.folder) for layer in candidates}
        homes = {vm.id: vm.home for vm in vms if vm.home in folders}
        fresh = self._observer.observe_vms(list(homes), whole=True) if homes else {}
        used = {layer for vm in fresh.values() for layer in vm.layers}
        veiled = {homes[vm.id] for vm in fresh.values() if vm.unreadable}
        return [
            layer
            for layer in candidates
            if layer not in used and (layer.store, layer.folder) not in veiled
        ]

    def _find_deleted(
        self, candidates: Iterable[Layer], vms: Iterable[Vm], stores: Sequence[Datastore]
    ) -> frozenset[Home]:
        """Return the folders of VMs that were being deleted, file by file, at a lone host."""
        if self._session.is_vcenter:
            return frozenset()
        folders = {(layer.store, layer.folder) for layer in candidates}
        folders -= {vm.home for vm in vms if vm.home is not None}
        notes = [Layer(store=store, path=f"{folder}/{NOTE}") for store, folder in folders if folder]
        readings = read_through(self._session, stores)(notes)
        return frozenset(
            (note.store, note.folder)
            for note, reading in zip(notes, readings, strict=True)
            if reading.error is None
        )

    # -- whose folder it is -----------------------------------------------------------

    def _find_foreign(
        self, candidates: Iterable[Layer], listing: Listing, vms: Iterable[Vm]
    ) -> dict[Home, list[Layer]]:
        """Return the configuration files of no VM here, of the folders that hold candidates."""
        folders = {(layer.store, layer.folder) for layer in candidates}
        folders &= listing.configs.keys()
        here = [vm for vm in vms if vm.home in folders]
        natives = [self._session.managed("VirtualMachine", vm.id) for vm in here]
        wanted = {"VirtualMachine": ("config.files.vmPathName",)}
        seen = self._collector.read("read the folders of VMs", natives, wanted) if natives else {}
        registered = {
            (*vm.home, split_file_name(str(seen[vm.id].get("config.files.vmPathName") or ""))[1])
            for vm in here
            if vm.home is not None and vm.id in seen
        }
        return {
            home: [
                config for config in listing.configs[home] if (*home, config.path) not in registered
            ]
            for home in folders
        }


def _build_spec() -> Native:
    browser = vim.host.DatastoreBrowser
    return browser.SearchSpec(
        query=[browser.VmDiskQuery(), browser.VmConfigQuery(), browser.TemplateVmConfigQuery()],
        details=browser.FileInfo.Details(
            fileType=True, fileSize=True, modification=False, fileOwner=False
        ),
        matchPattern=["*.vmdk", "*.vmx", "*.vmtx"],
    )


def _files(strays: Iterable[Stray], chains: Chains) -> dict[Layer, LayerFile]:
    gone = {layer for layer, reading in chains.readings.items() if reading.missing}
    files = {layer: LayerFile(missing=True) for layer in gone}
    return files | {stray.layer: LayerFile(used_bytes=stray.used_bytes) for stray in strays}


def _say_unread(chains: Chains, strays: Iterable[Stray]) -> list[str]:
    unread: dict[str, str] = {}
    for stray in strays:
        reason = _why_unread(chains, stray.chain[0])
        if reason:
            unread[str(stray.layer)] = reason
    if not unread:
        return []
    names = list_names(list(unread))
    return [f"the bases of these files are unknown: {names} ({next(iter(unread.values()))})"]


def _why_unread(chains: Chains, bottom: Layer) -> str:
    reading = chains.readings.get(bottom)
    if bottom in chains.puzzling:
        return "it depends on a file that cannot be made out"
    if reading is None or reading.descriptor is not None:
        return ""
    return str(reading.error) if reading.error else "it is not a disk descriptor"
