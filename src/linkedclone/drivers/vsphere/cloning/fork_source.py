"""What a VM has to be for instant clones to be made of it. Refused before the call, by name."""

from collections.abc import Iterator
from dataclasses import dataclass

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.fork_spec import READY
from linkedclone.drivers.vsphere.cloning.network_cards import choose_new_cards
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.device_shape import (
    Shape,
    build_shape,
    is_card,
    is_disk,
    is_independent,
    is_manual,
    is_passed,
    is_told,
    label_of,
)
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import GoneError, InputError, LinkedCloneError, RefusedError
from linkedclone.guest.host_names import find_fault
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import VmId

_FROZEN = "runtime.instantCloneFrozen"
_READY = f'config.extraConfig["{READY}"]'
WANTED = ("config.hardware.device", "config.template", "runtime.powerState", _FROZEN, _READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSource:
    """A VM that is to be forked, as it was just read."""

    shape: Shape
    frozen: bool  # whether its guest stands still, so that each fork goes on at the same point
    ready: bool  # whether a script in its guest waits to be forked
    trouble: str = ""  # why it does not run; empty if it does


def read_source(session: Session, collector: Collector, vm: VmId) -> ForkSource:
    """Read a VM: one call."""
    start = session.managed("VirtualMachine", vm)
    seen = collector.read("read the parent", [start], {"VirtualMachine": WANTED}).get(vm)
    if seen is None:
        raise GoneError(f"the VM {vm} no longer exists", kind="ManagedObjectNotFound")
    return build_source(seen)


def build_source(seen: Seen) -> ForkSource:
    """Return what was read of a VM. Pure."""
    ready, power = seen.told(_READY), str(seen.demand("runtime.powerState"))
    trouble = "is a template" if seen.told("config.template") else ""
    if not trouble and power != "poweredOn":
        trouble = {"poweredOff": "is off", "suspended": "is suspended"}.get(power, f"is {power}")
    return ForkSource(
        shape=build_shape(seen.demand("config.hardware.device"), whole=True),
        frozen=bool(seen.told(_FROZEN)),
        ready=bool(ready is not None and ready.value),
        trouble=trouble,
    )


def check_fork(step: CreateClone, source: ForkSource) -> None:
    """Refuse a step that cannot be forked from a source, by the first reason that there is."""
    for error in find_obstacles(step.source.name, source):
        raise error
    host_name = step.guest.host_name if step.guest else step.name
    if fault := find_fault(host_name, windows=False):
        raise InputError(
            f"the host name {host_name!r} {fault}",
            hint="choose another name, or a host_name in a customization",
        )
    choose_new_cards(step, source.shape)
    if step.macs:
        raise InputError(
            f"vCenter gives the network cards of instant clones their addresses: ``macs`` of "
            f"{step.name} is not possible",
            hint="leave it out",
        )


def find_obstacles(name: str, source: ForkSource) -> Iterator[LinkedCloneError]:
    """Yield why no instant clone can be made of a VM; nothing if one can."""
    if source.trouble:
        yield RefusedError(
            f"{name} {source.trouble}, and an instant clone is forked from a running VM",
            hint="start it first",
        )
    for device in source.shape.devices:
        if reason := find_reason(device):
            yield RefusedError(
                f"{label_of(device)} of {name} cannot be forked: {reason[0]}", hint=reason[1]
            )
    if not source.ready:
        yield RefusedError(
            f"no script in the guest of {name} waits to be forked: its clones could not be told "
            "from each other",
            details=f"the guest has not set {READY}",
            hint="install the script of docs/instant-clones-guest.sh in it, and start that",
        )


def examine_forking(source: ForkSource) -> Iterator[Finding]:
    """Tell whether instant clones can be made of a VM in whose guest a script waits. Pure."""
    if not source.ready:
        return
    obstacles = list(find_obstacles("it", source))
    for error in obstacles:
        yield Finding(
            check="instant clones", verdict=Verdict.WARNING, text=error.brief, remedy=error.hint
        )
    if not obstacles:
        text = "a script in its guest waits: instant clones can be made of it"
        yield Finding(check="instant clones", verdict=Verdict.OK, text=text)


def find_reason(device: Native) -> tuple[str, str] | None:
    """Say why a device keeps its VM from being forked, and what helps.

    It is what keeps a VM from being migrated, too [fact: vs-instant-devices].
    """
    kinds = vim.vm.device
    if is_passed(device):
        return "it is a device of the host", "remove it"
    ports = (kinds.VirtualSerialPort, kinds.VirtualParallelPort)
    if isinstance(device, ports) and not isinstance(device.backing, type(device).FileBackingInfo):
        return "it is not backed by a file", "remove it, or back it by a file"
    if isinstance(device, kinds.VirtualSCSIController) and str(device.sharedBus) != "noSharing":
        return "its bus is shared", "end the sharing"
    if is_card(device) and is_manual(device):
        return (
            "its MAC address was set by hand, so that all clones would have it",
            "let vCenter assign it",
        )
    if is_card(device) and not is_told(device):
        return "the server does not say whether it is connected, or its MAC address", "try again"
    if is_disk(device) and is_independent(device):
        raw = getattr(device.backing, "compatibilityMode", None) == "physicalMode"
        what = "it is a raw device in physical mode" if raw else "it is independent"
        return what, "make it a dependent virtual disk"
    return None


def refuse_places(request: CloneRequest) -> None:
    """Refuse what would be another host than the source's: no fork leaves it."""
    placement = request.placement
    asked = {
        "placement.host": placement.host,
        "placement.cluster": placement.cluster,
        "placement.datacenter": placement.datacenter,
        "placement.datastore_cluster": placement.datastore_cluster,
        "placement.spread.host": placement.spread == "host",
    }
    for field, given in asked.items():
        if given:
            raise InputError(
                f"an instant clone is on the host of its parent: ``{field}`` is not possible",
                hint="leave it out; DRS may move the clone later",
            )
