"""What a task tells of its job: how far that is, what it made, why it failed. Pure."""

from dataclasses import replace
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.errors import NameOf, no_name, translate
from linkedclone.drivers.vsphere.names import is_same_file
from linkedclone.drivers.vsphere.native import Native, is_managed, moid_of
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import HypervisorError, LinkedCloneError, LostJobError, PowerOnError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.values.ids import JobId

_STATUS: Final = {
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "success": JobStatus.DONE,
    "error": JobStatus.FAILED,
}
_MAKING: Final = frozenset({"clone", "snapshot"})
"""Actions whose task tells what it made."""

_REMOVING: Final = frozenset({"remove", "delete", "unregister"})
"""Actions that delete files one by one."""

_WANTED_POWER: Final = {"power-on": "poweredOn", "power-off": "poweredOff"}

_VERBS: Final = {
    "attach": "follow the clone",
    "snapshot": "take a snapshot of",
    "delete-snapshot": "delete a snapshot of",
    "power-on": "start",
    "power-off": "stop",
    "reconfigure": "change the hardware of",
    "relocate": "move",
    "grow": "grow a disk of",
    "connect": "connect the network cards of",
    "disconnect-media": "empty the drives of",
}
"""Actions as error texts name them, where they do so by another word."""


def render_action(action: str, about: str) -> str:
    """Return what was to be done to what, as error texts name it."""
    return f"{_VERBS.get(action, action)} {about}"


def status_of(task: Seen) -> JobStatus | None:
    """Return how far a task is; None if its state was not told, or is none that is known."""
    return _STATUS.get(str(task.get("info.state")))


def is_vague(action: str, task: Seen | None) -> bool:
    """Say whether an answer leaves open how far a task is, or what it made."""
    status = None if task is None else status_of(task)
    if task is None or status is None:
        return True
    return status is JobStatus.DONE and action in _MAKING and _result_of(task) is None


def has_failed(task: Seen | None) -> bool:
    """Say whether a task tells that it failed."""
    return task is not None and status_of(task) is JobStatus.FAILED


def build_job(moid: str, about: str, action: str) -> Job:
    """Return the job of one task."""
    return Job(id=JobId(moid), about=about, action=action, task=moid)


def build_state(
    job: Job, task: Seen | None, *, subject: str = "", name_of: NameOf = no_name
) -> JobState:
    """Return what a task says of its job; the subject is the file that a removal is about.

    One that is gone has failed, and so has one whose state is not told: it would
    be waited for for ever. So has one that was to make something and does not tell
    what: the caller has to look for it.
    """
    if task is None:
        return _build_loss(job, "it is gone")
    job = replace(job, task=task.id)
    status = status_of(task)
    if status is None:
        return _build_loss(job, "its state cannot be read", _why_unknown(task))
    if is_vague(job.action, task):
        return _build_loss(job, "it succeeded, but the server does not say what it created")
    if status is JobStatus.FAILED:
        return _build_failure(job, task.get("info.error"), subject=subject, name_of=name_of)
    return JobState(
        job=job,
        status=status,
        percent=task.get("info.progress"),
        result=_result_of(task),
    )


def _build_loss(job: Job, reason: str, details: str = "") -> JobState:
    lost = LostJobError(
        f"could not follow the task to {render_action(job.action, job.about)}: {reason}",
        details="\n".join(filter(None, (details, _name_task(job)))),
        hint="look whether it was done: ``list``",
    )
    return JobState(job=job, status=JobStatus.FAILED, error=lost)


def _why_unknown(task: Seen) -> str:
    told = task.get("info.state")
    return f"its state is {told!r}" if told else task.refused.get("info.state", "")


def _result_of(task: Seen) -> str | None:
    """Return the id of what a task made; other results are none of a job's."""
    made = task.get("info.result")
    return moid_of(made) if made is not None and is_managed(made) else None


def _name_task(job: Job) -> str:
    return f"task: {job.task}" if job.task else ""


def _build_failure(
    job: Job, fault: Native, *, subject: str = "", name_of: NameOf = no_name
) -> JobState:
    about = render_action(job.action, job.about)
    if fault is None:
        error: LinkedCloneError = HypervisorError(
            f"could not {about}: vCenter gave a reason that cannot be read",
            hint="look the task up in vCenter; a newer linkedclone may understand it",
        )
    else:
        error = translate(fault, about, name_of=name_of)
    error.__cause__ = fault
    error.details = "\n".join(filter(None, (error.details, _name_task(job))))
    if is_so_already(job.action, error, subject):
        return JobState(job=job, status=JobStatus.DONE)
    if job.action == "power-on" and type(error) is HypervisorError:
        error = PowerOnError(
            error.brief,
            details=error.details,
            hint=error.hint,
            kind=error.kind,
            transience=error.transience,
        )
    return JobState(job=job, status=JobStatus.FAILED, error=error)


def find_fault(about: str, action: str, fault: Native) -> LinkedCloneError | None:
    """Return what a fault means for an action; None where it says that all is so already."""
    return _build_failure(Job(id=JobId(""), about=about, action=action), fault).error


def is_so_already(action: str, error: LinkedCloneError, subject: str = "") -> bool:
    """Say whether a call failed because there is nothing left to do.

    A file is gone if the server misses just that one, and not, say, the extent
    of another disk that a deletion came across.
    """
    fault = error.__cause__
    if action in _REMOVING:
        about = str(fault.file or "") if isinstance(fault, vim.fault.FileNotFound) else None
        return about is not None and is_same_file(about, subject)
    wanted = _WANTED_POWER.get(action)
    return isinstance(fault, vim.fault.InvalidPowerState) and str(fault.existingState) == wanted
