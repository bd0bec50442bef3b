"""The mark that a clone carries from birth, kept in the VM's extraConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkedclone.model.observed import Mark

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
}
"""The key behind the prefix, and the field of the mark."""


def _path(key: str) -> str:
    return f'config.extraConfig["{_PREFIX}{key}"]'


PATHS: Final = {_path(key): field for key, field in _KEYS.items()}
"""Where each field is read. A path with a key collects that element alone, and a
key that does not exist is no error (govmomi #3451, vm-operator #665), which
spares reading some fifty entries of every VM."""

_OWNER: Final = _path("owner")
_UUID: Final = _path("uuid")


def write_mark(mark: Mark) -> dict[str, str]:
    """Return the extraConfig entries of a mark.

    All keys are written, empty ones too: a clone inherits its parent's
    entries, and an empty value removes a key (handbook, section 6).
    """
    return {_PREFIX + key: getattr(mark, field) for key, field in _KEYS.items()}


def read_mark(values: Mapping[str, object]) -> Mark | None:
    """Return the mark among a VM's properties, or None. Whether it counts is not decided here."""
    if not values.get(_OWNER) or not values.get(_UUID):
        return None
    found = {field: str(values[path]) for path, field in PATHS.items() if path in values}
    return Mark(**{**found, "uuid": found["uuid"].lower()})
