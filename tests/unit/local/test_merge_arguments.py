"""What qemu-img is told when two layers become one."""

from pathlib import Path

from linkedclone.drivers.local.consolidate import Merge, build_commit


def test_both_layers_of_a_merge_are_named() -> None:
    """Without a base it would go into whatever the upper one's header names by then."""
    lower, upper = Path("/s/vms/a/disk-00000001.qcow2"), Path("/s/vms/a/disk-00000002.qcow2")
    told = build_commit(Merge(lower=lower, upper=upper))
    assert told[told.index("-b") + 1] == str(lower)
    assert told[-1] == str(upper)
