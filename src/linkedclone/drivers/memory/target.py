"""Where clones go: the source's own place, or what the request names."""

from linkedclone.drivers.memory.inventory import Estate
from linkedclone.drivers.memory.placement import ROOT, ROOT_FOLDER, ROOT_POOL, Places
from linkedclone.drivers.memory.vm import Machine
from linkedclone.errors import InputError, NotFoundError
from linkedclone.model.request import CloneRequest, Placement, Spot, Target
from linkedclone.model.values.ids import FolderId


def find_target(estate: Estate, machine: Machine, request: CloneRequest) -> Target:
    """Look up where the clones of this request go."""
    places, wanted = estate.places, request.placement
    folder, missing = _find_folder(places, wanted, machine.folder)
    store = places.find_store(wanted.datastore) if wanted.datastore else machine.home[0]
    pool = machine.pool or ROOT_POOL
    if wanted.resource_pool:
        pool = places.find_pool(wanted.resource_pool)
    if request.customization_spec not in {"", *places.customizations}:
        known = ", ".join(sorted(places.customizations))
        brief = f"there is no customization specification {request.customization_spec!r}"
        raise NotFoundError(brief, hint=f"there are: {known}")
    return Target(
        folder=folder,
        folder_path=f"{ROOT}/{missing}" if missing else places.folders[folder],
        datastore=store,
        datastore_name=places.stores[store],
        pool=pool,
        pool_name=places.pools[pool],
        customization_spec=request.customization_spec,
        new_folder=missing,
        spots=_spots(places, wanted),
    )


def _find_folder(places: Places, wanted: Placement, own: FolderId) -> tuple[FolderId, str]:
    if not wanted.folder:
        return own, ""
    if wanted.create_folder and places.place_folder(wanted.folder) is None:
        return ROOT_FOLDER, wanted.folder.removeprefix(f"{ROOT}/").strip("/")
    return places.find_folder(wanted.folder), ""


def _spots(places: Places, wanted: Placement) -> tuple[Spot, ...]:
    """Return all datastores, which are endless here and so weigh the same."""
    if not wanted.spread:
        return ()
    if wanted.datastore:
        raise InputError(
            "``placement.spread.datastore`` chooses the datastores, and ``placement.datastore`` "
            "names one",
            hint="leave one of the two out",
        )
    return tuple(Spot(id=store, name=name, weight=1) for store, name in places.stores.items())
