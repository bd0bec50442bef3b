"""A driver on a fresh simulator."""

from collections.abc import Iterator

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from tests.simulator import Simulator


@pytest.fixture
def driver(simulator: Simulator) -> Iterator[Driver]:
    opened = open_driver(simulator.endpoint())
    yield opened
    opened.close()
