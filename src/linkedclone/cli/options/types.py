"""Values of options and arguments, checked while the command line is read."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from linkedclone.model.request import Scan

accel_option = click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    metavar="auto|kvm|tcg",
    help="KVM or software emulation (default: auto, KVM if it works). local: only.",
)
"""What commands that start VMs take."""

scan_option = click.option(
    "--scan",
    multiple=True,
    metavar="PLACE",
    help="Also search this place for disk files that belong to no VM: a datastore (vSphere) "
    "or a folder (local:); 'all' for every place that VMs with clones use. Repeatable.",
)
"""For commands that have to know what else depends on a layer."""

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


def read_memory(text: str) -> int:
    """Read a size of memory, as 4GiB; return bytes."""
    return _read_size(text, "memory size")


def read_size(text: str) -> int:
    """Read a size of a disk, as 40GiB; return bytes."""
    return _read_size(text, "size")


def _read_size(text: str, what: str) -> int:
    from linkedclone.errors import InputError
    from linkedclone.model.values.sizes import parse_size

    try:
        return parse_size(text, what=what)
    except InputError as error:
        words = "; ".join(filter(None, (error.brief, error.hint)))
        raise click.BadParameter(words) from error


def read_duration(text: str) -> float:
    """Read a length of time, as 90, 90s, 5m or 1h; return seconds."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is not a duration; write it as 90s, 5m or 1h")
    return seconds


def read_scan(places: tuple[str, ...]) -> "Scan | None":
    """Return where to look for files of no VM; None for nowhere."""
    from linkedclone.model.request import Scan

    if not places:
        return None
    return Scan(places=() if "all" in places else places)


def expand_refs(refs: Iterable[str]) -> tuple[str, ...]:
    """Expand ranges in names of existing VMs; paths and UUIDs stay as they are. Each comes once."""
    from linkedclone.model.values.vm_names import expand_names

    found: list[str] = []
    for ref in refs:
        found.extend(expand_names([ref]) if "{" in ref else [ref])
    return tuple(dict.fromkeys(found))


pool_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
"""A pool's file; whether it is there is found out when it is read."""

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
