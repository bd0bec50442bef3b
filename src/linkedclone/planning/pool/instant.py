"""What the instant clones of a pool are forked from, and whether they can be. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from linkedclone.errors import InputError, NoSnapshotError, RefusedError
from linkedclone.model.pool import Create, PoolHardware, PoolPlan, PoolSpec, Replace
from linkedclone.model.request import CloneRequest, SnapshotChoice
from linkedclone.model.values.document_errors import Place
from linkedclone.model.vm import Snapshot, Vm
from linkedclone.planning.clone.instant import list_impossible, settle_instant
from linkedclone.planning.clone.snapshot_choice import choose_snapshot
from linkedclone.planning.pool.requests import build_request

_CALLED = {"memory_bytes": "memory", "disks": "add_disks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkImage:
    """What a pool's instant clones are forked from.

    Attributes:
        request: The request of the clones, which names it.
        snapshot: The snapshot; None for the parent as it runs, and where there is none yet.
        blocked: Why nothing can be forked from it now; None if it can.
    """

    request: CloneRequest
    snapshot: Snapshot | None = None
    blocked: RefusedError | None = None


def choose_image(request: CloneRequest, parent: Vm, *, forks_snapshots: bool) -> ForkImage:
    """Choose what the clones are forked from: the same for all of them, so never a new snapshot.

    Raises:
        InputError: Something is asked for that no instant clone can be given.
    """
    if not forks_snapshots and request.snapshot.kind == "named":
        raise InputError(
            "an instant clone is made here of the parent as it runs, not of a snapshot",
            hint="leave snapshot out of the pool's file",
        )
    snapshot = None
    try:
        if forks_snapshots:
            snapshot = choose_snapshot(parent, request.snapshot)
        if snapshot is not None:
            request = replace(request, snapshot=SnapshotChoice(kind="named", name=snapshot.id))
        settle_instant(request, parent, forks_snapshots=forks_snapshots)
    except RefusedError as error:
        anew = "``pool recompose`` FILE takes a snapshot with memory of the running parent"
        stands = snapshot is not None or isinstance(error, NoSnapshotError)
        hint = anew if stands else error.hint
        blocked = RefusedError(error.brief, details=error.details, hint=hint)
        return ForkImage(request=request, snapshot=snapshot, blocked=blocked)
    return ForkImage(request=request, snapshot=snapshot)


def refuse_blocked(plan: PoolPlan, blocked: RefusedError | None) -> None:
    """Stop a pool whose clones cannot be forked, if any is to be; those that run are left alone."""
    if blocked and any(isinstance(change, Create | Replace) for change in plan.changes):
        raise blocked


def list_unforkable(spec: PoolSpec) -> Iterator[Place]:
    """Yield the settings of a pool of instant clones that no such clone can be given."""
    found: dict[Place, None] = {}
    for section in ("", *spec.per_driver):
        request = build_request(spec, section=section)
        found |= dict.fromkeys(_find_place(field, section) for field in list_impossible(request))
    yield from found


def _find_place(field: str, section: str) -> Place:
    group, _, key = field.partition(".")
    key = _CALLED.get(key, key)
    if group == "hardware":
        return (group if hasattr(PoolHardware(), key) else section, key)
    if group == "customization_spec":
        return ("customization", "stored")
    return (group, key) if key else (group.removesuffix("_on"),)
