"""What happened: reports, and the JSON documents that are their stable form."""

from dataclasses import dataclass, field
from enum import StrEnum

from linkedclone.errors import LinkedCloneError
from linkedclone.model.values.document import (
    LEFT_OUT_IF_EMPTY,
    NOT_TOLD,
    NULL_IF_EMPTY,
    Document,
    told_by,
)
from linkedclone.model.vm import Power, SshAddress


def _tell_stages(name: str, stages: tuple[tuple[str, float], ...]) -> dict[str, object]:
    return {name: {stage: round(seconds, 3) for stage, seconds in stages}} if stages else {}


class Mode(StrEnum):
    """How a VM's disks came to be; ``shared`` is a copy that still reads files of others."""

    LINKED = "linked"
    FULL = "full"
    SHARED = "shared"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """What became of one wanted thing."""

    PLANNED = "planned"
    CREATED = "created"
    EXISTING = "existing"
    DIFFERS = "differs"
    FAILED = "failed"
    SKIPPED = "skipped"
    DONE = "done"


class Stage(StrEnum):
    """Where a clone failed."""

    SUBMIT = "submit"
    CLONE = "clone"
    CUSTOMIZE = "customize"
    PROOF = "proof"
    POWER_ON = "power-on"
    WAIT = "wait"
    UNDO = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Document):
    """Why something failed.

    Attributes:
        stage: Where.
        brief: What failed.
        details: The server's own words.
        hint: What to try next.
    """

    stage: str
    brief: str
    details: str = ""
    hint: str = ""

    @classmethod
    def from_error(cls, stage: str, error: LinkedCloneError) -> "Failure":
        """Keep an error's three answers, with the stage it happened at."""
        return cls(stage=stage, brief=error.brief, details=error.details, hint=error.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Document):
    """What a clone that was there already has otherwise than it was asked for.

    Attributes:
        field: What differs, as it is called in the JSON document.
        wanted: What was asked for; None where it does not fit into a value.
        found: What the clone has; None where that cannot be read.
    """

    field: str
    wanted: object = None
    found: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneResult(Document):
    """What became of one clone. Fields are those of the JSON document.

    ``stages`` holds the seconds that each stage took which the clone went
    through, in order: ``submitted``, ``cloned``, ``powered_on``, ``tools``,
    ``customized``, ``address``. ``task`` is what the hypervisor calls the job
    that made it, to be looked up in its own logs. ``parent`` and ``snapshot`` are
    what the clone itself depends on; ``differences`` is what one that was there
    has otherwise than it was asked for. ``proof`` is ``hidden`` where a chain cannot be seen.
    """

    name: str
    id: str | None = None
    uuid: str | None = None
    mode: Mode = Mode.LINKED
    linked: bool | None = None
    power: Power | None = None
    host_name: str = ""
    addresses: tuple[str, ...] = ()
    ssh: SshAddress | None = None
    seconds: float | None = None
    status: Status
    own_bytes: int | None = None
    shared_bytes: int | None = None
    parent: str = ""
    snapshot: str = field(default="", metadata=NULL_IF_EMPTY)
    differences: tuple[Difference, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    stages: tuple[tuple[str, float], ...] = field(default=(), metadata=told_by(_tell_stages))
    task: str = field(default="", metadata=LEFT_OUT_IF_EMPTY)
    proof: str = field(default="", metadata=LEFT_OUT_IF_EMPTY)
    error: Failure | None = field(default=None, metadata=LEFT_OUT_IF_EMPTY)

    def document(self) -> dict[str, object]:
        """Return the JSON form; without a parent, parent and snapshot are omitted."""
        told = Document.document(self)
        if not self.parent:
            del told["parent"], told["snapshot"]
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneReport(Document):
    """What became of a batch of clones.

    Attributes:
        endpoint: Where they are.
        parent: Name of the parent.
        snapshot: Name of the snapshot that its clones depend on; empty where the
            parent was copied in its current state, or where nothing was made and those
            that were there depend on several.
        clones: What became of each, in the order of the request.
        seconds: How long it took.
        interrupted: Whether the user ended it early.
        notes: What a person should know besides.
        kind: What they were to be: ``linked``, ``full`` or ``instant``.
    """

    endpoint: str
    parent: str
    snapshot: str = field(metadata=NULL_IF_EMPTY)
    clones: tuple[CloneResult, ...]
    seconds: float
    interrupted: bool = field(default=False, metadata=NOT_TOLD)
    notes: tuple[str, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    kind: str = field(default="linked", metadata=NOT_TOLD)

    @property
    def failed(self) -> tuple[CloneResult, ...]:
        """The clones that failed."""
        return tuple(clone for clone in self.clones if clone.status is Status.FAILED)

    @property
    def exit_code(self) -> int:
        """0 all as wanted, 1 all failed, 4 partly or something differs, 130 interrupted."""
        if self.interrupted:
            return 130
        code = exit_code(len(self.failed), len(self.clones))
        differs = any(clone.status is Status.DIFFERS for clone in self.clones)
        return 4 if differs and code == 0 else code


STILL_RUNNING = "interrupted: the endpoint continues it"
"""The note of an action that goes on although the run was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult(Document):
    """What became of one action on one VM (delete, power, snapshot).

    ``key`` tells it from the others of its report, and is not part of the JSON form.
    """

    name: str
    action: str
    status: Status
    id: str | None = None
    key: str = field(default="", metadata=NOT_TOLD)
    seconds: float | None = None
    note: str = field(default="", metadata=LEFT_OUT_IF_EMPTY)
    task: str = field(default="", metadata=LEFT_OUT_IF_EMPTY)
    error: Failure | None = field(default=None, metadata=LEFT_OUT_IF_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReport(Document):
    """What became of a command that acts on VMs.

    ``routine`` are those of the notes that are the same for every command;
    ``unchanged`` names the VMs that were as requested before.
    """

    endpoint: str
    results: tuple[ActionResult, ...] = ()
    seconds: float = 0.0
    interrupted: bool = field(default=False, metadata=NOT_TOLD)
    unchanged: tuple[str, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    notes: tuple[str, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    routine: tuple[str, ...] = field(default=(), metadata=NOT_TOLD)

    @property
    def exit_code(self) -> int:
        """0 all done, 1 all failed, 4 partly, 130 interrupted."""
        if self.interrupted:
            return 130
        failed = sum(result.status is Status.FAILED for result in self.results)
        return exit_code(failed, len(self.results) + len(self.unchanged))


def exit_code(failed: int, total: int) -> int:
    """Return 0 if none failed, 1 if all did, 4 if some did."""
    if failed == 0:
        return 0
    return 1 if failed == total else 4
