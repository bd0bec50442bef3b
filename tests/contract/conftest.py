"""Every test of this folder runs once for each hypervisor."""

import os
from collections.abc import Iterator
from pkgutil import resolve_name

import pytest

from linkedclone.drivers.contract import Driver
from tests.contract.rigs import esxi, live, local, memory, vsphere
from tests.contract.rigs.base import OpenRig, Rig

FURTHER = os.environ.get("LINKEDCLONE_RIG")
"""The rig of a driver that is a package of its own, as ``module:function``."""

RIGS: dict[str, OpenRig] = {
    "memory": memory.open_rig,
    "vsphere": vsphere.open_rig,
    "esxi": esxi.open_rig,
    "local": local.open_rig,
}
if live.SETTINGS is not None:
    RIGS["live"] = live.open_rig
if FURTHER:
    RIGS[FURTHER] = resolve_name(FURTHER)


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A fresh hypervisor."""
    if request.param == "live" and request.module.__name__.endswith("test_strays"):
        pytest.skip("files of no VM would be left on a real datastore")
    with RIGS[request.param]() as opened:
        yield opened


@pytest.fixture
def driver(rig: Rig) -> Iterator[Driver]:
    """A connection to it."""
    opened = rig.connect()
    yield opened
    opened.close()


@pytest.fixture
def other_driver(rig: Rig) -> Iterator[Driver]:
    """Another connection to the same hypervisor, as of a second command."""
    opened = rig.connect()
    yield opened
    opened.close()
