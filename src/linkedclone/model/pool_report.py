"""What became of a pool, and how it stands: reports, and the JSON documents that are their form."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from linkedclone.model.pool import Act, Fitness, PoolChange, PoolPlan, Reason, Skip, Stranger
from linkedclone.model.report import Failure, Status, exit_code
from linkedclone.model.vm import Power


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolResult:
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

    slot: str
    act: Act
    status: Status
    reasons: tuple[Reason, ...] = ()
    id: str | None = None
    seconds: float | None = None
    own_bytes: int | None = None
    error: Failure | None = None

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        document: dict[str, object] = {
            "name": self.slot,
            "act": self.act.value,
            "status": self.status.value,
            "reasons": _render_reasons(self.reasons),
            "id": self.id,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "own_bytes": self.own_bytes,
        }
        if self.error:
            document["error"] = self.error.document()
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """What became of a pool in one run.

    Attributes:
        endpoint: Where it is.
        pool: Its name.
        image: The parent and the snapshot that its clones are to hang from.
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
    image: tuple[str, str]
    results: tuple[PoolResult, ...] = ()
    skipped: tuple[Skip, ...] = ()
    stopped: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    refused: tuple[Stranger, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 the pool is as it should be, 1 nothing worked, 4 partly, 130 interrupted."""
        if self.interrupted:
            return 130
        failed = sum(result.status is Status.FAILED for result in self.results)
        if not failed and not self.stopped:
            return 0
        return exit_code(max(failed, 1), max(len(self.results), 1))

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            **_render_head(self),
            "results": [result.document() for result in self.results],
            "skipped": [_render_skip(skip) for skip in self.skipped],
            "stopped": self.stopped or None,
            "seconds": round(self.seconds, 3),
            **({"notes": list(self.notes)} if self.notes else {}),
            **_render_refused(self.refused),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutlook:
    """What would be done to a pool; empty if it is as its spec wants it."""

    endpoint: str
    pool: str
    image: tuple[str, str]
    plan: PoolPlan

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            **_render_head(self),
            "changes": [_render_change(change) for change in self.plan.changes],
            "skipped": [_render_skip(skip) for skip in self.plan.skipped],
            **({"notes": list(self.plan.notes)} if self.plan.notes else {}),
            **_render_refused(self.plan.refused),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """How one clone of a pool stands.

    Attributes:
        slot: Its name in the pool.
        name: Its name at the moment.
        id: Its id.
        power: Whether it runs.
        fitness: Whether it does what it is there for.
        reason: Why not.
        image: The snapshot that it hangs from, as its mark names it.
        current: Whether that is the image that is wanted.
        own_bytes: What it takes of its own.
        created: When it was made.
        hold: Why it is held; empty if it is not.
        in_use: Whether somebody uses it.
        failures: How often in a row it came up unhealthy.
        addresses: Its addresses.
    """

    slot: str
    name: str
    id: str
    power: Power
    fitness: Fitness
    reason: str = ""
    image: str = ""
    current: bool = True
    own_bytes: int | None = None
    created: datetime | None = None
    hold: str = ""
    in_use: bool = False
    failures: int = 0
    addresses: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "name": self.slot,
            "called": self.name,
            "id": self.id,
            "power": self.power.value,
            "health": self.fitness.value,
            "reason": self.reason,
            "snapshot": self.image,
            "current": self.current,
            "own_bytes": self.own_bytes,
            "created": self.created.isoformat() if self.created else None,
            "hold": self.hold or None,
            "in_use": self.in_use,
            "failures": self.failures,
            "addresses": list(self.addresses),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """How a pool stands; ``seen`` is when, by the endpoint's clock."""

    endpoint: str
    pool: str
    size: int
    seen: datetime
    image: tuple[str, str]
    rows: tuple[PoolRow, ...]
    pending: int = 0
    refused: tuple[Stranger, ...] = ()

    @property
    def healthy(self) -> int:
        """How many of its clones are healthy."""
        return sum(row.fitness is Fitness.HEALTHY for row in self.rows)

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            **_render_head(self),
            "size": self.size,
            "healthy": self.healthy,
            "pending": self.pending,
            "vms": [row.document() for row in self.rows],
            **_render_refused(self.refused),
        }


def _render_head(told: PoolReport | PoolOutlook | PoolStatus) -> dict[str, object]:
    """Say which pool it is about, and what its clones are to hang from."""
    parent, snapshot = told.image
    return {
        "endpoint": told.endpoint,
        "pool": told.pool,
        "parent": parent,
        "snapshot": snapshot,
    }


def _render_refused(refused: Iterable[Stranger]) -> dict[str, object]:
    """List the clones that bear the pool's name and do not fit its file, if there are some."""
    found = [
        {
            "name": one.vm.name,
            "id": one.vm.id,
            "path": one.vm.path,
            "because": one.because,
            "hint": one.hint,
        }
        for one in refused
    ]
    return {"refused": found} if found else {}


def _render_reasons(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    return [{"why": reason.why.value, "text": reason.text} for reason in reasons]


def _render_change(change: PoolChange) -> dict[str, object]:
    return {
        "name": change.slot,
        "act": change.act.value,
        "id": change.old.id if change.old else None,
        "reasons": _render_reasons(change.reasons),
    }


def _render_skip(skip: Skip) -> dict[str, object]:
    return {
        "name": skip.slot,
        "act": skip.act.value,
        "id": skip.vm.id,
        "reasons": _render_reasons(skip.reasons),
        "because": skip.because,
    }
