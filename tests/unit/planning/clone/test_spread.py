"""How a batch is shared out over datastores or hosts."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest, DiskMove, Placement, Spot
from linkedclone.planning.clone.parallelism import find_parallel
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene
from linkedclone.planning.clone.spread import spread
from tests.unit.building import IDENTITY, TARGET, clone_of, gold

WEIGHTS = st.lists(st.integers(0, 2**50), min_size=1, max_size=12)
COUNTS = st.integers(0, 300)


def spots(weights: list[int]) -> list[Spot]:
    return [Spot(id=f"s-{n}", name=f"s{n}", weight=weight) for n, weight in enumerate(weights)]


def names(count: int) -> list[str]:
    return [f"desk-{number}" for number in range(count)]


@given(WEIGHTS, COUNTS)
def test_every_clone_gets_a_spot_and_no_share_is_off_by_a_whole_clone(
    weights: list[int], count: int
) -> None:
    placed = spread(names(count), spots(weights))
    assert list(placed) == names(count)
    made = Counter(spot.id for spot in placed.values())
    fair = weights if sum(weights) else [1] * len(weights)
    for number, weight in enumerate(fair):
        share = Fraction(count * weight, sum(fair))
        assert abs(made[f"s-{number}"] - share) < 1


@given(st.integers(1, 12), st.integers(0, 2**50), COUNTS)
def test_equal_weights_split_evenly(number: int, weight: int, count: int) -> None:
    made = Counter(spot.id for spot in spread(names(count), spots([weight] * number)).values())
    counts = [made[f"s-{n}"] for n in range(number)]
    assert max(counts) - min(counts) <= 1


@given(WEIGHTS, COUNTS)
def test_the_same_batch_is_spread_alike(weights: list[int], count: int) -> None:
    assert spread(names(count), spots(weights)) == spread(names(count), spots(weights))


def test_the_spots_take_turns() -> None:
    placed = spread(names(6), spots([3, 3]))
    assert [spot.id for spot in placed.values()] == ["s-0", "s-1"] * 3


def test_a_full_spot_gets_no_clone_while_another_has_room() -> None:
    assert {spot.id for spot in spread(names(5), spots([0, 7])).values()} == {"s-1"}


def test_without_a_spot_nothing_can_be_spread() -> None:
    with pytest.raises(ValueError, match="nothing to spread"):
        spread(["desk-1"], [])


@pytest.mark.parametrize(
    ("over", "field"), [("datastore", "datastore_name"), ("host", "host_name")]
)
def test_only_the_missing_clones_are_shared_out(over: str, field: str) -> None:
    placement = Placement(spread="host" if over == "host" else "datastore")
    request = CloneRequest(parent="gold", names=("a", "b", "c"), placement=placement)
    planner = ClonePlanner(
        request=request,
        scene=Scene(
            source=gold(),
            target=replace(TARGET, spots=tuple(spots([1, 1]))),
            identity=IDENTITY,
            run=Run(id="run-1", version="1", snapshot_name="new"),
            there=(clone_of(gold(), "a"),),
        ),
    )
    plan = planner.plan()
    steps = [step for step in plan.steps if isinstance(step, CreateClone)]
    assert [(step.name, getattr(step.target, field)) for step in steps] == [
        ("b", "s0"),
        ("c", "s1"),
    ]


@pytest.mark.parametrize(
    ("hosts", "move", "wanted", "parallel"),
    [
        (0, DiskMove.LINKED, None, 128),
        (1, DiskMove.LINKED, None, 16),
        (3, DiskMove.LINKED, None, 48),
        (100, DiskMove.LINKED, None, 128),
        (1, DiskMove.CONSOLIDATED, None, 4),
        (3, DiskMove.COPIED, None, 12),
        (3, DiskMove.SHARED, None, 12),
        (100, DiskMove.CONSOLIDATED, None, 128),
        (1, DiskMove.CONSOLIDATED, 50, 50),
        (100, DiskMove.LINKED, 1, 1),
    ],
)
def test_clones_in_flight_are_bounded_by_the_hosts_budget(
    hosts: int, move: DiskMove, wanted: int | None, parallel: int
) -> None:
    assert find_parallel(default=128, hosts=hosts, disk_move=move, wanted=wanted) == parallel
