"""What the code believes of vSphere and nobody has stated for certain: one check each.

Each names the fact in ``docs/facts.md`` that it looks at. A check gets a lab, looks,
and says what it saw; none touches anything outside of the lab's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.jobs.attach import Attacher
from linkedclone.errors import DuplicateNameError, LinkedCloneError
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.vm import Power
from tests import do
from tests.live.lab import Lab


class Outcome(StrEnum):
    """What came of a look."""

    HELD = "held"
    NOT = "did not hold"
    UNTOLD = "could not be told"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw, in words."""

    outcome: Outcome
    words: str


@dataclass(frozen=True, slots=True)
class Belief:
    """One statement.

    Attributes:
        name: Short, for tables.
        believed: What the code takes for granted.
        source: The fact that it is, as code cites it.
        look: How it is looked at.
        alone: Whether it is about an ESXi host without a vCenter.
    """

    name: str
    believed: str
    source: str
    look: Callable[[Lab], Seen]
    alone: bool = False


BELIEFS: list[Belief] = []


def belief(
    name: str, believed: str, source: str, *, alone: bool = False
) -> Callable[[Callable[[Lab], Seen]], Callable[[Lab], Seen]]:
    """Enter a check."""

    def enter(look: Callable[[Lab], Seen]) -> Callable[[Lab], Seen]:
        BELIEFS.append(Belief(name, believed, source, look, alone))
        return look

    return enter


def say(held: bool, words: object) -> Seen:
    """Return that something held, or not."""
    return Seen(Outcome.HELD if held else Outcome.NOT, str(words))


def untold(words: str) -> Seen:
    """Return that it could not be told here."""
    return Seen(Outcome.UNTOLD, words)


def disks(lab: Lab, vm: Any) -> list[Any]:
    """Return a VM's disks as vCenter shows them."""
    devices = lab.native(vm.id).config.hardware.device
    return [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]


@belief(
    "linked",
    "createNewChildDiskBacking from a snapshot hangs each disk from its file",
    "[fact: vs-move-types]",
)
def _linked(lab: Lab) -> Seen:
    parent, clone = lab.parent, lab.clone()
    (base,) = [one for one in parent.snapshots if one.current]
    proof = prove_linked(clone.disks, base.disks or ())
    return say(proof.linked is True, proof.reason or clone.disks[0].top.path)


@belief(
    "no snapshot",
    "a new linked clone has no snapshot although its disks have parents",
    "[fact: vs-clone-without-snapshot]",
)
def _no_snapshot(lab: Lab) -> Seen:
    clone = lab.clone()
    native = lab.native(clone.id)
    return say(
        native.snapshot is None and bool(disks(lab, clone)[0].backing.parent),
        f"snapshot: {native.snapshot}",
    )


@belief(
    "own folder",
    "config.files.vmPathName names a folder of the clone's own",
    "[fact: vs-own-folder]",
)
def _own_folder(lab: Lab) -> Seen:
    clone = lab.clone()
    paths = [lab.native(vm.id).config.files.vmPathName for vm in (clone, lab.parent)]
    return say(paths[0].rpartition("/")[0] != paths[1].rpartition("/")[0], " / ".join(paths))


@belief(
    "disk uuid",
    "a linked disk has its parent's UUID, so UUIDs group families only",
    "[fact: vs-disk-uuid]",
)
def _disk_uuid(lab: Lab) -> Seen:
    clone = lab.clone()
    both = [disks(lab, vm)[0].backing.uuid for vm in (clone, lab.parent)]
    return say(both[0] == both[1], " / ".join(map(str, both)))


@belief("bios uuid", "a clone's BIOS UUID is fresh unless it is set", "[fact: vs-bios-uuid]")
def _bios_uuid(lab: Lab) -> Seen:
    both = [lab.native(vm.id).config.uuid for vm in (lab.clone(), lab.parent)]
    return say(both[0] != both[1], " / ".join(both))


@belief(
    "instance uuid",
    "the wanted instanceUuid is taken if nobody has it",
    "[fact: vs-instance-uuid]",
)
def _instance_uuid(lab: Lab) -> Seen:
    step = lab.step()
    made = lab.result_of(lab.driver.start(step))
    uuid = lab.native(made).config.instanceUuid  # type: ignore[arg-type]
    return say(uuid == step.uuid, uuid)


@belief(
    "mac",
    "a clone of a VM with a generated address gets one of its own",
    "[fact: vs-fresh-mac]",
)
def _mac(lab: Lab) -> Seen:
    def macs(vm: Any) -> set[str]:
        devices = lab.native(vm.id).config.hardware.device
        cards = vim.vm.device.VirtualEthernetCard
        return {str(card.macAddress) for card in devices if isinstance(card, cards)}

    mine, theirs = macs(lab.clone()), macs(lab.parent)
    return (
        untold("the parent has no card")
        if not theirs
        else say(not mine & theirs, f"{mine} / {theirs}")
    )


@belief(
    "inherited keys",
    "a clone of a clone inherits extraConfig, so a mark has to name its own VM",
    "[fact: vs-extraconfig-inherited]",
)
def _inherited(lab: Lab) -> Seen:
    job = lab.driver._jobs.start(
        "parent", "mark", lab.native(lab.parent.id).ReconfigVM_Task,
        spec=vim.vm.ConfigSpec(
            extraConfig=[vim.option.OptionValue(key="linkedclone.live", value=lab.name)]
        ),
    )  # fmt: skip
    lab.result_of(job)
    lab.result_of(lab.driver.start(do.create_snapshot(lab.parent, "marked", "")))
    extra = {one.key: one.value for one in lab.native(lab.clone().id).config.extraConfig}
    return say(extra.get("linkedclone.live") == lab.name, extra.get("linkedclone.live"))


@belief(
    "hardware of then",
    "a clone has the hardware of the snapshot's moment, not today's",
    "[fact: vs-snapshot-hardware]",
)
def _hardware(lab: Lab) -> Seen:
    before = lab.native(lab.parent.id).config.annotation
    spec = vim.vm.ConfigSpec(annotation="changed after the snapshot")
    job = lab.driver._jobs.start(
        "parent", "mark", lab.native(lab.parent.id).ReconfigVM_Task, spec=spec
    )
    lab.result_of(job)
    found = lab.native(lab.clone().id).config.annotation
    return say(found == before, repr(found))


@belief(
    "snapshot moves on",
    "a snapshot freezes the file, and the VM goes on with a new delta",
    "[fact: vs-snapshot-freezes]",
)
def _moves_on(lab: Lab) -> Seen:
    clone = lab.clone()
    before = disks(lab, clone)[0].backing.fileName
    lab.result_of(lab.driver.start(do.create_snapshot(clone, "mine", "")))
    after = disks(lab, clone)[0].backing
    return say(
        after.fileName != before and after.parent.fileName == before, f"{before} < {after.fileName}"
    )


@belief(
    "no snapshot, no child",
    "createNewChildDiskBacking without a snapshot is InvalidArgument of spec.snapshot",
    "[fact: vs-child-needs-snapshot]",
)
def _no_child(lab: Lab) -> Seen:
    spec = vim.vm.CloneSpec(
        location=vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking"),
        powerOn=False, template=False,
    )  # fmt: skip
    folder = lab.session.managed("Folder", lab.folder)
    native = lab.native(lab.parent.id)
    name = lab.new_name()
    fault = lab.fault_of(
        lambda: lab.driver._jobs.start(
            name, "clone", native.CloneVM_Task, folder=folder, name=name, spec=spec
        )
    )
    named = str(getattr(fault, "invalidProperty", ""))
    return say("snapshot" in named, f"{type(fault).__name__} {named}")


@belief(
    "taken name",
    "a taken name is DuplicateName, and its object is the VM that has it",
    "[fact: vs-duplicate-name]",
)
def _taken(lab: Lab) -> Seen:
    clone = lab.clone()
    fault = lab.fault_of(lambda: lab.driver.start(lab.step(name=clone.name)))
    there = isinstance(fault, vim.fault.DuplicateName) and fault.object is not None
    return say(there and fault.object._GetMoId() == clone.id, type(fault).__name__)


@belief(
    "name as lock",
    "of two clones of one name that are sent at once, one is refused as DuplicateName",
    "[fact: vs-name-reserved]",
)
def _lock(lab: Lab) -> Seen:
    steps = [lab.step(name=name) for name in [lab.new_name()] * 2]

    def make(step: Any) -> LinkedCloneError | None:
        try:
            return lab.finish(lab.driver.start(step)).error
        except LinkedCloneError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        errors = list(pool.map(make, steps))
    failed = [error for error in errors if error is not None]
    return say(len(failed) == 1 and isinstance(failed[0], DuplicateNameError), errors)


@belief(
    "task names",
    "a running clone is among the source's recent tasks as VirtualMachine.clone",
    "[fact: vs-clone-tasks]",
)
def _tasks(lab: Lab) -> Seen:
    parent = lab.parent
    job = lab.driver.start(lab.step(parent))
    attacher: Attacher = lab.driver._attacher
    tasks = attacher._read_tasks({parent.id})[parent.id]
    made = lab.result_of(job)
    tasks_after = attacher._read_tasks({parent.id})[parent.id]
    return say(
        tasks.running or made in tasks_after.made,
        f"running: {tasks.running}, seen at its end: {made in tasks_after.made}",
    )


@belief(
    "gone is done",
    "what was deleted is ManagedObjectNotFound, at the call or in the task",
    "[fact: vs-gone]",
)
def _gone(lab: Lab) -> Seen:
    clone = lab.clone()
    native = lab.native(clone.id)
    lab.result_of(lab.driver.start(do.delete_vm(clone)))
    fault = lab.fault_of(lambda: lab.driver._jobs.start(clone.name, "promote", native.Destroy_Task))
    return say(isinstance(fault, vmodl.fault.ManagedObjectNotFound), type(fault).__name__)


@belief(
    "already off",
    "stopping what is off is InvalidPowerState with its existingState",
    "[fact: vs-already-off]",
)
def _off(lab: Lab) -> Seen:
    native = lab.native(lab.clone().id)
    fault = lab.fault_of(lambda: lab.driver._jobs.start("clone", "promote", native.PowerOffVM_Task))
    return say(str(getattr(fault, "existingState", "")) == "poweredOff", type(fault).__name__)


@belief(
    "no growth",
    "a disk that depends on another file cannot be made larger",
    "[fact: vs-linked-no-growth]",
)
def _growth(lab: Lab) -> Seen:
    clone = lab.clone()
    disk = clone.disks[0]
    size = disks(lab, clone)[0].capacityInBytes + (1 << 30)
    fault = lab.fault_of(lambda: lab.driver.start(do.grow_disk(clone, disk.label, size)))
    return say(fault is not None, type(fault).__name__)


@belief(
    "shared bytes",
    "layoutEx tells fewer unique than all bytes of a shared layer",
    "[fact: vs-unique-size]",
)
def _bytes(lab: Lab) -> Seen:
    clone = lab.clone()
    native = lab.native(clone.id)
    native.RefreshStorageInfo()
    files = [file for file in native.layoutEx.file if file.type == "diskExtent"]
    sizes = {file.name: (file.size, file.uniqueSize) for file in files}
    shared = [name for name, (size, own) in sizes.items() if own is not None and own < size]
    return untold("no extents are listed") if not files else say(bool(shared), sizes)


@belief(
    "checker",
    "CheckClone_Task tells a fault in its result, and does not fail with it",
    "[fact: vs-check-clone]",
)
def _checker(lab: Lab) -> Seen:
    try:
        assert lab.driver.services.checker is not None
        checks = lab.driver.services.checker.check_clone(lab.step(name=lab.clone().name))
    except LinkedCloneError as error:
        return say(held=False, words=error)
    return Seen(Outcome.HELD, f"{len(checks)} hosts, errors: {[one.errors for one in checks][:1]}")


@belief(
    "nothing to promote",
    "promoting what shares nothing is a success; after it no disk has a parent",
    "[fact: vs-promote]",
)
def _promote(lab: Lab) -> Seen:
    clone = lab.clone()
    first = lab.finish(lab.driver.start(do.promote_vm(clone)))
    parents = [disk.backing.parent for disk in disks(lab, clone)]
    second = lab.finish(lab.driver.start(do.promote_vm(clone)))
    alone = not any(parents) and first.error is None
    return say(alone and second.error is None, f"{first.error} {second.error}")


@belief(
    "snapshot under clones",
    "removing the snapshot that clones depend on leaves them whole",
    "[fact: vs-snapshot-under-clones]",
)
def _under(lab: Lab) -> Seen:
    clone = lab.clone()
    chain = clone.disks[0].chain if hasattr(clone.disks[0], "chain") else ()
    (current,) = [one for one in lab.parent.snapshots if one.current]
    lab.result_of(lab.driver.start(do.delete_snapshot(lab.parent, current.id)))
    (again,) = lab.driver.observe_vms([clone.id])
    state = lab.finish(lab.driver.start(do.set_power(clone, Power.ON)))
    lab.finish(lab.driver.start(do.set_power(clone, Power.OFF)))
    lab.result_of(lab.driver.start(do.create_snapshot(lab.parent, "again", "")))
    same = again.disks == clone.disks
    return say(same and state.error is None, state.error or f"{len(chain)} layers, and it starts")


@belief(
    "parent deleted",
    "deleting a parent keeps the files that a registered clone needs",
    "[fact: vs-base-goes-with-last-user]",
)
def _parent_deleted(lab: Lab) -> Seen:
    middle = lab.clone()
    lab.result_of(lab.driver.start(do.create_snapshot(middle, "base", "")))
    (middle,) = lab.driver.find_vms([middle.uuid])
    clone = lab.clone(middle)
    lab.result_of(lab.driver.start(do.delete_vm(middle)))
    state = lab.finish(lab.driver.start(do.set_power(clone, Power.ON)))
    lab.finish(lab.driver.start(do.set_power(clone, Power.OFF)))
    return say(state.error is None, state.error or "the clone starts without its parent")


@belief(
    "login again",
    "after a session has ended, calls are NotAuthenticated and a login mends that",
    "[fact: vs-session]",
)
def _login(lab: Lab) -> Seen:
    before = lab.session.logins
    lab.session.content.sessionManager.Logout()
    lab.driver.find_vms([lab.parent.uuid])
    return say(lab.session.logins == before + 1, f"{lab.session.logins - before} logins")


@belief(
    "tasks outlive sessions",
    "a task goes on, and can be followed, in a session that did not start it",
    "[fact: vs-tasks-outlive-sessions]",
)
def _outlive(lab: Lab) -> Seen:
    job = lab.driver.start(lab.step())
    lab.session.content.sessionManager.Logout()
    state = lab.finish(job)
    return say(state.error is None and bool(state.result), state.error or state.result)


@belief(
    "pages",
    "a read of more than 100 objects comes in pages with tokens",
    "[fact: vs-pages]",
)
def _pages(lab: Lab) -> Seen:
    vms = len(lab.driver.observe().vms)
    if vms <= 100:
        return untold(f"there are {vms} VMs, which fit on one page")
    view = lab.session.content.viewManager.CreateContainerView(
        lab.session.content.rootFolder,
        [vim.VirtualMachine],
        True,
    )
    counted = len(view.view)
    view.DestroyView()
    return say(counted == vms, f"{vms} by pages, {counted} in a view")
