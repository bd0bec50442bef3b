"""Checks of the hardware of clones, and notes on their disks. Pure."""

from collections.abc import Iterator, Sequence

from linkedclone.errors import InputError, RefusedError
from linkedclone.lineage.proof import DEEPEST, shared_layers
from linkedclone.model.request import CloneRequest, DiskMove, Hardware
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Disk, Vm

_OWN_KEYS = "linkedclone."
_TYPED_KEYS = {
    "numvcpus": "``hardware.cpus``",
    "cpuid.corespersocket": "``hardware.cores_per_socket``",
    "memsize": "``hardware.memory_bytes``",
    "vcpu.hotadd": "``hardware.cpu_hot_add``",
    "mem.hotadd": "``hardware.memory_hot_add``",
    "annotation": "``annotation``",
    "displayname": "the clone's name",
}
"""Settings that have a field of their own: as extraConfig the server drops them in
silence [fact: vs-extraconfig]."""

_KIB = 1 << 10


def check_hardware(hardware: Hardware) -> None:
    """Refuse hardware that no parent could have."""
    cpus, cores = hardware.cpus, hardware.cores_per_socket
    if cpus and cores and cpus % cores:
        raise InputError(
            f"{cpus} CPUs cannot be spread over sockets of {cores} cores",
            hint="the cores per socket have to divide the CPUs",
        )
    for size in (*(disk.capacity_bytes for disk in hardware.disks), hardware.disk_bytes):
        if size is not None and (size <= 0 or size % _KIB):
            raise InputError(f"a disk of {size:,} bytes is not a multiple of 1 KiB")
    _check_keys([key for key, _ in hardware.extra_config])


def _check_keys(keys: Sequence[str]) -> None:
    folded = [key.casefold() for key in keys]
    for key in folded:
        if not key.strip():
            raise InputError(
                "a setting of ``hardware.extra_config`` has no key", hint="write KEY=VALUE"
            )
        if key.startswith(_OWN_KEYS):
            raise InputError(
                f"the setting {key} is linkedclone's own",
                hint=f"keys below {_OWN_KEYS} say which clones are ours",
            )
        if key in _TYPED_KEYS:
            brief = f"the setting {key} would be dropped: it has a field of its own"
            raise InputError(brief, hint=f"use {_TYPED_KEYS[key]}")
        if folded.count(key) > 1:
            raise InputError(f"the setting {key} is given twice")


def check_disks(request: CloneRequest, source: Vm, disks: Sequence[Disk]) -> None:
    """Refuse what the disks that are cloned from do not allow.

    Args:
        request: What is wanted.
        source: The parent.
        disks: Those of the snapshot, or of the parent where there is none (yet).
    """
    if request.instant and request.snapshot.kind == "current":
        from linkedclone.planning.clone.instant import check_layers

        check_layers(source, disks, count=len(request.names))
    elif request.disk_move.linked:
        _check_depth(source, disks)
    if request.hardware.disk_bytes is not None:
        _check_size(request.hardware.disk_bytes, request.disk_move, source, disks)


def _check_depth(source: Vm, disks: Sequence[Disk]) -> None:
    depth = _depth_of_clones(disks)
    if depth > DEEPEST:
        raise RefusedError(
            f"the chains of clones of {source.name} would be {depth} files deep",
            details=f"more than {DEEPEST} are slow, and hypervisors end near there",
            hint=f"make the parent independent with ``promote`` {source.name}, "
            "or make a full clone with ``disk_move.shared`` and clone from that",
        )


def _depth_of_clones(disks: Sequence[Disk]) -> int:
    return 1 + max((len(disk.chain) for disk in disks if not disk.independent), default=0)


def _check_size(wanted: int, move: DiskMove, source: Vm, disks: Sequence[Disk]) -> None:
    first = next(iter(disks), None)
    if first is None:
        raise InputError(f"{source.name} has no disk that could get another size")
    has = first.capacity_bytes
    if wanted == has:
        return
    if wanted < has:
        brief = f"{first.label} of {source.name} has {render_size(has)} and cannot shrink"
        raise InputError(
            brief, hint="ask for its size or more, or leave ``hardware.disk_bytes`` out"
        )
    if move.linked:
        raise RefusedError(
            f"{first.label} has {render_size(has)}, and a linked disk cannot grow",
            hint="make the clones, then promote and grow them; or make full ones "
            "with ``disk_move.shared``; or give them a further disk with ``hardware.disks``",
        )
    if _may_share(move) and len(first.chain) > 1:
        raise RefusedError(
            f"{first.label} depends on {first.chain[-2]}, which clones may share, "
            "and a disk that depends on another cannot grow",
            hint=f"``disk_move`` {DiskMove.CONSOLIDATED.value} makes one file of each disk",
        )


def _may_share(move: DiskMove) -> bool:
    return move in {DiskMove.SHARED, DiskMove.CHILD_MOST}


def note_disks(request: CloneRequest, source: Vm, disks: Sequence[Disk]) -> Iterator[str]:
    """Tell what becomes of the disks where a person might expect something else."""
    if not request.disk_move.linked:
        return
    copied = [disk for disk in disks if disk.independent]
    if copied:
        listed = ", ".join(f"{disk.label} ({render_size(disk.capacity_bytes)})" for disk in copied)
        verb = "is independent and is" if len(copied) == 1 else "are independent and are"
        yield f"{listed} {verb} copied for each clone; the other disks are linked"
    if shared_layers(source):
        depth = _depth_of_clones(disks)
        yield f"{source.name} is a linked clone itself: chains of its clones are {depth} files deep"
