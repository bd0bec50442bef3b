"""A lone ESXi host under the contract: the vSphere driver against the simulator's host."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import ClassVar

import pytest

from tests.contract.rigs.base import Action, At, Kind, Rig, Ways
from tests.contract.rigs.vsphere import VsphereRig
from tests.simulator import Simulator


class EsxiRig(VsphereRig):
    """Drives one simulated host, on which VMs are made by CreateVM_Task."""

    parent = "/ha-datacenter/vm/ha-host_VM0"
    bare = "/ha-datacenter/vm/ha-host_VM1"
    customization = ""
    disk_move_type = ""
    ways = Ways(keeps_layers=False, replaces_uuids=False)
    methods: ClassVar[dict[Action, str]] = VsphereRig.methods | {
        "clone": "CreateVM_Task",
        "delete": "UnregisterVM",
    }

    def fail(
        self,
        action: Action,
        name: str,
        *,
        kind: Kind = Kind.SYSTEM,
        at: At = "job",
        leave: bool = False,
    ) -> None:
        if action == "power-on-of-clone":
            action = "power-on"  # a task of its own here
        if action == "delete":
            at = "submit"  # unregistering is no task
        super().fail(action, name, kind=kind, at=at, leave=leave)

    def mark_template(self, name: str) -> None:  # noqa: ARG002
        pytest.skip("esxi: has no templates")

    def add_folder(self, name: str) -> None:  # noqa: ARG002
        pytest.skip("esxi: has one folder")

    def forkable(self) -> str:
        pytest.skip("esxi: makes no instant clones")


@contextmanager
def open_rig() -> Iterator[Rig]:
    with (
        Simulator.start("-esx", "-ds", "2") as simulator,
        closing(EsxiRig(simulator)) as rig,
    ):
        yield rig
