"""QEMU's job that merges two layers of a running machine's disk: ``block-commit``.

Sound with our deltas on QEMU 7.2, unlike ``block-stream``: no failed assertion
and identical contents, with extended L2 entries written in part, discards,
zeroes and a writing guest, for the layer that is written to (28,000 writes
while it ran) and for one in the middle (measured).

Both layers are always named, by the nodes that have their very files open: without
a base the job would write into the lowest layer of the chain, which clones share.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.machine.answers import Answer
from linkedclone.drivers.local.machine.arguments import disk_device
from linkedclone.drivers.local.machine.blockjobs import PREFIX
from linkedclone.drivers.local.machine.filenames import is_same, parse_file_name
from linkedclone.drivers.local.machine.session import Session
from linkedclone.errors import HypervisorError

JOB = f"{PREFIX}merge"
_FILE_DRIVER = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMerge:
    """Two layers of a disk that become one: all goes into the lower.

    Attributes:
        number: The disk, counted from 0 in the order of the hardware.
        lower: What takes the data.
        upper: What is not needed any more afterwards.
        backing: The lower layer as it is written into the header of the layer over
            the upper one; empty if the upper is the one that the guest writes to.
    """

    number: int
    lower: Path
    upper: Path
    backing: str = ""


async def start_merge(session: Session, merge: LayerMerge) -> bool:
    """Start the job and return True.

    Raises:
        HypervisorError: QEMU refuses, or does not have these layers; nothing changed.
    """
    nodes = await session.monitor.execute("query-named-block-nodes", flat=True)
    arguments: dict[str, object] = {
        "job-id": JOB,
        "base-node": find_node(nodes, merge.lower),
        "top-node": find_node(nodes, merge.upper),
        "on-error": "enospc",
        "auto-dismiss": False,
    }
    if merge.backing:
        arguments["backing-file"] = merge.backing
    await session.monitor.execute("block-commit", device=disk_device(merge.number), **arguments)
    return True


def find_node(nodes: Answer, layer: Path) -> str:
    """Find the node that has a layer open, among what ``query-named-block-nodes`` tells.

    Raises:
        HypervisorError: None has.
    """
    for node in nodes:
        file_name = parse_file_name(node["file"].text())
        if node["drv"].text() != _FILE_DRIVER and is_same(Path(file_name), layer):
            return node["node-name"].text()
    raise HypervisorError(
        "QEMU does not have a layer that is to be merged",
        details=str(layer),
        hint="stop the VM, then delete the snapshot",
        kind="query-named-block-nodes",
    )


async def read_chains(session: Session) -> dict[int, tuple[Path, ...]]:
    """Return the layers that a machine has open of each disk, the one it writes to first."""
    found = await session.monitor.execute("query-block")
    inserted = ((block["device"].text(), block.get("inserted")) for block in found)
    images = {device: medium["image"] for device, medium in inserted if medium is not None}
    numbered = ((number, images.get(disk_device(number))) for number in range(len(images)))
    return {number: _list_files(image) for number, image in numbered if image is not None}


def _list_files(image: Answer | None) -> tuple[Path, ...]:
    files = []
    while image is not None:
        told = parse_file_name(image["filename"].text())
        files.append(Path(os.path.normpath(told)))  # ours are told as FOLDER/../../vms/ID/FILE
        image = image.get("backing-image")
    return tuple(files)
