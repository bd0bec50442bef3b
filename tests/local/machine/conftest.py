"""Fixtures: the demo guest, and machines that end with their test."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.state.ssh import ensure_key
from linkedclone.drivers.qemu.networks import CardRecord
from tests.local.machine.guest import OUT, DemoGuest, RunningGuest, read_manifest

MakeGuest = Callable[..., RunningGuest]
PAIR_GROUP = "running machines"
"""The group of all tests that use the pair: one worker boots it, once."""

OPENED = CardRecord(mac="52:54:00:00:00:02", address="10.9.0.15/24", gateway="10.9.0.2")


@pytest.fixture(scope="session")
def demo_guest(tmp_path_factory: pytest.TempPathFactory) -> DemoGuest:
    manifest = read_manifest()
    return DemoGuest(folder=OUT, manifest=manifest, key=ensure_key(tmp_path_factory.mktemp("key")))


@pytest.fixture
def make_guest(demo_guest: DemoGuest, tmp_path: Path) -> Iterator[MakeGuest]:
    made: list[RunningGuest] = []

    def make(name: str = "desk-001", folder: Path | None = None) -> RunningGuest:
        made.append(demo_guest.make(folder or tmp_path / name, name))
        return made[-1]

    yield make
    for guest in made:
        guest.machine.stop()


@pytest.fixture(scope="package")
def pair(
    demo_guest: DemoGuest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGuest, RunningGuest]]:
    """Two clones that run, in folders whose paths no socket address could hold.

    The first has one card on the user network. The second has a card on the closed network,
    and one on a user network with an address of its own.
    """
    folder = tmp_path_factory.mktemp("pair") / ("long-" * 30)
    first, second = (demo_guest.make(folder / name, name) for name in ("desk-001", "desk-002"))
    closed = replace(second.machine.config.cards[0], network="closed")
    second = second.with_changes(cards=(closed, OPENED))
    for guest in (first, second):
        guest.machine.start()
    try:
        for guest in (first, second):
            guest.wait_until_ready()
        yield first, second
    finally:
        for guest in (first, second):
            guest.machine.stop()
