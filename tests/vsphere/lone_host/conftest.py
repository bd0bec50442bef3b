"""A simulated lone host with a parent, its snapshot, and linked clones that another tool makes."""

from collections.abc import Iterator

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from tests import govc
from tests.simulator import Simulator
from tests.vsphere.acts import Start, prepare

PARENT = "ha-host_VM0"
BASE = f"{PARENT}/disk1.vmdk"


@pytest.fixture
def host(start_simulator: Start) -> Simulator:
    """A host whose VM :data:`PARENT` has a snapshot."""
    simulator = start_simulator("-esx")
    driver = open_driver(simulator.endpoint())
    prepare(driver, PARENT)
    driver.close()
    return simulator


@pytest.fixture
def driver(host: Simulator) -> Iterator[Driver]:
    opened = open_driver(host.endpoint())
    yield opened
    opened.close()


def link(simulator: Simulator, name: str, base: str = BASE) -> None:
    """Make a linked clone, off, with a disk over this file."""
    disk = ("-disk", base, "-link")
    govc.run(simulator, "vm.create", "-on=false", "-ds", govc.STORE, *disk, name)
