"""What a search of datastores found, sorted into disks, their extents and VMs. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.storage.datastores import Datastore
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer

_EXTENT: Final = re.compile(
    r"(.+?)-(?:flat|delta|sesparse|ctk|rdmp?|digest(?:-\w+)?|[sf]\d{3})\.vmdk", re.IGNORECASE
)
"""How the files with a disk's data are called, behind the name of its descriptor."""

_CONFIGS: Final = (".vmx", ".vmtx")


@dataclass(slots=True, kw_only=True)
class Listing:
    """The files of the datastores that were searched."""

    # The size of each file that ends in ``.vmdk``, in bytes; None where unknown.
    disks: dict[Layer, int | None] = field(default_factory=dict)
    # The files that describe a VM or a template, of each folder.
    configs: dict[tuple[str, str], list[Layer]] = field(default_factory=lambda: defaultdict(list))
    searched: set[StoreId] = field(default_factory=set)  # the datastores whose files these are

    def add(self, store: Datastore, results: Iterable[Native]) -> None:
        """Take in the results of one search."""
        self.searched.add(store.id)
        for result in results:
            _, folder = split_file_name(result.folderPath.rstrip())
            folder = folder.strip("/")
            for file in result.file or ():
                layer = store.layer(f"{folder}/{file.path}".lstrip("/"))
                if layer.path.lower().endswith(_CONFIGS):
                    self.configs[layer.store, layer.folder].append(layer)
                else:
                    self.disks[layer] = file.fileSize

    def descriptors(self) -> list[Layer]:
        """Return what may be a disk: every file that is not an extent of an existing disk."""
        return sorted(layer for layer in self.disks if self._disk_of(layer) is None)

    def sizes(self) -> dict[Layer, int]:
        """Return what each disk occupies, with its extents.

        A server may count the extents in the size of the descriptor, or list them one
        by one [fact: vs-search-results]; the sum is the same.
        """
        sizes: dict[Layer, int] = defaultdict(int)
        for layer, size in self.disks.items():
            sizes[self._disk_of(layer) or layer] += size or 0
        return sizes

    def _disk_of(self, layer: Layer) -> Layer | None:
        match = _EXTENT.fullmatch(layer.path)
        if match is None:
            return None
        disk = Layer(store=layer.store, path=f"{match.group(1)}.vmdk", store_name=layer.store_name)
        return disk if disk in self.disks else None


def is_extent_name(layer: Layer) -> bool:
    """Say whether a file is called like the extent of a disk."""
    return _EXTENT.fullmatch(layer.path) is not None
