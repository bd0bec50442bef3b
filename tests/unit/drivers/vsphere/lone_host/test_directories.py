"""Which files of a directory a run may have left that was about to make a clone there."""

import pytest

from linkedclone.drivers.vsphere.lone_host.directory import find_foreign, next_claim

HERE = "[ds] web-1"


@pytest.mark.parametrize(
    ("files", "foreign"),
    [
        ((), ()),
        (("web-1.nvram",), ()),
        (("linkedclone-claim-1", "web-1.vmdk", "web-1-flat.vmdk", "web-1_1.vmdk"), ()),
        (("web-1.vmdk",), ("web-1.vmdk",)),
        (("linkedclone-claim-1", "web-1.vmx"), ("web-1.vmx",)),
        (("linkedclone-claim-1", "web-2.vmdk"), ("web-2.vmdk",)),
        (("linkedclone-claim-x", "web-1.vmdk"), ("linkedclone-claim-x", "web-1.vmdk")),
        (("linkedclone-claim-1", "web-1/../other.vmdk"), ("web-1/../other.vmdk",)),
    ],
)
def test_only_what_a_run_leaves_is_ours(files: tuple[str, ...], foreign: tuple[str, ...]) -> None:
    assert find_foreign(HERE, files) == foreign


def test_each_run_claims_what_no_other_has_claimed() -> None:
    assert next_claim(HERE) == "[ds] web-1/linkedclone-claim-1"
    assert next_claim(HERE, ("linkedclone-claim-9", "a")) == "[ds] web-1/linkedclone-claim-10"
