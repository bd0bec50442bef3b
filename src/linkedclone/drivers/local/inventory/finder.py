"""Find VMs by what people call them."""

from collections.abc import Sequence

from linkedclone.drivers.local.inventory.vm import FOLDER_PATH
from linkedclone.drivers.local.state.folder import StateFolder, key_of, read_vm_link
from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.model.values.ids import VmId


def find_vms(state: StateFolder, refs: Sequence[str]) -> list[VmId]:
    """Find VMs by name, path or UUID."""
    found = {ref: _find_vm(state, ref) for ref in refs}
    missing = [ref for ref, vm in found.items() if vm is None]
    if missing:
        raise no_such_vms(missing)
    return [vm for ref in refs if (vm := found[ref]) is not None]


def _find_vm(state: StateFolder, ref: str) -> VmId | None:
    name = ref.removeprefix(f"{FOLDER_PATH}/")
    found = None if "/" in name else state.find(key_of(name))
    if found is None and "/" not in ref:
        found = read_vm_link(state.uuids / ref.lower())
    return found if found is not None and state.exists(found) else None


def find_names(state: StateFolder, names: Sequence[str]) -> tuple[VmId, ...]:
    """Return the VMs that have these names, leaving out names that no VM has."""
    found = (state.find(key_of(name)) for name in names)
    return tuple(vm for vm in found if vm is not None)
