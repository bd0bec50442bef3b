"""Whether a request says more of its place than the plain one, and what that asks for. Pure."""

from __future__ import annotations

from typing import Final

from linkedclone.errors import InputError
from linkedclone.model.request import CloneRequest, DiskMove, Hardware, Placement
from linkedclone.model.vm import Vm

COPIES: Final = frozenset({DiskMove.COPIED, DiskMove.CONSOLIDATED})
"""Ways to clone after which nothing of the parent is read any more."""

_CONTRADICTIONS: Final = (
    ("datastore", "datastore_cluster", "--datastore", "--datastore-cluster"),
    ("spread_datastore", "datastore", "--spread datastore", "--datastore"),
    ("spread_host", "host", "--spread host", "--host"),
)


def is_special(request: CloneRequest) -> bool:
    """Say whether a request needs the survey."""
    wanted = request.placement
    return bool(
        wanted.datacenter
        or wanted.datastore_cluster
        or wanted.cluster
        or wanted.host
        or wanted.create_folder
        or wanted.spread
        or named_networks(request.hardware)
    )


def needed_stores(source: Vm, request: CloneRequest) -> dict[str, str]:
    """Return the datastores that the clones' hosts have to see for the parent's sake, by id."""
    if request.disk_move in COPIES:
        return {}
    return {layer.store: layer.store_name for layer in source.layers}


def check_consistent(wanted: Placement) -> None:
    """Refuse options that contradict one another."""
    asked = {
        "datastore": wanted.datastore,
        "datastore_cluster": wanted.datastore_cluster,
        "host": wanted.host,
        "spread_datastore": wanted.spread == "datastore",
        "spread_host": wanted.spread == "host",
    }
    for one, other, option, other_option in _CONTRADICTIONS:
        if asked[one] and asked[other]:
            raise InputError(
                f"{option} and {other_option} contradict one another",
                hint="leave one of the two out",
            )
    if wanted.create_folder and not wanted.folder:
        raise InputError(
            "--create-folder makes the folder that --folder names, and there is none",
            hint="add --folder, or leave --create-folder out",
        )


def named_networks(hardware: Hardware) -> tuple[str, ...]:
    """Return what the request calls its networks, each once."""
    return tuple(dict.fromkeys(nic.network for nic in hardware.nics if nic.network))
