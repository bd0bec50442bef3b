"""How many clones may be in flight at once, so that no host is given more than it takes. Pure."""

from typing import Final

from linkedclone.model.request import DiskMove

UNITS_PER_HOST: Final = 16
"""What one host works on at once; more is queued there, not failed [fact: vs-limits]."""

UNITS_LINKED: Final = 1
UNITS_FULL: Final = 4


def find_parallel(
    *, default: int, hosts: int, disk_move: DiskMove, wanted: int | None = None
) -> int:
    """Return how many clones may be in flight.

    Args:
        default: What the driver takes as a whole.
        hosts: How many hosts can run the clones; 0 where that is unknown.
        disk_move: Whether disks are linked or copied.
        wanted: What the user asked for, which is taken as it is.
    """
    if wanted is not None:
        return wanted
    if not hosts:
        return default
    units = UNITS_LINKED if disk_move.linked else UNITS_FULL
    return max(1, min(default, hosts * UNITS_PER_HOST // units))
