"""The mark that a clone carries from birth, kept in the VM's extraConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.vsphere.native import Native
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

PATHS: Final = {f'config.extraConfig["{_PREFIX}{key}"]': field for key, field in _KEYS.items()}
"""Where each field is read. A path with a key collects that element alone, and a
key that does not exist is no error (govmomi #3451, vm-operator #665), which
spares reading some fifty entries of every VM."""


def write_mark(mark: Mark) -> dict[str, str]:
    """Return the extraConfig entries of a mark.

    All keys are written, empty ones too: a clone inherits its parent's
    entries, and an empty value removes a key (handbook, section 6).
    """
    return {_PREFIX + key: getattr(mark, field) for key, field in _KEYS.items()}


def read_mark(values: Mapping[str, Native]) -> Mark | None:
    """Return the mark among a VM's properties, or None. Whether it counts is not decided here."""
    found = {
        field: str(values[path].value)
        for path, field in PATHS.items()
        if values.get(path) is not None
    }
    if not found.get("owner") or not found.get("uuid"):
        return None
    return Mark(**{**found, "uuid": found["uuid"].lower()})
