"""Whether a VM is fit to be cloned from, as far as every hypervisor can tell. Pure."""

from collections.abc import Iterator

from linkedclone.errors import RefusedError
from linkedclone.lineage.proof import DEEPEST
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.plan import DisconnectMedia, Plan, SetPower, Step, WriteMark
from linkedclone.model.request import DEFAULT_OWNER, Mending
from linkedclone.model.vm import Disk, Mark, Power, Snapshot, Vm
from linkedclone.planning.clone.instant import tell_forking
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from linkedclone.planning.vms.snapshots_and_disks import plan_create_snapshot


def plan_mending(vm: Vm, mending: Mending, *, version: str) -> Plan:
    """Plan what is asked for of a golden image, each step after the one before.

    With a snapshot of linkedclone's it is made ours, so that it needs no force any
    more; in this order, so that a VM that is reverted to the snapshot stays ours.
    """
    steps: list[Step] = []
    if mending.power_off and vm.power is not Power.OFF:
        steps.append(SetPower(vm=vm.id, vm_name=vm.name, power=Power.OFF))
    if mending.disconnect_media:
        steps.append(DisconnectMedia(vm=vm.id, vm_name=vm.name))
    name = mending.snapshot
    if name and not _current_is(vm, name):
        if any(one.name == name for one in vm.snapshots):
            raise RefusedError(
                f"{vm.name} has an older snapshot called {name!r}, which is not current",
                hint="give the new one another name",
            )
        if vm.owner is None:
            mark = Mark(owner=DEFAULT_OWNER, uuid=vm.uuid, version=version)
            steps.append(WriteMark(vm=vm.id, vm_name=vm.name, mark=mark, seen=vm.mark))
        steps.extend(plan_create_snapshot(vm, name, SNAPSHOT_NOTE).steps)
    return Plan(stages=tuple((step,) for step in steps))


def _current_is(vm: Vm, name: str) -> bool:
    return any(one.current and one.name == name for one in vm.snapshots)


def examine_parent(vm: Vm) -> tuple[Finding, ...]:
    """Check what has to be in order before linked clones are made of a VM.

    What would make every clone fail is ``FAILED``; what only hurts is a warning.
    """
    current = next((one for one in vm.snapshots if one.current), None)
    disks = vm.disks if current is None else current.disks or ()
    return (
        _find_kind(vm),
        _find_snapshot(vm, current),
        _find_power(vm),
        *_find_disks(disks),
        _find_depth(vm, disks),
        *_find_forking(vm),
    )


def _find_forking(vm: Vm) -> Iterator[Finding]:
    """Tell of a VM that stands still to be forked, or has come far by being forked as it runs."""
    finding = tell_forking(vm)
    if vm.frozen or (vm.power is Power.ON and finding.verdict is not Verdict.OK):
        yield finding


def _find_kind(vm: Vm) -> Finding:
    if not vm.template:
        return Finding(check="kind", verdict=Verdict.OK, text="a VM")
    text = "a template: it can be cloned from, but its snapshots cannot be changed"
    return Finding(check="kind", verdict=Verdict.OK, text=text)


def _find_snapshot(vm: Vm, current: Snapshot | None) -> Finding:
    if current is not None:
        text = f"{current.path} is current"
        if current.created:
            text += f", taken {current.created:%Y-%m-%d %H:%M}"
        return Finding(check="snapshot", verdict=Verdict.OK, text=text)
    if vm.snapshots:
        paths = ", ".join(one.path for one in vm.snapshots)
        text, remedy = f"it has {paths}, but none is current", "name one: clone ``snapshot`` NAME"
    elif vm.template:
        text, remedy = (
            "the template has none",
            "clone with ``snapshot.prepare_template``, which takes one",
        )
    else:
        text, remedy = "it has no snapshot for linked clones", "take one with ``snapshot`` NAME"
    return Finding(check="snapshot", verdict=Verdict.FAILED, text=text, remedy=remedy)


def _find_power(vm: Vm) -> Finding:
    if vm.power is Power.OFF:
        return Finding(check="power", verdict=Verdict.OK, text="off")
    return Finding(
        check="power",
        verdict=Verdict.WARNING,
        text=f"{vm.power.value}: a snapshot taken now looks like a power cut to its clones",
        remedy="shut the guest down, or stop it hard with ``power_off``, before the snapshot",
    )


def _find_disks(disks: tuple[Disk, ...]) -> Iterator[Finding]:
    alone = [disk.label for disk in disks if disk.independent]
    if len(alone) == len(disks):
        yield Finding(
            check="disks",
            verdict=Verdict.FAILED,
            text="it has no disk that a clone could depend on",
            remedy="make a disk dependent, so that snapshots hold it",
        )
    elif alone:
        yield Finding(
            check="disks",
            verdict=Verdict.WARNING,
            text=f"{', '.join(alone)}: no snapshot holds it, so it is copied for each clone",
            remedy="make it dependent before the snapshot is taken, if that is not wanted",
        )
    else:
        text = f"{len(disks)} that clones can depend on"
        yield Finding(check="disks", verdict=Verdict.OK, text=text)


def _find_depth(vm: Vm, disks: tuple[Disk, ...]) -> Finding:
    """Each clone adds one file to the chain [fact: vs-depth]."""
    depth = 1 + max((len(disk.chain) for disk in disks if not disk.independent), default=0)
    if depth <= DEEPEST:
        text = f"chains of its clones are {depth} files deep"
        return Finding(check="chain depth", verdict=Verdict.OK, text=text)
    return Finding(
        check="chain depth",
        verdict=Verdict.FAILED,
        text=f"chains of its clones would be {depth} files deep; more than {DEEPEST} are refused",
        remedy=f"``promote`` {vm.name}, then take a new snapshot",
    )
