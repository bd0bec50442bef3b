"""vSphere under the contract: our driver over real SOAP against the simulator."""

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any, ClassVar

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import result_of
from tests.contract.rigs.base import Action, At, Kind, Rig, Ways
from tests.simulator import Simulator

FAULTS = {
    Kind.SYSTEM: "SystemError",
    Kind.NO_SPACE: "NoDiskSpace",
    Kind.BUSY: "TaskInProgress",
    Kind.PERMISSION: "NoPermission",
    Kind.CUSTOMIZATION: "NicSettingMismatch",
}

# Clients cannot read this fault without the task that it names.
PROPERTIES = {"TaskInProgress": {"task": {"type": "Task", "value": "task-1"}}}


class VsphereRig:
    """Drives one simulator process."""

    parent = "/DC0/vm/DC0_H0_VM0"
    bare = "/DC0/vm/DC0_H0_VM1"
    customization = "vcsim-linux"
    disk_move_type = "createNewChildDiskBacking"
    ways = Ways()
    methods: ClassVar[dict[Action, str]] = {
        "clone": "CloneVM_Task",
        "power-on-of-clone": "CloneVM_Task",
        "power-on": "PowerOnVM_Task",
        "power-off": "PowerOffVM_Task",
        "delete": "Destroy_Task",
        "snapshot": "CreateSnapshot_Task",
        "delete-snapshot": "RemoveSnapshot_Task",
        "revert": "RevertToSnapshot_Task",
        "promote": "PromoteDisks_Task",
        "grow": "ReconfigVM_Task",
        "mark": "ReconfigVM_Task",
        "remove": "DeleteDatastoreFile_Task",
        "rename": "Rename_Task",
        "relocate": "RelocateVM_Task",
    }

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._task_ms: dict[str, int] = {}
        with closing(self.connect()) as driver:
            (parent,) = driver.find_vms([self.parent])
            result_of(driver, driver.start(do.create_snapshot(parent, "base", "")))

    def connect(self) -> Driver:
        return open_driver(self.simulator.endpoint())

    def forkable(self) -> str:
        with closing(self.connect()) as driver:
            (parent,) = driver.find_vms([self.parent])
            result_of(driver, driver.start(do.set_power(parent, Power.ON)))
        self.simulator.control("POST", "fork", {"name": parent.name, "ready": True})
        return self.parent

    def fail(
        self,
        action: Action,
        name: str,
        *,
        kind: Kind = Kind.SYSTEM,
        at: At = "job",
        leave: bool = False,
    ) -> None:
        if action == "identity":
            answer = {"name": name, "answer": "failed: no reseed"}
            self.simulator.control("POST", "fork/identity", answer)
            return
        stage = "call" if at == "submit" else "task"
        if action == "power-on-of-clone":
            stage = "poweron"
        self.simulator.fault(
            self.methods[action],
            FAULTS[kind],
            at=stage,
            name=name,
            leave=leave,
            properties=PROPERTIES.get(FAULTS[kind], {}),
        )

    def delay(self, action: Action, seconds: float) -> None:
        self._task_ms[self.methods[action]] = int(1000 * seconds)
        if action == "clone":
            self._task_ms["InstantClone_Task"] = int(1000 * seconds)
        self.simulator.delays(task_ms=self._task_ms)

    def degrade(self) -> None:
        self.simulator.clone_mode("degrade")

    def hide(self) -> None:
        self.simulator.clone_mode("native")

    def mark_template(self, name: str) -> None:
        self.simulator.mark_template(name)

    def make_unreadable(self, name: str) -> None:
        pytest.skip(f"the simulator tells all of {name}: see tests/vsphere/test_mutilated_answers")

    def add_folder(self, name: str) -> None:
        self._content.rootFolder.childEntity[0].vmFolder.CreateFolder(name)

    def add_store(self) -> str:
        return "LocalDS_1"

    def leave_orphan(self, name: str) -> str:
        return self.simulator.leave_orphan(name)

    def files(self) -> frozenset[str]:
        return frozenset(map(str, self.simulator.files()))

    def macs(self, vm: VmId) -> tuple[str, ...]:
        found: Any = vim.VirtualMachine(vm, self._session._stub)
        cards = found.config.hardware.device
        return tuple(
            str(c.macAddress) for c in cards if isinstance(c, vim.vm.device.VirtualEthernetCard)
        )

    # -- a look at the endpoint that does not go through our driver --------------------

    @cached_property
    def _session(self) -> Any:
        return SmartConnect(
            host=self.simulator.host,
            port=self.simulator.port,
            user=self.simulator.user,
            pwd=self.simulator.password,
            sslContext=ssl.create_default_context(cadata=self.simulator.certificate_pem),
        )

    @property
    def _content(self) -> Any:
        return self._session.RetrieveContent()

    def close(self) -> None:
        if "_session" in self.__dict__:
            Disconnect(self._session)


@contextmanager
def open_rig() -> Iterator[Rig]:
    with Simulator.start("-ds", "2") as simulator, closing(VsphereRig(simulator)) as rig:
        yield rig
