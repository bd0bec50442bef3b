"""The mark that a clone carries from birth, kept in the VM's extraConfig."""

import json
from collections.abc import Mapping
from typing import Any, Final

from linkedclone.model.vm import Mark, PoolState

_PREFIX: Final = "linkedclone."

_KEYS: Final[Mapping[str, str]] = {
    "owner": "owner",
    "uuid": "uuid",
    "run": "run",
    "parent": "parent_uuid",
    "parent_name": "parent_name",
    "snapshot": "snapshot",
    "snapshot_name": "snapshot_name",
    "spec": "spec",
    "version": "version",
    "addresses": "addresses",
    "pool": "pool",
    "instant": "instant",
}
"""The key behind the prefix, and the field of the mark."""


def _path(key: str) -> str:
    return f'config.extraConfig["{_PREFIX}{key}"]'


PATHS: Final = {_path(key): field for key, field in _KEYS.items()}
"""Where each field is read. A path with a key reads that entry alone
[fact: vs-extraconfig-path], which spares reading some fifty entries of every VM."""

_OWNER: Final = _path("owner")
_UUID: Final = _path("uuid")


def write_mark(mark: Mark) -> dict[str, str]:
    """Return the extraConfig entries of a mark.

    All keys are written, empty ones too: they remove what the parent has
    [fact: vs-extraconfig-inherited, vs-extraconfig].
    """
    texts = {field: getattr(mark, field) for field in _KEYS.values()}
    texts["addresses"] = " ".join(mark.addresses)
    texts["pool"] = _render_state(mark.pool)
    texts["instant"] = "yes" if mark.instant else ""
    return {_PREFIX + key: texts[field] for key, field in _KEYS.items()}


def _render_state(state: PoolState | None) -> str:
    """Write what a pool keeps as one entry: each key costs every read of every VM."""
    if state is None:
        return ""
    return json.dumps(state.write())


def _read_state(text: str) -> PoolState | None:
    """Read it; a clone whose entry cannot be read counts as held, see ``PoolState.read``."""
    if not text:
        return None
    try:
        return PoolState.read(json.loads(text))
    except (ValueError, RecursionError):
        return PoolState.read(None)


def read_mark(values: Mapping[str, object]) -> Mark | None:
    """Return the mark among a VM's properties, or None. Whether it counts is not decided here."""
    if not values.get(_OWNER) or not values.get(_UUID):
        return None
    found = {field: str(values[path]) for path, field in PATHS.items() if path in values}
    given: dict[str, Any] = {
        **found,
        "uuid": found["uuid"].lower(),
        "addresses": tuple(found.get("addresses", "").split()),
        "pool": _read_state(found.get("pool", "")),
        "instant": found.get("instant") == "yes",
    }
    return Mark(**given)
