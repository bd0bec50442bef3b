"""QEMU's job that merges two layers of a running machine's disk: ``block-commit``.

It is sound with our deltas, unlike ``block-stream``. Both layers are always named, by
the nodes that have their very files open: without a base the job would write into
the lowest layer of the chain, which clones share [fact: qemu-block-commit].
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.qmp.answers import Answer
from linkedclone.drivers.local.qmp.block_jobs import PREFIX
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.qmp.sockets import disk_device
from linkedclone.errors import HypervisorError

JOB = f"{PREFIX}merge"
_FILE_DRIVER = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLayer:
    node: str  # what QEMU calls it
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMerge:
    """Two layers of a disk that become one: all goes into the lower."""

    number: int  # the disk, counted from 0 in the order of the hardware
    lower: Path  # what takes the data
    upper: Path  # what is not needed any more afterwards
    # The lower layer as it is written into the header of the layer over the upper one; empty if
    # the upper is the one that the guest writes to.
    backing: str = ""


async def start_merge(session: Session, merge: LayerMerge) -> None:
    layers = (await read_open_layers(session)).get(merge.number, ())
    arguments: dict[str, object] = {
        "job-id": JOB,
        "base-node": find_node(layers, merge.lower),
        "top-node": find_node(layers, merge.upper),
        "on-error": "enospc",
        "auto-dismiss": False,
    }
    if merge.backing:
        arguments["backing-file"] = merge.backing
    await session.monitor.execute("block-commit", device=disk_device(merge.number), **arguments)


def find_node(layers: Sequence[OpenLayer], layer: Path) -> str:
    for one in layers:
        if one.file.exists() and layer.exists() and one.file.samefile(layer):
            return one.node
    raise HypervisorError(
        "QEMU does not have a layer that is to be merged",
        details=str(layer),
        hint="stop the VM, then delete the snapshot",
        kind="query-blockstats",
    )


async def read_chains(session: Session) -> dict[int, tuple[Path, ...]]:
    found = await read_open_layers(session)
    return {number: tuple(layer.file for layer in layers) for number, layers in found.items()}


async def read_open_layers(session: Session) -> dict[int, tuple[OpenLayer, ...]]:
    """Return the layers that a machine has open of each disk, the one it writes to first."""
    stats = await session.monitor.execute("query-blockstats")
    nodes = await session.monitor.execute("query-named-block-nodes", flat=True)
    return build_open_layers(stats, nodes)


def build_open_layers(stats: Answer, nodes: Answer) -> dict[int, tuple[OpenLayer, ...]]:
    """Join what QEMU tells of its disks. Pure.

    The tree of statistics shows which node is over which, and which file
    a node reads by the list of nodes. What ``query-block`` calls a disk would not do:
    for a layer whose chain was given explicitly that is the whole chain as ``json:``,
    and QEMU cuts it after 4,095 bytes.
    """
    files = {
        node["node-name"].text(): Path(os.path.normpath(node["file"].text()))
        for node in nodes
        if node["drv"].text() == _FILE_DRIVER
    }
    disks = {name.text(): disk for disk in stats if (name := disk.get("device")) is not None}
    numbered = ((number, disks.get(disk_device(number))) for number in range(len(disks)))
    return {n: tuple(_list_layers(disk, files)) for n, disk in numbered if disk is not None}


def _list_layers(layer: Answer | None, files: Mapping[str, Path]) -> Iterator[OpenLayer]:
    while layer is not None:
        file = files.get(layer["parent"]["node-name"].text())
        if file is None:
            raise HypervisorError(
                "QEMU does not say which files it has open",
                details=f"it names none for {layer['node-name'].text()}",
                hint="stop the VM, then try again",
                kind="query-blockstats",
            )
        yield OpenLayer(node=layer["node-name"].text(), file=file)
        layer = layer.get("backing")
