"""What a place is looked up for: a VM, what its hosts have to see, and what is named. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from linkedclone.errors import InputError
from linkedclone.model.request import Placement
from linkedclone.model.vm import Vm

_CONTRADICTIONS: Final = (
    ("placement.datastore", "placement.datastore_cluster"),
    ("placement.spread.datastore", "placement.datastore"),
    ("placement.spread.host", "placement.host"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a place is looked up for."""

    source: Vm  # the VM that is cloned or moved
    placement: Placement  # what is named; where nothing is, the source's own place counts
    # The datastores that hold what is read on from where it is, names by id.
    stores: Mapping[str, str]
    networks: tuple[str, ...] = ()  # what the networks are called, each once
    names: tuple[str, ...]
    linked: bool = True

    @property
    def weighs_hosts(self) -> bool:
        """Whether each host is looked at, and not only what their cluster tells of all."""
        wanted = self.placement
        return bool(
            wanted.datacenter
            or wanted.datastore_cluster
            or wanted.cluster
            or wanted.host
            or wanted.create_folder
            or wanted.spread
            or self.networks
        )

    @property
    def chooses_store(self) -> bool:
        """Whether the datastore is one of several that the hosts see."""
        return bool(self.placement.datastore_cluster) or self.placement.spread == "datastore"


def check_consistent(wanted: Placement) -> None:
    """Refuse options that contradict one another."""
    asked = {
        "placement.datastore": wanted.datastore,
        "placement.datastore_cluster": wanted.datastore_cluster,
        "placement.host": wanted.host,
        "placement.spread.datastore": wanted.spread == "datastore",
        "placement.spread.host": wanted.spread == "host",
    }
    for one, other in _CONTRADICTIONS:
        if asked[one] and asked[other]:
            brief = f"``{one}`` and ``{other}`` contradict one another"
            raise InputError(brief, hint="leave one of the two out")
    if wanted.create_folder and not wanted.folder:
        raise InputError(
            "``placement.create_folder`` makes the folder that ``placement.folder`` names, and "
            "there is none",
            hint="add ``placement.folder``, or leave ``placement.create_folder`` out",
        )
