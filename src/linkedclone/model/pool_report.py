"""The outcome and the state of a pool: reports, and the JSON documents that are their form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from linkedclone.model.pool import Act, Fitness, PoolPlan, Reason, Skip, Stranger
from linkedclone.model.report import Failure, Status, exit_code
from linkedclone.model.values.document import (
    LEFT_OUT_IF_EMPTY,
    NOT_TOLD,
    NULL_IF_EMPTY,
    Document,
    render_line,
    told_as,
    told_by,
)
from linkedclone.model.vm import Power

_IMAGE = told_by(lambda _, image: {"parent": image[0], "snapshot": image[1] or None})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolResult(Document):
    """What became of one change.

    Attributes:
        slot: The clone's name in the pool.
        act: What was done.
        status: How it ended.
        reasons: Why it was done.
        id: The clone's id, where there is one.
        seconds: How long it took.
        own_bytes: What a new clone takes of its own.
        error: Why it failed.
    """

    slot: str = field(metadata=told_as("name"))
    act: Act
    status: Status
    reasons: tuple[Reason, ...] = ()
    id: str | None = None
    seconds: float | None = None
    own_bytes: int | None = None
    error: Failure | None = field(default=None, metadata=LEFT_OUT_IF_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport(Document):
    """What became of a pool in one run.

    Attributes:
        endpoint: Where it is.
        pool: Its name.
        image: The parent and the snapshot that its clones are to depend on.
        results: What was done, in order.
        skipped: What was left alone at the end.
        stopped: Why the run ended before the pool was as its spec wants it;
            empty if it is.
        seconds: How long it took.
        interrupted: Whether the user ended it.
        notes: What a person should know besides.
        refused: Clones of the pool's name that do not fit its file.
    """

    endpoint: str
    pool: str
    image: tuple[str, str] = field(metadata=_IMAGE)
    results: tuple[PoolResult, ...] = ()
    skipped: tuple[Skip, ...] = ()
    stopped: str = field(default="", metadata=NULL_IF_EMPTY)
    seconds: float = 0.0
    interrupted: bool = field(default=False, metadata=NOT_TOLD)
    notes: tuple[str, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    refused: tuple[Stranger, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)

    @property
    def exit_code(self) -> int:
        """0 the pool is as it should be, 1 nothing worked, 4 partly, 130 interrupted."""
        if self.interrupted:
            return 130
        failed = sum(result.status is Status.FAILED for result in self.results)
        if not failed and not self.stopped:
            return 0
        return exit_code(max(failed, 1), max(len(self.results), 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutlook(Document):
    """What would be done to a pool; empty if it is as its spec wants it."""

    endpoint: str
    pool: str
    image: tuple[str, str] = field(metadata=_IMAGE)
    plan: PoolPlan = field(metadata=told_by(lambda _, plan: plan.document()))

    @property
    def empty(self) -> bool:
        """True if there is nothing to do."""
        return self.plan.empty

    @property
    def parts(self) -> Mapping[str, str]:
        """What a token covers, each part with the words for it: what is done to each clone."""
        made = [self.pool, *self.image]
        return {
            render_line([*made, change.act, change.slot, change.old and change.old.uuid]): (
                f"{change.act} {change.slot}"
            )
            for change in self.plan.changes
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow(Document):
    """State of one clone of a pool.

    Attributes:
        slot: Its name in the pool.
        name: Its name at the moment.
        id: Its id.
        power: Whether it runs.
        fitness: Whether it does what it is there for.
        reason: Why not.
        image: The snapshot that it depends on, as its mark names it.
        current: Whether that is the image that is wanted.
        own_bytes: What it takes of its own.
        created: When it was made.
        hold: Why it is held; empty if it is not.
        in_use: Whether it is in use.
        failures: How often in a row it came up unhealthy.
        addresses: Its addresses.
    """

    slot: str = field(metadata=told_as("name"))
    name: str = field(metadata=told_as("called"))
    id: str
    power: Power
    fitness: Fitness = field(metadata=told_as("health"))
    reason: str = ""
    image: str = field(default="", metadata=told_as("snapshot"))
    current: bool = True
    own_bytes: int | None = None
    created: datetime | None = None
    hold: str = field(default="", metadata=NULL_IF_EMPTY)
    in_use: bool = False
    failures: int = 0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(Document):
    """State of a pool; ``seen`` is when, by the endpoint's clock."""

    endpoint: str
    pool: str
    image: tuple[str, str] = field(metadata=_IMAGE)
    size: int
    seen: datetime = field(metadata=NOT_TOLD)
    pending: int = 0
    spares: int = 0  # how many are to stand ready
    spares_ready: int = 0
    rows: tuple[PoolRow, ...] = field(metadata=told_as("vms"))
    refused: tuple[Stranger, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)

    @property
    def healthy(self) -> int:
        """How many of its clones are healthy."""
        return sum(row.fitness is Fitness.HEALTHY for row in self.rows)

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        told = Document.document(self)
        head = {key: told.pop(key) for key in ("endpoint", "pool", "parent", "snapshot", "size")}
        return {**head, "healthy": self.healthy, **told}
