"""The errors that linkedclone raises: one base, and one class per thing a caller may react to.

An error answers three questions: what failed (``brief``), what the other side
said, unedited (``details``), and what to try next (``hint``).

Errors know nothing of command lines. Between double backticks they name a field
of a request or an argument, as ``placement.host`` or ``force``, or an action, as
``snapshot create``; the front end replaces them with its own words.
"""

from enum import StrEnum
from typing import ClassVar


class Transience(StrEnum):
    """Whether something that went wrong may pass by itself, and why."""

    NEVER = "never"
    """It will not: the same call fails again."""
    BUSY = "busy"
    """Something else works on the object; nothing was done."""
    HOST = "host"
    """A host did not answer."""
    LOCKED = "locked"
    """Another process holds a file for the moment."""
    UNREADABLE = "unreadable"
    """A host could not get at a file for the moment."""
    INTERNAL = "internal"
    """The server failed inside, for reasons of its own."""
    AWAY = "away"
    """The endpoint cannot be reached; nothing was sent."""
    LOST = "lost"
    """The call was sent, and no answer came: it may have been done."""


class LinkedCloneError(Exception):
    """Base of all errors of this package.

    Attributes:
        brief: What failed, one sentence without a full stop.
        details: The hypervisor's or the system's own words, unedited; may be empty.
        hint: What to try next; may be empty.
        exit_code: What the command line exits with.
        retryable: Whether the same call may succeed a little later.
        transience: Why it may pass by itself, if it may. How often it is worth
            another try is decided in ``planning.retries``.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    transience: Transience = Transience.NEVER

    def __init__(self, brief: str, *, details: str = "", hint: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.hint = hint

    def __str__(self) -> str:
        return ": ".join(part for part in (self.brief, self.details) if part)


class InputError(LinkedCloneError):
    """What was asked for is malformed, or names something that does not exist."""

    exit_code = 2


class NotFoundError(InputError):
    """A VM, snapshot or other object that was named does not exist.

    ``missing`` holds the references to VMs that fit none, as they were given; it
    is empty where something else was not found.
    """

    def __init__(
        self, brief: str, *, details: str = "", hint: str = "", missing: tuple[str, ...] = ()
    ) -> None:
        super().__init__(brief, details=details, hint=hint)
        self.missing = missing


class AmbiguousError(InputError):
    """A name fits several objects; ``candidates`` lists them as a person would tell them apart."""

    def __init__(self, brief: str, *, candidates: tuple[str, ...], hint: str = "") -> None:
        super().__init__(brief, details="\n".join(candidates), hint=hint)
        self.candidates = candidates


class RefusedError(LinkedCloneError):
    """The tool itself refuses, because the call would break a promise."""


class NoSnapshotError(RefusedError):
    """The parent has no snapshot, so nothing can be linked to it."""


class NameTakenError(RefusedError):
    """Names that are wanted belong to VMs that are not ours, or depend on something else."""


class InUseError(RefusedError):
    """Other VMs need the layers that the call would remove; ``dependants`` names them."""

    def __init__(self, brief: str, *, dependants: tuple[str, ...], hint: str = "") -> None:
        super().__init__(brief, details="used by: " + ", ".join(dependants), hint=hint)
        self.dependants = dependants


class StaleProposalError(RefusedError):
    """What would be done is not what was proposed; ``details`` says what changed."""


class NotOursError(RefusedError):
    """The VM bears no valid mark of ours; ``--force`` is the way past."""


class NotLinkedError(RefusedError):
    """A clone that was to be linked is not: the proof failed."""


class EndpointError(LinkedCloneError):
    """The endpoint cannot be reached, or what answers there is not what was expected."""


class UnreachableError(EndpointError):
    """The endpoint does not take a connection; whatever was to be sent was not sent."""

    retryable = True
    transience = Transience.AWAY


class CertificateError(EndpointError):
    """The endpoint's certificate is not trusted, or is not the pinned one."""


class AuthenticationError(EndpointError):
    """The endpoint refuses the user name or password."""


class SessionLostError(EndpointError):
    """The session ended at the endpoint's side."""

    retryable = True


class HypervisorError(LinkedCloneError):
    """A call or task failed at the hypervisor; subclasses tell the causes that matter apart.

    ``kind`` is the native type's name (on vSphere the fault's class name), for
    reports and logs. ``transience`` is given where it is not the class's own.
    """

    def __init__(
        self,
        brief: str,
        *,
        details: str = "",
        hint: str = "",
        kind: str = "",
        transience: Transience | None = None,
    ) -> None:
        super().__init__(brief, details=details, hint=hint)
        self.kind = kind
        if transience is not None:
            self.transience = transience


class BusyError(HypervisorError):
    """The object is busy or the host did not answer; the same call may work a little later."""

    retryable = True
    transience = Transience.BUSY


class LostAnswerError(BusyError):
    """The connection broke after a call was sent: whether it was done has to be looked up."""

    transience = Transience.LOST


class LockedError(BusyError):
    """Another VM or host holds a file."""

    transience = Transience.LOCKED


class PermissionDeniedError(HypervisorError):
    """The user lacks a privilege."""


class DuplicateNameError(HypervisorError):
    """The name is taken in its folder, or reserved by a task that is still running."""


class GoneError(HypervisorError):
    """The object was deleted meanwhile."""


class ChangedError(HypervisorError):
    """Another command has changed the basis of the call meanwhile; nothing was done."""


class LostJobError(GoneError):
    """The endpoint has forgotten a job: how it ended has to be looked up."""

    transience = Transience.LOST


class UnreadableAnswerError(HypervisorError):
    """The hypervisor's answer cannot be understood."""


class NoSpaceError(HypervisorError):
    """The storage is full."""


class CustomizationError(HypervisorError):
    """The guest customization is refused or failed."""


class PowerOnError(HypervisorError):
    """The VM exists but cannot be started."""


class UnsupportedError(HypervisorError):
    """This hypervisor cannot do it at all."""


class InterruptedByUserError(LinkedCloneError):
    """The user interrupted the run."""

    exit_code = 130
