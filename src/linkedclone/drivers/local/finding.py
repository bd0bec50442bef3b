"""Find VMs and places by what people call them."""

from collections.abc import Sequence

from linkedclone.drivers.local.inventory import FOLDER_PATH
from linkedclone.drivers.local.layout import STORE_NAME, StateFolder, key_of, read_vm_link
from linkedclone.errors import NotFoundError
from linkedclone.model.ids import FolderId, VmId
from linkedclone.model.spec import CloneRequest, Target

FOLDER = FolderId("vm")


def find_vm(state: StateFolder, ref: str) -> VmId:
    """Find a VM by name, path or UUID.

    Raises:
        NotFoundError: There is none.
    """
    name = ref.removeprefix(f"{FOLDER_PATH}/")
    found = None if "/" in name else state.holder(key_of(name))
    if found is None and "/" not in ref:
        found = read_vm_link(state.uuids / ref.lower())
    if found is None or not state.exists(found):
        raise NotFoundError(f"there is no VM {ref!r}", hint="linkedclone list shows them")
    return found


def find_names(state: StateFolder, names: Sequence[str]) -> tuple[VmId, ...]:
    """Return the VMs that have these names, leaving out those that nobody has."""
    found = (state.holder(key_of(name)) for name in names)
    return tuple(vm for vm in found if vm is not None)


def find_target(state: StateFolder, request: CloneRequest) -> Target:
    """Return where clones go: there is one place only.

    Raises:
        NotFoundError: The request names another.
    """
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
    return Target(
        folder=FOLDER,
        folder_path=FOLDER_PATH,
        datastore=state.store,
        datastore_name=STORE_NAME,
    )
