"""The hypervisor in memory under the contract."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import result_of
from tests.contract.rigs.base import Action, At, Kind, Rig, Ways
from tests.memory import Action as MemoryAction
from tests.memory import MemoryHypervisor


class MemoryRig:
    """Drives a :class:`MemoryHypervisor` of its own."""

    parent = "/vm/golden"
    bare = "/vm/bare"
    customization = "linux"
    disk_move_type = ""
    ways = Ways()

    def __init__(self) -> None:
        self.hypervisor = MemoryHypervisor()
        golden = self.hypervisor.add_vm("golden")
        self.hypervisor.add_snapshot(golden, "base")
        self.hypervisor.add_vm("bare")

    def connect(self) -> MemoryDriver:
        return MemoryDriver(self.hypervisor)

    def forkable(self) -> str:
        with closing(self.connect()) as driver:
            (golden,) = driver.find_vms([self.parent])
            result_of(driver, driver.start(do.set_power(golden, Power.ON)))
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
        error = kind.error(f"{action} failed", details="as the test wanted", kind=kind.name)
        self.hypervisor.fail(_native(action), name, error=error, at=at, leave=leave)

    def delay(self, action: Action, seconds: float) -> None:
        self.hypervisor.delays[_native(action)] = seconds

    def degrade(self) -> None:
        self.hypervisor.degrade()

    def hide(self) -> None:
        self.hypervisor.hide()

    def mark_template(self, name: str) -> None:
        (vm,) = [vm for vm in self.hypervisor.vms if vm.name == name]
        self.hypervisor.mark_template(vm.id)

    def make_unreadable(self, name: str) -> None:
        (vm,) = [vm for vm in self.hypervisor.vms if vm.name == name]
        self.hypervisor.make_unreadable(vm.id, "its host cannot get at its files")

    def add_folder(self, name: str) -> None:
        self.hypervisor.add_folder(name)

    def add_store(self) -> str:
        return "ssd2"

    def leave_orphan(self, name: str) -> str:
        (vm,) = [vm for vm in self.hypervisor.vms if vm.name == name]
        return str(self.hypervisor.add_orphan(vm.id))

    def files(self) -> frozenset[str]:
        return frozenset(map(str, self.hypervisor.files))

    def macs(self, vm: VmId) -> tuple[str, ...]:
        return self.hypervisor.macs(vm)


class SnapshotForkRig(MemoryRig):
    """A hypervisor that forks snapshots with memory, and not VMs as they run."""

    def connect(self) -> MemoryDriver:
        driver = super().connect()
        driver.features = replace(driver.features, forks_snapshots=True)
        return driver

    def forkable(self) -> str:
        super().forkable()
        with closing(self.connect()) as driver:
            (golden,) = driver.find_vms([self.parent])
            result_of(driver, driver.start(do.create_snapshot(golden, "warm", memory=True)))
            result_of(driver, driver.start(do.set_power(golden, Power.OFF)))
        return self.parent


def _native(action: Action) -> MemoryAction:
    return "power-on" if action == "power-on-of-clone" else action


@contextmanager
def open_rig() -> Iterator[Rig]:
    yield MemoryRig()


@contextmanager
def open_snapshot_fork_rig() -> Iterator[Rig]:
    yield SnapshotForkRig()
