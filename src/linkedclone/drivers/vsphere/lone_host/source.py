"""What is read of a machine that is cloned at a lone host: once for the whole batch."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.lone_host.create_spec import FrozenHardware, freeze
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import GoneError
from linkedclone.model.plan import CreateClone

_FILES: Final = "layoutEx.file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A machine that is cloned."""

    frozen: FrozenHardware
    # The file with the variables of its UEFI, as ``[datastore] path``; empty where there is none.
    nvram: str


class Sources:
    """Reads machines; what was read of a snapshot never changes."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._known: dict[str, Source] = {}
        self._lock = threading.Lock()

    def read(self, step: CreateClone) -> Source:
        """Return what a step clones; one call for all steps of one snapshot."""
        if step.snapshot is None:
            return self._read(step)
        with self._lock:
            if step.snapshot.id not in self._known:
                self._known[step.snapshot.id] = self._read(step)
            return self._known[step.snapshot.id]

    def _read(self, step: CreateClone) -> Source:
        vm = self._session.managed("VirtualMachine", step.source.id)
        starts = [vm]
        wanted: dict[str, Sequence[str]] = {"VirtualMachine": (_FILES, "config")}
        if step.snapshot is not None:
            starts.append(self._session.managed("VirtualMachineSnapshot", step.snapshot.id))
            wanted = {"VirtualMachine": (_FILES,), "VirtualMachineSnapshot": ("config",)}
        seen = self._collector.read("read the hardware", starts, wanted)
        ids = (str(step.snapshot.id) if step.snapshot else step.source.id, step.source.id)
        if any(moid not in seen for moid in ids):
            raise GoneError(
                f"{step.source.name}, or the snapshot of it, does not exist any more",
                hint="look again: ``list``",
                kind="ManagedObjectNotFound",
            )
        config = seen[ids[0]].demand("config")
        files = seen[ids[1]].told(_FILES) or () if config.firmware == "efi" else ()
        nvram = next((str(file.name) for file in files if file.type == "nvram"), "")
        return Source(frozen=freeze(config), nvram=nvram)
