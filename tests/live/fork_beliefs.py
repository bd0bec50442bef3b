"""What the code believes of instant clones, and no simulator shows: one check each.

They fork a linked clone of the lab's own that runs; no script in its guest is needed.
"""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.fork_source import read_source
from linkedclone.drivers.vsphere.cloning.fork_spec import build_fork_spec
from linkedclone.drivers.vsphere.inventory.device_shape import is_card
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.live.beliefs import Seen, belief, say, untold
from tests.live.lab import Lab


def running(lab: Lab) -> Vm:
    """Make a VM that runs."""
    source = lab.clone()
    lab.result_of(lab.driver.start(do.set_power(source, Power.ON)))
    return lab.driver.find_vms([source.uuid])[0]


def fork(lab: Lab, source: Vm) -> tuple[CreateClone, Any]:
    """Fork a VM with our own request; return the step, and the native VM."""
    step = lab.step(source, snapshot=lab.parent.snapshots[0])
    shape = read_source(lab.session, lab.driver._collector, source.id).shape
    call = lab.native(source.id).InstantClone_Task
    spec = build_fork_spec(step, shape, "00")
    made = lab.result_of(lab.driver._jobs.start(step.name, "clone", call, spec=spec))
    return step, lab.native(VmId(str(made)))


def cards(native: Any) -> list[Any]:
    """Return a VM's network cards."""
    return [device for device in native.config.hardware.device if is_card(device)]


def layers(native: Any) -> int:
    """Return how long the chain of a VM's first disk is."""
    kinds = vim.vm.device.VirtualDisk
    backing = next(d for d in native.config.hardware.device if isinstance(d, kinds)).backing
    count = 0
    while backing is not None:
        count, backing = count + 1, backing.parent
    return count


@belief(
    "fork place",
    "an instant clone is in the folder and the pool that its location names",
    "[fact: vs-instant-location]",
)
def _place(lab: Lab) -> Seen:
    step, native = fork(lab, running(lab))
    seen = native.parent._GetMoId(), native.resourcePool._GetMoId()
    return say(seen == (step.target.folder, step.target.pool), seen)


@belief(
    "fork cards",
    "migrateConnect disconnects a card at birth, and a later edit connects it",
    "[fact: vs-instant-location]",
)
def _cards(lab: Lab) -> Seen:
    _, native = fork(lab, running(lab))
    before = [card.connectable.connected for card in cards(native)]
    for card in cards(native):
        card.connectable.connected = True
        change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        call, spec = native.ReconfigVM_Task, vim.vm.ConfigSpec(deviceChange=[change])
        lab.result_of(lab.driver._jobs.start(native.name, "reconfigure", call, spec=spec))
    after = [card.connectable.connected for card in cards(native)]
    if not before:
        return untold("the VM has no network card")
    return say(not any(before) and all(after), f"connected: {before}, then {after}")


@belief(
    "fork layers",
    "each instant clone of a running VM gives it one more layer",
    "[fact: vs-instant-layers]",
)
def _layers(lab: Lab) -> Seen:
    source = running(lab)
    counts = [layers(lab.native(source.id))]
    for _ in range(2):
        fork(lab, source)
        counts.append(layers(lab.native(source.id)))
    return say(counts == [counts[0], counts[0] + 1, counts[0] + 2], counts)


@belief(
    "fork mark",
    "what config holds is in extraConfig as soon as the task has ended",
    "[fact: vs-instant-location]",
)
def _mark(lab: Lab) -> Seen:
    step, native = fork(lab, running(lab))
    options = {option.key: option.value for option in native.config.extraConfig}
    return say(options.get("linkedclone.uuid") == step.uuid, options.get("linkedclone.uuid"))


@belief(
    "fork MAC",
    "vCenter gives the cards of an instant clone other addresses than its source's",
    "[fact: vs-fresh-mac]",
)
def _mac(lab: Lab) -> Seen:
    source = running(lab)
    _, native = fork(lab, source)
    seen = [card.macAddress for card in cards(native)]
    return say(not set(seen) & set(source.macs), f"{source.macs}, then {seen}")


@belief(
    "fork MAC inside",
    "the guest of an instant clone keeps its source's MAC address until it takes the card anew",
    "[fact: vs-instant-inside]",
)
def _mac_inside(lab: Lab) -> Seen:
    source = running(lab)
    _, native = fork(lab, source)
    seen = {nic.macAddress for nic in native.guest.net if nic.macAddress}
    if lab.simulated or native.guest.guestState != "running":
        return untold("no guest tells its network cards here")
    return say(seen <= set(source.macs), seen)


@belief(
    "fork memory",
    "an instant clone shares memory with its source",
    "[fact: vs-instant-inside]",
)
def _memory(lab: Lab) -> Seen:
    _, native = fork(lab, running(lab))
    shared = native.summary.quickStats.sharedMemory
    return untold("no statistics") if not shared else say(shared > 0, f"{shared} MiB are shared")


@belief(
    "frozen layers",
    "a frozen VM keeps one delta however often it is forked",
    "[fact: vs-instant-frozen]",
)
def _frozen(lab: Lab) -> Seen:
    frozen = [vm for vm in lab.driver.observe().vms if vm.frozen]
    if not frozen:
        return untold("no VM is frozen: run docs/instant-clones-guest.sh freeze in one")
    native = lab.native(frozen[0].id)
    children = [vm for vm in lab.driver.observe().vms if frozen[0].disks[0].chain[0] in vm.layers]
    told = f"{layers(native)} layers, {len(children) - 1} VMs depend on its base"
    return say(layers(native) <= 1 + len(frozen[0].snapshots) + 1, told)
