"""MAC addresses that clones are given: checked before anything is sent. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.macs import parse_mac
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Vm


def settle_macs(request: CloneRequest) -> CloneRequest:
    """Return a request with its addresses as they are sent, by names in lower case."""
    known = {name.casefold() for name in request.names}
    holders: dict[str, str] = {}
    settled: dict[str, tuple[str, ...]] = {}
    for name, macs in request.macs.items():
        key = name.casefold()
        if key not in known:
            raise InputError(f"a MAC address is given for {name!r}, but no clone has that name")
        if key in settled:
            raise InputError(
                f"MAC addresses are given twice for {name!r}",
                hint="give all addresses of a clone at once",
            )
        settled[key] = tuple(map(parse_mac, macs))
        for mac in settled[key]:
            if mac in holders:
                raise InputError(f"{mac} is given to {holders[mac]} and to {name}")
            holders[mac] = name
    return replace(request, macs=settled)


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
