"""Read clones while others are still being made, so that the proof does not wait for the last."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from linkedclone.drivers.contract import Driver
from linkedclone.execution.stages import Landing
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm

_WORTH_A_READ = 25
"""So many clones are worth a read of their own before the batch has ended."""


class EarlyLook:
    """Reads what has landed, some at a time, in the background.

    A read that fails is simply made again at the end, and its error told then.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="look")
        self._fresh: list[VmId] = []
        self._asked: set[VmId] = set()
        self._reads: list[Future[tuple[Vm, ...]]] = []

    def landed(self, landing: Landing[Any]) -> None:
        """Note a clone that was made."""
        if landing.result:
            self._fresh.append(VmId(landing.result))
        if len(self._fresh) >= _WORTH_A_READ:
            self._read(self._fresh)
            self._fresh = []

    def observe(self, ids: Sequence[VmId]) -> list[Vm]:
        """Return these VMs; what was not asked for yet is read beside what is still being read."""
        self._read([vm_id for vm_id in ids if vm_id not in self._asked])
        seen = {
            vm.id: vm for read in self._reads if read.exception() is None for vm in read.result()
        }
        self._pool.shutdown()
        missing = [vm_id for vm_id in ids if vm_id not in seen]
        if missing:
            seen |= {vm.id: vm for vm in self._driver.observe_vms(missing)}
        return [seen[vm_id] for vm_id in ids if vm_id in seen]

    def _read(self, ids: Sequence[VmId]) -> None:
        if ids:
            self._asked.update(ids)
            self._reads.append(self._pool.submit(self._driver.observe_vms, ids))
