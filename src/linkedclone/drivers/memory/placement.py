"""Folders, datastores and resource pools, and how they are found by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from linkedclone.errors import AmbiguousError, NotFoundError
from linkedclone.model.values.ids import FolderId, StoreId

ROOT = "/vm"
ROOT_FOLDER = FolderId("folder-1")
ROOT_POOL = "pool-1"

_Id = TypeVar("_Id", bound=str)


@dataclass(slots=True, kw_only=True)
class Places:
    """Where VMs can be, each place by its id."""

    folders: dict[FolderId, str] = field(default_factory=lambda: {ROOT_FOLDER: ROOT})
    stores: dict[StoreId, str] = field(
        default_factory=lambda: {StoreId("store-1"): "ssd1", StoreId("store-2"): "ssd2"}
    )
    # Resource pools with their paths; the first is the root pool.
    pools: dict[str, str] = field(
        default_factory=lambda: {ROOT_POOL: "Resources", "pool-2": "Resources/VDI"}
    )
    customizations: set[str] = field(default_factory=lambda: {"linux"})

    def make_folder(self, path: str) -> FolderId:
        """Return the folder of this path below the root, made if it is missing."""
        full = f"{ROOT}/{path}" if path else ROOT
        for known, known_path in self.folders.items():
            if known_path == full:
                return known
        made = FolderId(f"folder-{len(self.folders) + 1}")
        self.folders[made] = full
        return made

    def find_folder(self, wanted: str) -> FolderId:
        """Find a folder by path, id or last name."""
        return _find("folder", self.folders, wanted)

    def place_folder(self, wanted: str) -> FolderId | None:
        """Return the folder of this path, or None if it has to be made."""
        try:
            return self.find_folder(wanted)
        except NotFoundError:
            return None

    def find_store(self, wanted: str) -> StoreId:
        """Find a datastore by name or id."""
        return _find("datastore", self.stores, wanted)

    def find_pool(self, wanted: str) -> str:
        """Find a resource pool by path, id or last name."""
        return _find("resource pool", self.pools, wanted)


def _find(kind: str, places: Mapping[_Id, str], wanted: str) -> _Id:
    whole = [k for k, path in places.items() if wanted in {k, path, path.removeprefix(f"{ROOT}/")}]
    found = whole or [k for k, path in places.items() if path.rpartition("/")[2] == wanted]
    if not found:
        known = ", ".join(sorted(places.values()))
        raise NotFoundError(f"there is no {kind} {wanted!r}", hint=f"there are: {known}")
    if len(found) > 1:
        raise AmbiguousError(
            f"{len(found)} {kind}s are called {wanted!r}",
            candidates=tuple(sorted(places[key] for key in found)),
            hint="give the path",
        )
    return found[0]
