"""Checks before a VM's disks are written to."""

from linkedclone.drivers.local.inventory.foreign_files import find_foreign
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage.hanging import check_layers
from linkedclone.drivers.local.storage.seals import is_sealed
from linkedclone.errors import InUseError, RefusedError
from linkedclone.formats.chain import read_chain


def check_disk(state: StateFolder, vm: StoredVm) -> None:
    """Make sure that a VM's disks may be written to: they are its own, and all below are sound."""
    for top in vm.disk_tops:
        chain = read_chain(top)
        check_layers(state, chain[:-1])
        if is_sealed(top):
            raise RefusedError(
                f"the disk of {vm.record.name} is a sealed layer",
                details=f"{state.relative(top)} has a seal",
                hint="other VMs may read it: revert to a snapshot to get a new layer over it",
            )
    readers = [disk.path for disk in find_foreign(state) if disk.hangs_from(vm.disk_tops)]
    if readers:
        raise InUseError(
            f"disk files that were made by hand depend on the disk of {vm.record.name}",
            dependants=tuple(map(state.relative, readers)),
            hint="they would read a mixture of old and new data; keep its present state for them: "
            f"``snapshot create`` {vm.record.name} NAME",
        )
