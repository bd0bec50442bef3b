"""What becomes of a mark that two commands change at the same time."""

from dataclasses import replace

import pytest

from linkedclone.drivers.rules.marks import merge_mark, refuse_changed
from linkedclone.errors import ChangedError
from linkedclone.model.vm import Mark, PoolState

FREE = Mark(owner="desks", uuid="u-1", version="1", pool=PoolState(slot="desk-1"))
HELD = replace(FREE, pool=PoolState(slot="desk-1", hold="Anne"))
CLAIMED = replace(FREE, pool=PoolState(slot="desk-1", claim="run", claimed=7))
BOTH = replace(FREE, pool=PoolState(slot="desk-1", hold="Anne", claim="run", claimed=7))
OTHERS = replace(FREE, pool=PoolState(slot="desk-1", claim="other", claimed=8))
RESHAPED = replace(FREE, spec="cpus=2")


@pytest.mark.parametrize(
    ("wanted", "seen", "now", "written"),
    [
        pytest.param(HELD, FREE, FREE, HELD, id="nobody else wrote"),
        pytest.param(HELD, FREE, HELD, HELD, id="sent again, as after a lost answer"),
        pytest.param(HELD, FREE, BOTH, BOTH, id="sent again, and another wrote in between"),
        pytest.param(HELD, FREE, CLAIMED, BOTH, id="a hold meets a claim"),
        pytest.param(CLAIMED, FREE, HELD, BOTH, id="a claim meets a hold"),
        pytest.param(FREE, HELD, BOTH, CLAIMED, id="a release meets a claim"),
        pytest.param(RESHAPED, FREE, HELD, replace(HELD, spec="cpus=2"), id="a change of another"),
        pytest.param(FREE, None, None, FREE, id="the first mark"),
        pytest.param(OTHERS, CLAIMED, CLAIMED, OTHERS, id="a claim that lapsed is replaced"),
    ],
)
def test_what_others_wrote_is_kept(wanted: Mark, seen: Mark, now: Mark, written: Mark) -> None:
    assert merge_mark("desk-1", wanted, seen=seen, now=now) == written


@pytest.mark.parametrize(
    ("wanted", "seen", "now"),
    [
        pytest.param(CLAIMED, FREE, OTHERS, id="two claims"),
        pytest.param(HELD, FREE, None, id="the mark is gone"),
        pytest.param(HELD, None, FREE, id="a mark where there was none"),
        pytest.param(HELD, FREE, replace(FREE, pool=None), id="it left the pool"),
        pytest.param(
            HELD, FREE, replace(FREE, pool=PoolState(slot="desk-1", hold="Bob")), id="two holds"
        ),
    ],
)
def test_what_others_changed_too_is_not_written_over(
    wanted: Mark, seen: Mark | None, now: Mark | None
) -> None:
    with pytest.raises(ChangedError, match="desk-1"):
        merge_mark("desk-1", wanted, seen=seen, now=now)


def test_a_vm_goes_only_with_the_mark_that_was_seen() -> None:
    refuse_changed("desk-1", seen=None, now=HELD)
    refuse_changed("desk-1", seen=HELD, now=HELD)
    for now in (HELD, None):
        with pytest.raises(ChangedError, match="desk-1"):
            refuse_changed("desk-1", seen=FREE, now=now)
