"""What instant clones are made of, and what they cannot be given. Pure.

A fork goes on where its parent stands: it has the hardware of that moment, and nothing
that a guest only learns when it boots.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.customization import CloudInit, Customization, GuestOs, LinuxGuest
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.request import CloneRequest, Hardware, SnapshotChoice
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Disk, Power, Vm
from linkedclone.planning.clone.snapshot_choice import choose_snapshot

MOST_LAYERS = 200
"""Each fork of a running VM adds a layer to its disks, and 255 is the end
[fact: vs-instant-layers]."""


MANY_LAYERS = 60
"""From here on a person is told how far that has come."""


def settle_instant(request: CloneRequest, source: Vm, *, forks_snapshots: bool) -> CloneRequest:
    """Return the request with what its clones are forked from.

    Where forks are made of snapshots that is a snapshot with memory: the one that is named,
    else a new one of a running parent, else the current one. Elsewhere it is the parent
    as it runs, and the choice stays ``current``.

    Raises:
        InputError: Something is asked for that no instant clone can be given.
        RefusedError: The parent does not run, or the snapshot has no memory that is good.
    """
    for field in list_impossible(request):
        raise InputError(
            f"an instant clone goes on with the hardware and the guest of its parent: "
            f"``{field}`` is not possible",
            hint="leave it out, or make linked clones without ``instant``, which boot",
        )
    choice = request.snapshot
    if not forks_snapshots:
        if choice != SnapshotChoice():
            raise InputError(
                "an instant clone is made here of the parent as it runs, not of a snapshot",
                hint="leave ``snapshot`` out",
            )
        _require_running(source, hint=f"start it first: ``start`` {source.name}")
        return request
    return replace(request, snapshot=_choose_memory(source, choice))


def list_impossible(request: CloneRequest) -> Iterator[str]:
    """Yield the fields that a fork cannot honour."""
    hardware, plain = request.hardware, Hardware()
    if not request.power_on:
        yield "power_on"
    if not request.disk_move.linked:
        yield "disk_move"
    for name in (
        *("cpus", "cores_per_socket", "memory_bytes", "cpu_hot_add", "memory_hot_add"),
        *("extra_config", "disks", "disk_bytes", "keep_tpm", "firmware", "display"),
    ):
        if getattr(hardware, name) != getattr(plain, name):
            yield f"hardware.{name}"
    for nic in hardware.nics:
        if nic.action != "remap":
            yield f"hardware.nics.{nic.action}"
    if request.customization_spec:
        yield "customization_spec"
    if request.snapshot.quiesce:
        yield "snapshot.quiesce"
    if request.snapshot.prepare_template:
        yield "snapshot.prepare_template"
    yield from _list_boot_only(request.customization)


def _list_boot_only(wanted: Customization | None) -> Iterator[str]:
    """Yield what only a guest that boots can be given; names and addresses a fork can have."""
    if wanted is None:
        return
    if wanted.os is GuestOs.WINDOWS or wanted.stored:
        yield "customization.os" if wanted.os is GuestOs.WINDOWS else "customization.stored"
    if wanted.linux != LinuxGuest():
        yield "customization.linux"
    if replace(wanted.cloud_init, transport="guestinfo") != CloudInit():
        yield "customization.cloud_init"
    if wanted.time_zone:
        yield "customization.time_zone"


def _choose_memory(source: Vm, choice: SnapshotChoice) -> SnapshotChoice:
    """Return the choice of a snapshot with memory: by its id, or of one that is to be taken."""
    if choice.kind == "current" and source.power is Power.ON:
        choice = replace(choice, kind="new")
    if choice.kind == "new":
        _require_running(source, hint="start it first, or name a snapshot with memory")
        return replace(choice, memory=True)
    if choice.kind == "current" and all(s.memory is None for s in source.snapshots):
        _require_running(source, hint="start it first, or name a snapshot with memory")
    snapshot = choose_snapshot(source, replace(choice, memory=False))
    if snapshot is None or snapshot.memory is None:
        named = snapshot.name if snapshot else choice.name
        raise RefusedError(
            f"the snapshot {named!r} of {source.name} has no memory to fork",
            hint=f"take one of the running VM: ``snapshot create`` {source.name} NAME ``memory``",
        )
    if snapshot.memory.stale:
        raise RefusedError(
            f"no instant clone can be made of the snapshot {snapshot.name!r} of {source.name}",
            details=snapshot.memory.stale,
            hint="take it anew; its disks can still be cloned without ``instant``",
        )
    return SnapshotChoice(kind="named", name=snapshot.id)


def _require_running(source: Vm, *, hint: str) -> None:
    if source.template:
        raise RefusedError(
            f"{source.name} is a template, and an instant clone is forked from a running VM",
            hint="make it a VM and start it",
        )
    if source.power is not Power.ON:
        raise RefusedError(
            f"{source.name} is {source.power.value}, and an instant clone is forked from a "
            "running VM",
            hint=hint,
        )


def check_layers(source: Vm, disks: Sequence[Disk], *, count: int = 1) -> None:
    """Refuse so many forks more of a running VM whose chains are near the end."""
    deepest = _deepest(disks)
    if deepest + count - 1 > MOST_LAYERS and not source.frozen:
        more = f", and {count} more are wanted" if count > 1 else ""
        raise RefusedError(
            f"{source.name} has {deepest} layers: each instant clone of a running VM adds one"
            f"{more}, and 255 is the end",
            hint="freeze it, or consolidate its disks",
        )


def tell_forking(vm: Vm) -> Finding:
    """Tell whether a VM that is forked as it runs gains layers by that, and how many it has."""
    deepest, check = _deepest(vm.disks), "instant clones"
    if vm.frozen:
        text = f"{vm.name} is frozen: all go on at the same point, and it gains no layers"
        return Finding(check=check, verdict=Verdict.OK, text=text)
    layers = render_count(deepest, "layer")
    if deepest < MANY_LAYERS:
        text = f"{vm.name} runs and has {layers}: each clone adds one"
        return Finding(check=check, verdict=Verdict.OK, text=text)
    return Finding(
        check=check,
        verdict=Verdict.WARNING,
        text=f"{vm.name} runs and has {layers}: each clone adds one, and from {MOST_LAYERS} on "
        "none is made",
        remedy="freeze it, or consolidate its disks",
    )


def _deepest(disks: Sequence[Disk]) -> int:
    return max((len(disk.chain) for disk in disks), default=0)
