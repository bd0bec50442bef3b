"""Drivers that are installed beside the built-in ones, found by their entry points.

Nothing of them is imported here: an entry point has the name of a kind of endpoint,
and says where the driver's registration is.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "linkedclone.drivers"
"""What the ``pyproject.toml`` of a driver's package names its entry points by."""


def find_installed() -> "Mapping[str, EntryPoint]":
    """Return the entry points by kind; takes a while, so ask about what is not built in alone."""
    from importlib.metadata import entry_points

    return {one.name: one for one in entry_points(group=GROUP)}
