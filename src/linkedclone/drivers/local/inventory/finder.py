"""Find VMs and places by what people call them."""

from collections.abc import Sequence

from linkedclone.drivers.local.guest.seed import check_customization
from linkedclone.drivers.local.inventory.vm import FOLDER_PATH
from linkedclone.drivers.local.machine.firmware import find_firmware
from linkedclone.drivers.local.placement import check_bridge
from linkedclone.drivers.local.state.folder import STORE_NAME, StateFolder, key_of, read_vm_link
from linkedclone.drivers.local.state.record import UEFI
from linkedclone.drivers.qemu.networks import NetworkKind, parse_network
from linkedclone.drivers.rules.refusals import no_such_vms, refuse_unsupported
from linkedclone.errors import NotFoundError
from linkedclone.model.request import CloneRequest, Network, Nic, Target
from linkedclone.model.values.ids import FolderId, VmId

FOLDER = FolderId("vm")

_ONE_PLACE = "leave it out: local: has one place for all"
_PROMOTE = "make the clone linked, and independent after that: linkedclone promote NAME"
_FIXED = "leave it out: a machine here gets another size when it is off, by making a new clone"

REFUSED = {
    "--snapshot-memory": "leave it out: clones boot from the disks alone",
    "--prepare-template": "leave it out: local: has no templates, every VM can be snapshotted",
    "--datacenter": _ONE_PLACE,
    "--datastore-cluster": _ONE_PLACE,
    "--cluster": _ONE_PLACE,
    "--host": _ONE_PLACE,
    "--create-folder": _ONE_PLACE,
    "--spread datastore": _ONE_PLACE,
    "--spread host": _ONE_PLACE,
    "--full": _PROMOTE,
    "--disk-move-type": _PROMOTE,
    "--cores-per-socket": "leave it out: each CPU has a socket of its own here",
    "--cpu-hot-add": _FIXED,
    "--memory-hot-add": _FIXED,
    "--extra-config": "leave it out: machines here have no such settings",
    "--add-disk SIZE,thick": "write --add-disk SIZE: a disk takes space here as it is written",
    "--disk": "leave it out, and grow the disk of the clone once it is made",
    "--keep-tpm": "leave it out: machines here have no TPM",
}
"""What there is no counterpart for here, and what would help."""


def find_vms(state: StateFolder, refs: Sequence[str]) -> list[VmId]:
    """Find VMs by name, path or UUID.

    Raises:
        NotFoundError: Some do not exist; all of them are named.
    """
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
    """Return the VMs that have these names, leaving out those that nobody has."""
    found = (state.find(key_of(name)) for name in names)
    return tuple(vm for vm in found if vm is not None)


def find_target(state: StateFolder, request: CloneRequest) -> Target:
    """Return where clones go: there is one place only.

    Raises:
        NotFoundError: The request names another.
        UnsupportedError: It asks for what there is no counterpart for.
    """
    refuse_unsupported(request, REFUSED, endpoint="local:")
    check_customization(request.customization)
    placement = request.placement
    wanted = (
        ("folder", placement.folder, {FOLDER, FOLDER_PATH}),
        ("datastore", placement.datastore, {STORE_NAME, state.store}),
        ("resource pool", placement.resource_pool, set[str]()),
        ("customization specification", request.customization_spec, set[str]()),
    )
    for what, name, known in wanted:
        if name and name not in known:
            raise NotFoundError(
                f"there is no {what} {name!r}", hint="leave it out: local: has one place for all"
            )
    if request.hardware.firmware == UEFI:
        find_firmware()
    return Target(
        folder=FOLDER,
        folder_path=FOLDER_PATH,
        datastore=state.store,
        datastore_name=STORE_NAME,
        networks=_find_networks(request.hardware.nics),
    )


def _find_networks(nics: Sequence[Nic]) -> tuple[Network, ...]:
    """Read the networks that the request names; a bridge has to be usable.

    Raises:
        NotFoundError: There is no such network.
        RefusedError: QEMU may not use a bridge.
    """
    wanted = dict.fromkeys(nic.network for nic in nics if nic.action != "remove")
    found = []
    for text in wanted:
        network = parse_network(text)
        if network.kind is NetworkKind.BRIDGE:
            check_bridge(network.name)
        found.append(Network(wanted=text, id=str(network), name=str(network)))
    return tuple(found)
