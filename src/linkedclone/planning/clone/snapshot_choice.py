"""Which snapshot of a VM is meant."""

from collections.abc import Iterable

from linkedclone.errors import (
    AmbiguousError,
    InputError,
    NoSnapshotError,
    NotFoundError,
    RefusedError,
)
from linkedclone.model.request import SnapshotChoice
from linkedclone.model.vm import Snapshot, Vm


def parse_snapshot_choice(text: str) -> SnapshotChoice:
    """Read ``current``, ``new``, ``new:NAME``, or a snapshot's name, path or id.

    A snapshot that is itself called ``current`` or ``new`` is reached by its
    path (``/new``) or id.
    """
    if text == "current":
        return SnapshotChoice(kind="current")
    if text == "new":
        return SnapshotChoice(kind="new")
    if text.startswith("new:"):
        name = text.removeprefix("new:").strip()
        if not name:
            raise InputError("the new snapshot has an empty name", hint="write new or new:NAME")
        return SnapshotChoice(kind="new", name=name)
    if not text.strip("/ "):
        raise InputError("the snapshot's name is empty", hint="current, NAME, ID or new[:NAME]")
    return SnapshotChoice(kind="named", name=text)


def choose_snapshot(vm: Vm, choice: SnapshotChoice) -> Snapshot | None:
    """Return the snapshot of the VM that is meant; None for one that is yet to be taken.

    That is also the case for ``current`` of a template that has none, if it
    may be prepared.

    Never falls back from one kind to another: a wrong guess would clone from
    the wrong state.
    """
    match choice.kind:
        case "new":
            return None
        case "current" if choice.prepare_template and vm.template and not vm.snapshots:
            return None
        case "current":
            return _current(vm, prepared=choice.prepare_template)
        case "named":
            hint = f"take it with ``snapshot`` new:{choice.name}"
            return find_snapshot(vm, choice.name, without_any=hint)


def require_seen(vm: Vm) -> tuple[Snapshot, ...]:
    """Return the snapshots of a VM.

    Raises:
        RefusedError: None is seen, and the VM cannot be read: it may have some.
    """
    if vm.unreadable and not vm.snapshots:
        raise RefusedError(
            f"the snapshots of {vm.name} cannot be read",
            details=vm.unreadable,
            hint=vm.remedy or "``doctor`` says what is wrong",
        )
    return vm.snapshots


def _current(vm: Vm, *, prepared: bool) -> Snapshot:
    for snapshot in require_seen(vm):
        if snapshot.current:
            return snapshot
    if vm.snapshots:
        raise NotFoundError(
            f"{vm.name} has snapshots but none is current",
            hint="name one with ``snapshot``: " + _listed(vm.snapshots),
        )
    if prepared and not vm.template:
        raise NoSnapshotError(
            f"{vm.name} has no snapshot for linked clones, and is not a template",
            hint="a run that was killed while it prepared the template leaves it so: make it a "
            f"template again (govc vm.markastemplate {vm.name}), or take one with ``snapshot`` new",
        )
    raise NoSnapshotError(
        f"{vm.name} has no snapshot for linked clones",
        hint="take one in the same go with "
        + ("``snapshot.prepare_template``" if vm.template else "``snapshot`` new (or new:NAME)"),
    )


def find_snapshot(vm: Vm, wanted: str, *, without_any: str = "") -> Snapshot:
    """Find a snapshot by id, path or name, and by other spellings of those at last.

    A slash in front tells a path from a name that has slashes itself.

    Args:
        vm: Whose snapshot.
        wanted: Its id, path or name.
        without_any: What to try next if the VM has no snapshot at all; that
            depends on what the snapshot is wanted for.
    """
    seen = require_seen(vm)
    for found in (
        [s for s in seen if s.id == wanted],
        [s for s in seen if wanted.startswith("/") and s.path == wanted.strip("/")],
        # A name may have slashes of its own.
        [s for s in seen if s.name == wanted or ("/" in wanted and s.path == wanted)],
        [s for s in seen if wanted in s.aliases],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(
                f"{vm.name} has {len(found)} snapshots called {wanted!r}",
                candidates=tuple(describe_snapshot(s) for s in found),
                hint="give the path or the id instead",
            )
    if not seen:
        raise NotFoundError(
            f"{vm.name} has no snapshots, so none is called {wanted!r}",
            hint=without_any,
        )
    raise NotFoundError(
        f"{vm.name} has no snapshot called {wanted!r}",
        hint="it has: " + _listed(vm.snapshots),
    )


def describe_snapshot(snapshot: Snapshot) -> str:
    """Write a snapshot so that a person can tell it from another of the same name."""
    when = f"{snapshot.created:%Y-%m-%d %H:%M}" if snapshot.created else "date unknown"
    return f"{snapshot.path}  {when}  {snapshot.id}"


def _listed(snapshots: Iterable[Snapshot]) -> str:
    return ", ".join(snapshot.path for snapshot in snapshots)
