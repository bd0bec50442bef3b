"""Refuse by name what a hypervisor has no counterpart for, before anything is changed."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from linkedclone.drivers.features import Features, require
from linkedclone.errors import NotFoundError, UnsupportedError
from linkedclone.model.customization import GuestOs
from linkedclone.model.plan import JobStep, TakeSnapshot
from linkedclone.model.request import CloneRequest, DiskMove
from linkedclone.model.values.vm_names import list_names

_PROMOTE: Final = "make the clone linked, and independent after that: ``promote`` NAME"
_HOT_ADD: Final = "leave it out: a machine gets another size here when it is off"

_BY_CLOUD_INIT: Final = "only cloud-init customizes guests here: os: cloud-init"

FIELDS: Final[Mapping[str, str]] = {
    "snapshot.quiesce": "",
    "snapshot.memory": "",
    "snapshot.prepare_template": "leave it out: every VM here can be snapshotted as it is",
    "placement.datacenter": "",
    "placement.datastore_cluster": "leave it out, or name one ``placement.datastore``",
    "placement.cluster": "",
    "placement.host": "",
    "placement.create_folder": "",
    "placement.folder": "leave it out: all VMs here are in one folder",
    "placement.spread.datastore": "",
    "placement.spread.host": "",
    "instant": "leave it out: a linked clone boots",
    "disk_move.shared": _PROMOTE,
    "disk_move": _PROMOTE,
    "hardware.cores_per_socket": "",
    "hardware.cpu_hot_add": _HOT_ADD,
    "hardware.memory_hot_add": _HOT_ADD,
    "hardware.extra_config": "",
    "hardware.disks": "",
    "hardware.disks.thick": "leave thick out: a disk takes space here as it is written",
    "hardware.disk_bytes": "leave it out, and grow the disk of the clone once it is made",
    "hardware.nics.remap": "",
    "hardware.nics.add": "",
    "hardware.nics.remove": "",
    "macs": "",
    "hardware.keep_tpm": "",
    "hardware.firmware": "leave it out: a clone boots with the firmware of its parent",
    "hardware.display": "leave it out: a clone has the screen of its parent",
    "customization_spec": "write all into the file of ``customization``",
    "customization.windows": _BY_CLOUD_INIT,
    "customization.linux": _BY_CLOUD_INIT,
    "customization.transport": "leave it out: the documents go by guestinfo",
}
"""What a request may say of source, place, mode, hardware and guest that not every endpoint
honours, each with what helps where it means nothing."""

OF_GUESTS: Final = frozenset(
    {
        "customization_spec",
        "customization.windows",
        "customization.linux",
        "customization.transport",
    }
)
"""Those of them that are about guests."""

_NOTHING: Final = CloneRequest(parent="", names=())


def _customizes(os: GuestOs) -> Callable[[CloneRequest], bool]:
    return lambda r: r.customization is not None and r.customization.os is os


_ASKED: Final[Mapping[str, Callable[[CloneRequest], object]]] = {
    "placement.spread.datastore": lambda r: r.placement.spread == "datastore",
    "placement.spread.host": lambda r: r.placement.spread == "host",
    "disk_move.shared": lambda r: r.disk_move is DiskMove.SHARED,
    "hardware.disks.thick": lambda r: any(not disk.thin for disk in r.hardware.disks),
    "hardware.nics.remap": lambda r: any(nic.action == "remap" for nic in r.hardware.nics),
    "hardware.nics.add": lambda r: any(nic.action == "add" for nic in r.hardware.nics),
    "hardware.nics.remove": lambda r: any(nic.action == "remove" for nic in r.hardware.nics),
    "customization.windows": _customizes(GuestOs.WINDOWS),
    "customization.linux": _customizes(GuestOs.LINUX),
    "customization.transport": lambda r: (
        r.customization is not None and r.customization.cloud_init.transport == "customization"
    ),
}
"""Whether a request makes use of what is less than a whole field of it."""


def _is_asked(name: str, request: CloneRequest) -> bool:
    if name in _ASKED:
        return bool(_ASKED[name](request))
    read = attrgetter(name)
    return bool(read(request) != read(_NOTHING))


def refuse_unsupported(request: CloneRequest, features: Features) -> None:
    """Refuse the first field that a request makes use of and that means nothing here."""
    for name in FIELDS:
        if _is_asked(name, request):
            require_field(name, features)


def refuse_step(step: JobStep, features: Features) -> None:
    """Refuse a step that an endpoint cannot carry out, or not so."""
    require(features, type(step))
    if isinstance(step, TakeSnapshot) and step.quiesce:
        require_field("snapshot.quiesce", features)
    if isinstance(step, TakeSnapshot) and step.memory:
        require_field("snapshot.memory", features)


_IN_WORDS: Final[Mapping[str, str]] = {
    "hardware.disks.thick": "a thick disk",
    "snapshot.memory": "a snapshot with memory",
    "customization.windows": "os: windows",
    "customization.linux": "os: linux",
    "customization.transport": "transport: customization",
}
"""Fields without an option of their own, or not the same one at every command that takes it."""


def require_field(name: str, features: Features) -> None:
    """Refuse a field of a request that means nothing here."""
    if name not in features.request_fields:
        words = _IN_WORDS.get(name, f"``{name}``")
        brief = f"{words} means nothing to {features.endpoint}"
        raise UnsupportedError(brief, hint=FIELDS[name] or "leave it out", kind="NotSupported")


def refuse_spares(count: int, features: Features) -> None:
    """Refuse to keep spares where no instant clone can stand still until another takes it over."""
    if count and not features.keeps_spares:
        raise UnsupportedError(
            f"spares of a pool mean nothing to {features.endpoint}",
            hint="leave spares out of the pool's file: each clone is forked anew",
            kind="NotSupported",
        )


def no_such_vms(refs: Sequence[str], *, hint: str = "") -> NotFoundError:
    """Return the error that names every reference which fits no VM."""
    refs = tuple(dict.fromkeys(refs))
    what = "there is no VM" if len(refs) == 1 else f"{len(refs)} VMs do not exist:"
    return NotFoundError(
        f"{what} {list_names([repr(ref) for ref in refs])}",
        hint=hint or "``list`` shows all VMs",
        missing=refs,
    )
