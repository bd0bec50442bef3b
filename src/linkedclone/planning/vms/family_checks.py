"""What may be wrong with the families of an inventory, for ``doctor``. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from linkedclone.lineage.family import Lineage
from linkedclone.lineage.proof import DEEPEST
from linkedclone.lineage.vm_rows import tell_unconfirmed
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.inventory import Inventory, tell_unreadable
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Vm
from linkedclone.planning.clone.instant import tell_forking

GROWN = 0.5
"""The share of its base from which a delta is called large."""


def find_trouble(inventory: Inventory) -> tuple[Finding, ...]:
    """Look for trouble in the families; each check gives at least one finding.

    The inventory has to hold sizes, or missing files and large deltas are not found.
    """
    lineage = Lineage(inventory)
    return (
        *_check("readable VMs", _unreadable(inventory), "every VM can be read"),
        *_check("chain depth", _deep(inventory, lineage), f"none is deeper than {DEEPEST} files"),
        *_find_forked(inventory.vms),
        *_check("chain files", _missing(inventory, lineage), _say_files(inventory)),
        *_check(
            "identity",
            chain(_unconfirmed(inventory, lineage), _twins(inventory.vms)),
            "no UUID, MAC address or instance-id is used twice",
        ),
        *_check("delta size", _grown(inventory, lineage), "no delta is larger than half its base"),
        *_check("stray files", _strays(inventory), "none found where linkedclone looked"),
    )


def _check(check: str, found: Iterable[tuple[Verdict, str, str]], fine: str) -> Iterator[Finding]:
    trouble = [
        Finding(check=check, verdict=verdict, text=text, remedy=remedy)
        for verdict, text, remedy in found
    ]
    yield from trouble or [Finding(check=check, verdict=Verdict.OK, text=fine)]


_Trouble = Iterator[tuple[Verdict, str, str]]


def _deep(inventory: Inventory, lineage: Lineage) -> _Trouble:
    deep = [(lineage.depth(vm), vm.name) for vm in inventory.vms]
    for depth, name in sorted(deep, reverse=True):
        if depth > DEEPEST:
            remedy = f"``promote`` {name}, or clone again from a parent with a short chain"
            yield Verdict.WARNING, f"the chain of {name} has {depth} files", remedy


def _find_forked(vms: Sequence[Vm]) -> Iterator[Finding]:
    """Tell of the VMs that are forked as they run, by how many layers that has given them."""
    marks = [mark for vm in vms if (mark := vm.valid_mark) and mark.instant and not mark.snapshot]
    parents = {mark.parent_uuid for mark in marks}
    for vm in sorted(vms, key=lambda vm: vm.name):
        if vm.frozen or vm.uuid in parents:
            yield tell_forking(vm)


def _missing(inventory: Inventory, lineage: Lineage) -> _Trouble:
    gone = sorted(layer for layer, file in inventory.files.items() if file.missing)
    for layer in gone:
        readers = [reader.name for reader in lineage.readers(layer)]
        text = f"{layer} is missing; it is read by {list_names(readers)}"
        yield Verdict.FAILED, text, "put the file back, or delete the VMs that read it"


def _unreadable(inventory: Inventory) -> _Trouble:
    for vm in sorted(inventory.unreadable, key=lambda vm: vm.name):
        text = f"{tell_unreadable(vm)}; its base is unknown"
        remedy = "make it readable: until then nothing that it may depend on is deleted"
        yield Verdict.FAILED, text, remedy


def _say_files(inventory: Inventory) -> str:
    read = len(inventory.vms) - len(inventory.unreadable)
    files, vms = render_count(len(inventory.files), "file"), render_count(read, "VM")
    return f"{files} of {vms}, none missing"


def _unconfirmed(inventory: Inventory, lineage: Lineage) -> _Trouble:
    for vm in sorted(inventory.vms, key=lambda vm: vm.name):
        if lineage.is_unconfirmed(vm):
            yield Verdict.FAILED, f"{vm.name}: {tell_unconfirmed(vm)}", f"``delete`` {vm.name}"


def _twins(vms: Iterable[Vm]) -> _Trouble:
    for what, values, remedy in (
        ("UUID", lambda vm: {vm.uuid, vm.bios_uuid}, "delete one of them and clone it again"),
        ("MAC address", lambda vm: vm.macs, "give one of them another network card"),
        ("instance-id", lambda vm: (vm.instance_id,), "delete one of them and clone it again"),
    ):
        yield from _doubles(vms, what, values, remedy)


def _doubles(
    vms: Iterable[Vm], what: str, values: Callable[[Vm], Iterable[str]], remedy: str
) -> _Trouble:
    holders: dict[str, list[str]] = defaultdict(list)
    for vm in vms:
        if vm.template:
            continue
        for value in values(vm):
            if value:
                holders[value].append(vm.name)
    for value, names in sorted(holders.items()):
        if len(names) > 1:
            yield Verdict.WARNING, f"the same {what} {value}: {list_names(sorted(names))}", remedy


def _grown(inventory: Inventory, lineage: Lineage) -> _Trouble:
    for vm in sorted(inventory.vms, key=lambda vm: vm.name):
        inherited = lineage.inherited(vm)
        base = inventory.used_bytes(inherited) or 0
        above = {layer for disk in vm.disks for layer in disk.chain} - inherited
        own = inventory.used_bytes(above) or 0
        if base and own > GROWN * base:
            text = f"{vm.name} has written {render_size(own)} over a base of {render_size(base)}"
            yield Verdict.WARNING, text, f"clone it again, or: ``promote`` {vm.name}"


def _strays(inventory: Inventory) -> _Trouble:
    if inventory.strays:
        used = render_size(sum(stray.used_bytes or 0 for stray in inventory.strays))
        count = render_count(len(inventory.strays), "disk file belongs", "disk files belong")
        text = f"{count} to no VM ({used})"
        yield Verdict.WARNING, text, "``gc``"
