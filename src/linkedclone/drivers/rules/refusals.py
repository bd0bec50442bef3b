"""Refuse by name what a hypervisor has no counterpart for, before anything is changed.

Each driver has a table of its own: option and what would help instead. An
option that is in no table is honoured.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from linkedclone.errors import NotFoundError, UnsupportedError
from linkedclone.model.request import CloneRequest, DiskMove
from linkedclone.model.values.vm_names import list_names

ASKED: Final[Mapping[str, Callable[[CloneRequest], object]]] = {
    "--quiesce": lambda request: request.snapshot.quiesce,
    "--snapshot-memory": lambda request: request.snapshot.memory,
    "--prepare-template": lambda request: request.snapshot.prepare_template,
    "--datacenter": lambda request: request.placement.datacenter,
    "--datastore-cluster": lambda request: request.placement.datastore_cluster,
    "--cluster": lambda request: request.placement.cluster,
    "--host": lambda request: request.placement.host,
    "--create-folder": lambda request: request.placement.create_folder,
    "--spread datastore": lambda request: request.placement.spread == "datastore",
    "--spread host": lambda request: request.placement.spread == "host",
    "--full": lambda request: request.disk_move is DiskMove.SHARED,
    "--disk-move-type": lambda request: not request.disk_move.linked,
    "--cores-per-socket": lambda request: request.hardware.cores_per_socket is not None,
    "--cpu-hot-add": lambda request: request.hardware.cpu_hot_add is not None,
    "--memory-hot-add": lambda request: request.hardware.memory_hot_add is not None,
    "--extra-config": lambda request: request.hardware.extra_config,
    "--add-disk": lambda request: request.hardware.disks,
    "--add-disk SIZE,thick": lambda request: any(not d.thin for d in request.hardware.disks),
    "--disk": lambda request: request.hardware.disk_bytes is not None,
    "--network": lambda request: _changes_nics(request, "remap"),
    "--add-nic": lambda request: _changes_nics(request, "add"),
    "--remove-nic": lambda request: _changes_nics(request, "remove"),
    "--mac": lambda request: request.macs,
    "--keep-tpm": lambda request: request.hardware.keep_tpm,
    "--firmware": lambda request: request.hardware.firmware,
    "--display": lambda request: request.hardware.display,
}
"""Options of source, place, mode and hardware, and whether a request makes use of each."""


def _changes_nics(request: CloneRequest, action: str) -> bool:
    return any(nic.action == action for nic in request.hardware.nics)


def refuse_unsupported(request: CloneRequest, table: Mapping[str, str], *, endpoint: str) -> None:
    """Refuse the first option that the request uses and that stands in a driver's table.

    Args:
        request: What is wanted.
        table: What the driver cannot do, with what would help.
        endpoint: What the endpoint is called in the error text.
    """
    for option, hint in table.items():
        if ASKED[option](request):
            brief = f"{option} means nothing to {endpoint}"
            raise UnsupportedError(brief, hint=hint, kind="NotSupported")


def no_such_vms(refs: Sequence[str], *, hint: str = "") -> NotFoundError:
    """Return the error that names every reference which fits no VM."""
    refs = tuple(dict.fromkeys(refs))
    what = "there is no VM" if len(refs) == 1 else f"{len(refs)} VMs do not exist:"
    return NotFoundError(
        f"{what} {list_names([repr(ref) for ref in refs])}",
        hint=hint or "``list`` shows all VMs",
        missing=refs,
    )
