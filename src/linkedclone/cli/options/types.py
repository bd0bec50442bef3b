"""Values of options and arguments, checked while the command line is read."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from linkedclone.model.request import Scan

ValueT = TypeVar("ValueT")
"""What a text is read as."""

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


def read_with(parse: Callable[[str], ValueT], text: str) -> ValueT:
    """Read a value of the command line by the rules that hold everywhere."""
    from linkedclone.errors import InputError

    try:
        return parse(text)
    except InputError as error:
        words = "; ".join(filter(None, (error.brief, error.hint)))
        raise click.BadParameter(words) from error


def read_memory(text: str) -> int:
    """Read a size of memory, as 4GiB; return bytes."""
    from linkedclone.model.values.sizes import parse_size

    return read_with(partial(parse_size, what="memory size"), text)


def read_size(text: str) -> int:
    """Read a size of a disk, as 40GiB; return bytes."""
    from linkedclone.model.values.sizes import parse_size

    return read_with(partial(parse_size, what="size"), text)


def read_duration(text: str) -> float:
    """Read a length of time, as 90, 90s, 5m, 12h or 30d; return seconds."""
    from linkedclone.model.values.durations import parse_duration

    return read_with(parse_duration, text)


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
