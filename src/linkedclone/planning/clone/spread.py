"""Spread the clones of a batch over several datastores or hosts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from linkedclone.model.request import Spot, Target


def spread(names: Sequence[str], spots: Sequence[Spot]) -> Mapping[str, Spot]:
    """Give each name one of the spots, in proportion to their weights.

    Each spot gets its exact share rounded down or up, the largest remainders
    up (Hamilton's method), so no share is off by a whole clone. Equal weights,
    and weights that are all zero, split evenly. The spots take turns, so that
    also a part of the batch is spread. The same input gives the same answer.
    """
    if not spots:
        raise ValueError("there is nothing to spread over")
    shares = _shares(len(names), [max(spot.weight, 0) for spot in spots])
    turns = sorted(
        ((2 * turn + 1) / share, number)
        for number, share in enumerate(shares)
        for turn in range(share)
    )
    return {name: spots[number] for name, (_, number) in zip(names, turns, strict=True)}


def _shares(count: int, weights: Sequence[int]) -> list[int]:
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    shares = [count * weight // total for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda number: (-(count * weights[number] % total), number)
    )
    for number in by_remainder[: count - sum(shares)]:
        shares[number] += 1
    return shares


def place_at(target: Target, spot: Spot, over: Literal["", "datastore", "host"]) -> Target:
    """Return the target with one spot as its datastore or host."""
    if over == "host":
        return replace(target, host=spot.id, host_name=spot.name)
    return replace(target, datastore=spot.id, datastore_name=spot.name)
