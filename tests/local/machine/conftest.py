"""Fixtures: the demo guest, and machines that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine import ensure_key
from tests.local.machine.guest import OUT, DemoGuest, RunningGuest, read_manifest

MakeGuest = Callable[..., RunningGuest]


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
        guest.machine.stop(force=True)


@pytest.fixture(scope="module")
def pair(
    demo_guest: DemoGuest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGuest, RunningGuest]]:
    """Two clones that run, in folders whose paths no socket address could hold."""
    folder = tmp_path_factory.mktemp("pair") / ("long-" * 30)
    first, second = (demo_guest.make(folder / name, name) for name in ("desk-001", "desk-002"))
    for guest in (first, second):
        guest.machine.start()
    try:
        for guest in (first, second):
            guest.wait_until_ready()
        yield first, second
    finally:
        for guest in (first, second):
            guest.machine.stop(force=True)
