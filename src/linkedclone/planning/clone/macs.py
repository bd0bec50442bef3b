"""MAC addresses that clones are given: checked before anything is sent. Pure."""

from collections.abc import Iterable, Sequence

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.macs import parse_mac
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Vm


def macs_of(request: CloneRequest, name: str) -> tuple[str, ...]:
    """Return the addresses that a clone is given, as they are sent."""
    for owner, macs in request.macs:
        if owner.casefold() == name.casefold():
            return tuple(parse_mac(mac) for mac in macs)
    return ()


def check_macs(request: CloneRequest) -> None:
    """Refuse addresses that are malformed, given twice, or for clones of no such name."""
    known = {name.casefold() for name in request.names}
    holders: dict[str, str] = {}
    seen: set[str] = set()
    for name, macs in request.macs:
        if name.casefold() not in known:
            raise InputError(f"a MAC address is given for {name!r}, but no clone has that name")
        if name.casefold() in seen:
            raise InputError(
                f"MAC addresses are given twice for {name!r}",
                hint=f"all at once: ``macs`` {name}=MAC,MAC",
            )
        seen.add(name.casefold())
        for mac in map(parse_mac, macs):
            if mac in holders:
                raise InputError(f"{mac} is given to {holders[mac]} and to {name}")
            holders[mac] = name


def refuse_used_macs(creates: Sequence[CreateClone], vms: Iterable[Vm]) -> None:
    """Refuse addresses that VMs of the inventory have."""
    wanted = {mac: step.name for step in creates for mac in step.macs}
    used = [
        f"{mac} for {wanted[mac]}: {vm.path or vm.name} has it"
        for vm in vms
        for mac in vm.macs
        if mac in wanted
    ]
    if used:
        raise RefusedError(
            render_count(len(used), "MAC address is", "MAC addresses are") + " already in use",
            details="\n".join(sorted(used)),
            hint="give other addresses, or none: new ones are generated then",
        )
