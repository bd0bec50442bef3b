"""Marks survive the way into extraConfig and back."""

import json
from dataclasses import fields, replace

import pytest

from linkedclone.drivers.vsphere.inventory.marks import PATHS, read_mark, write_mark
from linkedclone.model.vm import UNREADABLE_STATE, Mark, PoolState
from tests.unit.drivers.vsphere.build import MARK


def read(entries: dict[str, str]) -> Mark | None:
    return read_mark({f'config.extraConfig["{key}"]': value for key, value in entries.items()})


def test_a_mark_comes_back_as_it_was_written() -> None:
    assert read(write_mark(MARK)) == MARK


def test_every_field_has_its_key() -> None:
    assert set(PATHS.values()) == {field.name for field in fields(Mark)}
    keys = ["owner", "uuid", "run", "parent", "parent_name", "snapshot", "snapshot_name"]
    keys += ["spec", "version", "addresses", "pool", "instant"]
    assert list(write_mark(MARK)) == ["linkedclone." + key for key in keys]


def test_empty_fields_are_written_so_that_inherited_ones_go() -> None:
    assert write_mark(Mark(owner="a", uuid="b"))["linkedclone.run"] == ""


def test_half_a_mark_is_none() -> None:
    assert read({"linkedclone.owner": "linkedclone"}) is None
    assert read({"linkedclone.uuid": "abc"}) is None
    assert read({}) is None


def test_the_uuid_is_compared_in_lower_case() -> None:
    mark = read({"linkedclone.owner": "a", "linkedclone.uuid": "ABC"})
    assert mark is not None
    assert mark.uuid == "abc"


@pytest.mark.parametrize(
    "state", [None, PoolState(), PoolState(slot="desk-1", generation=2, hold='for "Anne"')]
)
def test_what_a_pool_keeps_comes_back(state: PoolState | None) -> None:
    mark = replace(MARK, pool=state, addresses=("10.0.0.10", "fd00::10"))
    assert read(write_mark(mark)) == mark


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", PoolState(hold=UNREADABLE_STATE)),
        ('{"claimed": 1e9}', PoolState(hold=UNREADABLE_STATE)),
        ('{"claimed": 99999999999999999999}', PoolState(hold=UNREADABLE_STATE)),
        ('{"failures": -1}', PoolState(hold=UNREADABLE_STATE)),
        ("[1]", PoolState(hold=UNREADABLE_STATE)),
        ("[" * 100_000, PoolState(hold=UNREADABLE_STATE)),
        ('{"hold": "for Anne", "slot": "desk-', PoolState(hold=UNREADABLE_STATE)),
        (
            '{"slot": "desk-1", "generation": "two", "later": 1}',
            PoolState(slot="desk-1", hold=UNREADABLE_STATE, others='{"later": 1}'),
        ),
        ('{"slot": "desk-1", "hold": ["Anne"]}', PoolState(slot="desk-1", hold=UNREADABLE_STATE)),
        ('{"slot": "desk-1", "later": 1}', PoolState(slot="desk-1", others='{"later": 1}')),
    ],
)
def test_a_clone_whose_pool_state_cannot_be_read_counts_as_held(
    text: str, expected: PoolState
) -> None:
    mark = read({**write_mark(MARK), "linkedclone.pool": text})
    assert mark is not None
    assert mark.pool == expected


def test_what_a_newer_version_keeps_for_a_pool_is_written_back() -> None:
    newer = {"slot": "desk-1", "color": {"of": ["wall", None]}, "others": "mine"}
    mark = read({**write_mark(MARK), "linkedclone.pool": json.dumps(newer)})
    assert mark is not None
    assert mark.pool is not None
    changed = replace(mark, pool=replace(mark.pool, hold="Anne"))
    assert json.loads(write_mark(changed)["linkedclone.pool"]) == {**newer, "hold": "Anne"}
