"""Moving a VM so that it stays linked: where it may go, and the request.

``moveChildMostDiskBacking`` moves only the layer that is written to
[fact: vs-relocate]. It is set in the request and on each locator
[fact: vs-move-unset].
"""

from collections.abc import Sequence
from dataclasses import replace

from pyVmomi import vim

from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.placement.target import Placer
from linkedclone.drivers.vsphere.placement.wish import Wish
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import UnsupportedError
from linkedclone.model.plan import RelocateVm
from linkedclone.model.request import DiskMove, Placement, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Vm


def resolve_relocation(placer: Placer, vm: Vm, placement: Placement) -> Target:
    """Look up where a VM is to go, as for a clone of it that reads the same layers."""
    _refuse_rest(placement)
    layers = vm.layers
    if placement.datastore:
        # What moves along needs not be seen where it is now.
        layers = frozenset(layer for disk in vm.disks for layer in disk.chain[:-1])
    stores = {str(layer.store): layer.store_name for layer in layers}
    target = placer.resolve(Wish(source=vm, placement=placement, stores=stores, names=(vm.name,)))
    runs_elsewhere = placement.resource_pool or placement.cluster or placement.host
    return replace(
        target,
        folder=FolderId(""),
        folder_path="",
        datastore=target.datastore if placement.datastore else "",
        pool=target.pool if runs_elsewhere else "",
    )


def _refuse_rest(placement: Placement) -> None:
    refused = {
        "a datacenter": placement.datacenter,
        "a datastore cluster": placement.datastore_cluster,
        "a folder": placement.folder,
        "a spread": placement.spread,
    }
    for what, named in refused.items():
        if named:
            raise UnsupportedError(
                f"{what} cannot be named for a move",
                hint="name a ``placement.datastore``, ``placement.host``, ``placement.cluster`` "
                "or ``placement.resource_pool``",
                kind="NotSupported",
            )


def build_relocation(step: RelocateVm, disks: Sequence[int]) -> Native:
    """Return the RelocateSpec of a step, given the device keys of the VM's disks. Pure."""
    target, move = step.target, DiskMove.CHILD_MOST.value
    store = vim.Datastore(target.datastore, None) if step.moves_disks and target.datastore else None
    locators = [
        vim.vm.RelocateSpec.DiskLocator(diskId=key, datastore=store, diskMoveType=move)
        for key in (disks if store is not None else ())
    ]
    return vim.vm.RelocateSpec(
        datastore=store,
        pool=pool_of(target.pool) if target.pool else None,
        host=vim.HostSystem(target.host, None) if target.host else None,
        diskMoveType=move,
        disk=locators,
    )
