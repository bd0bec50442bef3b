"""What qemu-img is told when two layers become one."""

import json
from pathlib import Path

import pytest

from linkedclone.drivers.local.snapshots.consolidate import Merge, build_commit
from linkedclone.errors import HypervisorError
from linkedclone.formats.chain import DiskFile, ImageFormat, name_chain

BASE, LOWER, UPPER = (Path(f"/s/vms/a,b/disk-0000000{n}") for n in (1, 2, 3))
CHAIN = tuple(
    DiskFile(path=path, format=kind)
    for path, kind in (
        (BASE, ImageFormat.VMDK),
        (LOWER, ImageFormat.QCOW2),
        (UPPER, ImageFormat.QCOW2),
    )
)


def test_qemu_gets_the_whole_chain_and_follows_no_reference() -> None:
    """Else it would go into whatever the headers name by then."""
    told = build_commit(CHAIN, Merge(lower=LOWER, upper=UPPER))
    node = json.loads(told[-1].removeprefix("json:"))
    seen = []
    while node is not None:
        assert node["file"]["driver"] == "file"
        seen.append((node["file"]["filename"], node["driver"]))
        node = node["backing"]
    assert seen == [(str(UPPER), "qcow2"), (str(LOWER), "qcow2"), (str(BASE), "vmdk")]


def test_a_raw_base_has_nothing_below_it() -> None:
    raw = DiskFile(path=BASE, format=ImageFormat.RAW)
    assert "backing" not in name_chain((raw,))


def test_layers_whose_backing_file_has_changed_are_not_merged() -> None:
    with pytest.raises(HypervisorError, match="have changed"):
        build_commit(CHAIN, Merge(lower=BASE, upper=UPPER))
