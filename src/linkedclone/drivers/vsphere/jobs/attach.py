"""Follows clones that another run is creating, such as a killed run before this one.

A running task does not say which name it makes [fact: vs-clone-tasks], so what counts is
the contents of the folder or the vApp, and whether the source still has a clone task under
way.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.folder_children import Lookup
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.traversal import VM_TASKS
from linkedclone.errors import GoneError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.values.ids import FolderId, VmId

_CLONE: Final = frozenset({"VirtualMachine.clone", "VirtualMachine.instantClone"})
"""TaskInfo.descriptionId of what makes clones; for ``info.name`` see [fact: py-unknown-values]."""


_Spot = tuple[FolderId, str, str]
"""A folder, a resource pool and a name in one of them, folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A clone that is followed."""

    job: Job  # the job that follows it; ``about`` is its name
    source: VmId
    folder: FolderId  # its future folder
    pool: str  # the resource pool as the target names it; a vApp takes the place of the folder


@dataclass(slots=True)
class CloneTasks:
    """The clone tasks of one source."""

    running: bool = False  # whether one is under way
    made: set[VmId] = field(default_factory=set)  # the VMs that finished ones have made


class Attacher:
    """Looks after attachments, many at once."""

    def __init__(self, session: Session, collector: Collector, lookup: Lookup) -> None:
        self._session = session
        self._collector = collector
        self._lookup = lookup

    def observe(self, attachments: Sequence[Attachment]) -> list[JobState]:
        """Return the state of each; one read of tasks, then one look into each folder or vApp.

        In this order: a task that ends in between has its VM in the folder.
        """
        if not attachments:
            return []
        tasks = self._read_tasks({one.source for one in attachments})
        standing = self._read_names(attachments)
        return [
            build_state(
                one, tasks[one.source], standing.get((*_place_of(one), one.job.about.casefold()))
            )
            for one in attachments
        ]

    def find_sources(self, vms: Sequence[VmId]) -> frozenset[VmId]:
        """Return those VMs that a running clone task copies from."""
        tasks = self._read_tasks(set(vms))
        return frozenset(vm for vm, of_vm in tasks.items() if of_vm.running)

    def _read_tasks(self, sources: set[VmId]) -> Mapping[VmId, CloneTasks]:
        natives = [self._session.managed("VirtualMachine", source) for source in sources]
        wanted = {
            "Task": ("info.descriptionId", "info.state", "info.result", "info.entity"),
            "VirtualMachine": ("recentTask",),
        }
        seen = self._collector.read("follow clones", natives, wanted, [VM_TASKS])
        found: dict[VmId, CloneTasks] = defaultdict(CloneTasks)
        for one in seen.values():
            if one.kind != "Task":
                one.told("recentTask")
            elif one.demand("info.descriptionId") in _CLONE:
                tasks = found[VmId(moid_of(one.demand("info.entity")))]
                state = str(one.demand("info.state"))
                tasks.running |= state in {"queued", "running"}
                if state == "success":
                    tasks.made.add(VmId(one.id_at("info.result")))
        return found

    def _read_names(self, attachments: Sequence[Attachment]) -> dict[_Spot, Seen]:
        found: dict[_Spot, Seen] = {}
        for folder, pool in dict.fromkeys(map(_place_of, attachments)):
            names = [one.job.about for one in attachments if _place_of(one) == (folder, pool)]
            ids = self._lookup.find_names(folder, names) + self._lookup.find_in_vapp(pool, names)
            natives = [self._session.managed("VirtualMachine", moid) for moid in ids]
            wanted = {"VirtualMachine": ("name", "config.instanceUuid")}
            for seen in self._collector.read("follow clones", natives, wanted).values():
                found[folder, pool, unescape(str(seen.get("name"))).casefold()] = seen
        return found


def _place_of(attachment: Attachment) -> tuple[FolderId, str]:
    return attachment.folder, attachment.pool


def build_state(attachment: Attachment, tasks: CloneTasks, vm: Seen | None) -> JobState:
    """Decide how far a followed clone is. Pure.

    Done when the VM is complete and its task has ended; failed when no
    task is left that could still make it.
    """
    job = attachment.job
    if vm is not None and VmId(vm.id) in tasks.made:
        return JobState(job=job, status=JobStatus.DONE, result=vm.id)
    if tasks.running:
        return JobState(job=job, status=JobStatus.RUNNING)
    if vm is not None and vm.get("config.instanceUuid"):
        return JobState(job=job, status=JobStatus.DONE, result=vm.id)
    left = "was left half-made" if vm is not None else "is not being made any more"
    error = GoneError(
        f"the clone {job.about} {left}: its task has ended",
        hint="delete what is left of it, then run it again" if vm is not None else "run it again",
    )
    return JobState(job=job, status=JobStatus.FAILED, error=error)
