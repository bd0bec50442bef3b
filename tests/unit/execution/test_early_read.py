"""Clones are read while others are still being made or read, each once."""

import threading
from collections.abc import Sequence

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import BusyError
from linkedclone.execution.early_read import EarlyLook
from linkedclone.execution.stages import Landing
from linkedclone.model.plan import DeleteVm, Step
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from tests.memory import MemoryHypervisor

IDS = tuple(VmId(f"vm-{n}") for n in range(30))


class Reader(MemoryDriver):
    """Notes what is read; can fail once, or hold reads until so many are under way."""

    def __init__(self, *, together: int = 1, fail: bool = False) -> None:
        super().__init__(MemoryHypervisor(), "memory:")
        self.read: list[tuple[VmId, ...]] = []
        self._barrier = threading.Barrier(together, timeout=120)
        self._fail = fail

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        self.read.append(tuple(ids))
        self._barrier.wait()
        if self._fail:
            self._fail = False
            raise BusyError("the connection broke")
        return tuple(Vm(id=vm_id, name=vm_id, uuid="", path="") for vm_id in ids)


def landing(vm_id: VmId) -> Landing[Step]:
    return Landing(
        item=DeleteVm(vm=vm_id, vm_name=vm_id),
        result=vm_id,
        error=None,
        accepted=True,
        known=True,
        seconds=1.0,
    )


def looked(driver: Reader) -> list[VmId]:
    look = EarlyLook(driver)
    for vm_id in IDS:
        look.landed(landing(vm_id))
    return [vm.id for vm in look.observe(IDS)]


def test_the_rest_is_read_concurrently() -> None:
    driver = Reader(together=2)
    assert looked(driver) == list(IDS)
    assert sorted(map(len, driver.read)) == [5, 25]


def test_each_is_read_once() -> None:
    driver = Reader()
    assert looked(driver) == list(IDS)
    assert sorted(vm_id for read in driver.read for vm_id in read) == sorted(IDS)


def test_a_read_that_fails_is_made_again() -> None:
    assert looked(Reader(fail=True)) == list(IDS)
