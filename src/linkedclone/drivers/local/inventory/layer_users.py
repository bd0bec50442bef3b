"""Who reads which layer: VMs and foreign files, from the headers each time; who may write."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import ForeignDisk, find_foreign
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import Stored, StoredVm, load_all
from linkedclone.drivers.local.storage.hanging import check_layers
from linkedclone.drivers.local.storage.seals import is_sealed
from linkedclone.errors import HypervisorError, InUseError, RefusedError
from linkedclone.formats.chain import DiskFile, ImageFormat, read_chain, read_disk_file
from linkedclone.model.values.ids import VmId

Chain = tuple[DiskFile, ...]


def build_chain_reader() -> Callable[[Path], Chain]:
    """Return what reads chains, each file once; to be thrown away after one look."""
    return partial(read_chain, read=cache(read_disk_file))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All VMs with all their chains, and the foreign files among theirs."""

    stored: Stored
    # For each end of a chain (see ``StoredVm.tops``) the chain, base first.
    chains: dict[Path, Chain]
    # For each layer, and each file of memory, the VMs that read it, themselves or through a
    # snapshot.
    users: dict[Path, set[VmId]]
    foreign: tuple[ForeignDisk, ...] = ()  # disk files in the VMs' folders that others made
    # Why not everything could be read; while there are any, nothing counts as unused.
    doubts: tuple[str, ...] = ()

    @property
    def reached(self) -> frozenset[Path]:
        """Every file that a VM or a foreign file reads, and the foreign files themselves."""
        own = {disk.path for disk in self.foreign}
        return frozenset(self.users) | self.read_by_foreign | own

    @property
    def read_by_foreign(self) -> frozenset[Path]:
        return frozenset(file.path for disk in self.foreign for file in disk.chain[:-1])

    def used_by_others(self, layer: Path, vm: VmId) -> bool:
        """Say whether anything but this VM reads the layer: another VM, or a foreign file."""
        return bool(self.users.get(layer, set()) - {vm}) or layer in self.read_by_foreign


def take_survey(state: StateFolder) -> Survey:
    """Read everything; ``doubts`` names what cannot be read."""
    stored = load_all(state)
    read, chains, users = build_chain_reader(), dict[Path, Chain](), dict[Path, set[VmId]]()
    doubts = [str(error) for _, error in stored.unreadable]
    for vm in stored.vms:
        for top in vm.tops:
            chains[top] = _read(read, top, doubts)
            for file in chains[top]:
                users.setdefault(file.path, set()).add(vm.id)
        for path in vm.memory:
            users.setdefault(path, set()).add(vm.id)
    foreign = find_foreign(state)
    doubts += (disk.doubt for disk in foreign if disk.doubt)
    return Survey(stored=stored, chains=chains, users=users, foreign=foreign, doubts=tuple(doubts))


def _read(read: Callable[[Path], Chain], top: Path, doubts: list[str]) -> Chain:
    try:
        chain = read(top)
    except (HypervisorError, OSError) as error:
        doubts.append(str(error))
        return (DiskFile(path=top, format=ImageFormat.QCOW2, missing=True),)
    if chain[0].missing:
        doubts.append(f"{chain[0].path} is missing")
    return chain


def check_disk(state: StateFolder, vm: StoredVm) -> None:
    """Make sure that a VM's disks may be written to: they are its own, and all below are sound."""
    for top in vm.disk_tops:
        chain = read_chain(top)
        check_layers(state, chain[:-1])
        if is_sealed(top):
            raise RefusedError(
                f"the disk of {vm.record.name} is a sealed layer",
                details=f"{state.relative(top)} has a seal",
                hint="other VMs may read it: revert to a snapshot to get a new layer over it",
            )
    readers = [disk.path for disk in find_foreign(state) if disk.hangs_from(vm.disk_tops)]
    if readers:
        raise InUseError(
            f"disk files that were made by hand depend on the disk of {vm.record.name}",
            dependants=tuple(map(state.relative, readers)),
            hint="they would read a mixture of old and new data; keep its present state for them: "
            f"``snapshot create`` {vm.record.name} NAME",
        )
