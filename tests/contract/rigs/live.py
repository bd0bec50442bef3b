"""A real vCenter under the contract, if the environment says which (see tests/live/README.md).

Its VMs are copies of the one that ``LINKEDCLONE_LIVE_PARENT`` names, in a folder
of its own that goes when the test ends. What only a simulator can be told to do
(faults, delays, odd clones) is skipped by name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from pyVmomi import vim

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.contract.rigs.base import Action, At, Kind, Rig, Ways
from tests.live.lab import Lab, open_lab
from tests.live.settings import read_settings

SETTINGS = read_settings(os.environ)
"""None unless the environment switches it on."""


class LiveRig:
    """A lab in a real vCenter."""

    parent: str
    bare: str
    customization: str
    disk_move_type = "createNewChildDiskBacking"
    ways = Ways()

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.parent = lab.parent.path
        step = lab.step()
        made = lab.result_of(lab.driver.start(step))
        lab.result_of(lab.driver.start(do.promote_vm(VmId(str(made)))))
        (bare,) = lab.driver.observe_vms([VmId(str(made))])
        self.bare = bare.path

    def __getattr__(self, name: str) -> str:
        # Asked for only by tests that need one.
        if name != "customization":
            raise AttributeError(name)
        spec = os.environ.get("LINKEDCLONE_LIVE_CUSTOMIZATION", "")
        return spec or pytest.skip("LINKEDCLONE_LIVE_CUSTOMIZATION names no specification")

    def connect(self) -> Driver:
        assert SETTINGS
        return open_driver(SETTINGS.endpoint)

    def forkable(self) -> str:
        (parent,) = self._lab.driver.find_vms([self.parent])
        if parent.power is not Power.ON:
            pytest.skip("the parent does not run, and is not started for a test")
        return self.parent

    def _only_simulated(self, what: str) -> NoReturn:
        pytest.skip(f"a real vCenter cannot be told to {what}")

    def fail(
        self,
        action: Action,
        name: str,  # noqa: ARG002
        *,
        kind: Kind = Kind.SYSTEM,
        at: At = "job",  # noqa: ARG002
        leave: bool = False,  # noqa: ARG002
    ) -> None:
        self._only_simulated(f"let {action} fail with {kind.name}")

    def delay(self, action: Action, seconds: float) -> None:
        self._only_simulated(f"take {seconds} s for {action}")

    def degrade(self) -> None:
        self._only_simulated("degrade a clone")

    def hide(self) -> None:
        self._only_simulated("hide a chain")

    def mark_template(self, name: str) -> None:
        self._native(name).MarkAsTemplate()

    def make_unreadable(self, name: str) -> None:
        self._only_simulated(f"hide {name}")

    def add_folder(self, name: str) -> None:
        self._lab.session.managed("Folder", self._lab.folder).CreateFolder(name)

    def add_store(self) -> str:
        pytest.skip("datastores are not made here")

    def leave_orphan(self, name: str) -> str:
        self._only_simulated(f"leave a file of {name} behind")

    def files(self) -> frozenset[str]:
        pytest.skip("files of a whole vCenter are not listed for a test")

    def macs(self, vm: VmId) -> tuple[str, ...]:
        devices = self._lab.native(vm).config.hardware.device
        cards = vim.vm.device.VirtualEthernetCard
        return tuple(str(card.macAddress) for card in devices if isinstance(card, cards))

    def _native(self, name: str) -> Any:
        (vm,) = self._lab.driver.find_vms([name])
        return self._lab.native(vm.id)


@contextmanager
def open_rig() -> Iterator[Rig]:
    assert SETTINGS
    with open_lab(SETTINGS, tell=print) as lab:
        yield LiveRig(lab)
