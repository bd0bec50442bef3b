"""Long calls at a hypervisor, as seen from outside."""

from dataclasses import dataclass
from enum import StrEnum

from linkedclone.errors import LinkedCloneError
from linkedclone.model.values.ids import JobId


class JobStatus(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A long call that was accepted and continues even if no caller waits for it."""

    id: JobId  # its id at the endpoint (on vSphere the task's)
    about: str  # name of the VM that it is about
    action: str  # what it does, in one word (``clone``, ``delete``, ``power-on``)
    # What the hypervisor calls it in its own logs (on vSphere the task's id); empty where it has no
    # word for it.
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as it was seen."""

    job: Job
    status: JobStatus
    percent: int | None = None  # its progress, where the endpoint tells it
    result: str | None = None  # for a done job what it made: a VM's or a snapshot's id
    error: LinkedCloneError | None = None  # for a failed job the reason, already translated

    @property
    def finished(self) -> bool:
        """True once the job is done or failed."""
        return self.status in {JobStatus.DONE, JobStatus.FAILED}
