"""Who reads which layer, over all VMs of a state folder: read from the headers each time."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from linkedclone.drivers.local.chain import DiskFile, ImageFormat, read_chain, read_disk_file
from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.store import Stored, StoredVm, load_all
from linkedclone.errors import HypervisorError
from linkedclone.model.ids import VmId

Chain = tuple[DiskFile, ...]


class ChainReader:
    """Reads chains, each file once; to be thrown away after one look."""

    def __init__(self) -> None:
        self._seen: dict[Path, DiskFile] = {}

    def read(self, top: Path) -> Chain:
        """Read the chain of a top or of a frozen layer, base first."""
        return read_chain(top, self._read_one)

    def _read_one(self, path: Path, image_format: ImageFormat) -> DiskFile:
        found = self._seen.get(path)
        if found is None:
            found = self._seen[path] = read_disk_file(path, image_format)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All VMs with all their chains.

    Attributes:
        stored: The VMs.
        chains: For each end of a chain (see ``StoredVm.tops``) the chain, base first.
        users: For each file the VMs that read it, themselves or through a snapshot.
        doubts: Why not everything could be read; while there are any, nothing
            may be taken for unused.
    """

    stored: Stored
    chains: dict[Path, Chain]
    users: dict[Path, set[VmId]]
    doubts: tuple[str, ...] = ()

    def used_by_others(self, layer: Path, vm: VmId) -> bool:
        """Say whether any VM but this one reads the layer."""
        return bool(self.users.get(layer, set()) - {vm})


@dataclass(slots=True)
class _Builder:
    reader: ChainReader = field(default_factory=ChainReader)
    chains: dict[Path, Chain] = field(default_factory=dict)
    users: dict[Path, set[VmId]] = field(default_factory=lambda: defaultdict(set))
    doubts: list[str] = field(default_factory=list)

    def add(self, vm: StoredVm) -> None:
        for top in vm.tops:
            chain = self._read(top)
            self.chains[top] = chain
            for file in chain:
                self.users[file.path].add(vm.id)

    def _read(self, top: Path) -> Chain:
        try:
            chain = self.reader.read(top)
        except (HypervisorError, OSError) as error:
            self.doubts.append(str(error))
            return (DiskFile(path=top, format=ImageFormat.QCOW2, missing=True),)
        if chain[0].missing:
            self.doubts.append(f"{chain[0].path} is missing")
        return chain


def take_survey(state: StateFolder) -> Survey:
    """Read everything; what cannot be read is told in ``doubts``."""
    stored = load_all(state)
    builder = _Builder()
    builder.doubts.extend(str(error) for _, error in stored.unreadable)
    for vm in stored.vms:
        builder.add(vm)
    return Survey(
        stored=stored,
        chains=builder.chains,
        users=dict(builder.users),
        doubts=tuple(builder.doubts),
    )
