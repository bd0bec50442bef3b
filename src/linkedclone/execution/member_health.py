"""Look whether the clones of a pool do what they are there for."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from linkedclone.drivers.contract import Driver
from linkedclone.execution.guest_probes import Prober
from linkedclone.execution.outage import Pace
from linkedclone.model.guest import Secrets
from linkedclone.model.pool import Fitness, Health, PoolSpec
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.member_health import (
    Probed,
    find_begun,
    judge_fitness,
    needs_probing,
)

CONFIRM_SECONDS: Final = 5.0
"""How long after the first look a clone is looked at again that seems unhealthy:
what is found so may be replaced."""


class HealthLook:
    """Looks at the clones of one pool, in one run.

    What was found unhealthy once is looked at again before it counts. Clones
    that are to be off are not looked at.
    """

    def __init__(
        self,
        driver: Driver,
        spec: PoolSpec,
        *,
        secrets: Secrets,
        pace: Pace,
        clock: Callable[[], datetime],
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._pace = pace
        self._clock = clock
        self._prober = Prober(driver, spec, secrets)
        self._confirmed: set[VmId] = set()
        self.started: dict[VmId, datetime] = {}

    def look(self, vms: Sequence[Vm]) -> dict[VmId, Health]:
        """Say how each clone is. ``vms`` have been read just now."""
        if not self._spec.running:
            return {}
        found = self._judge(vms)
        doubtful = [
            vm
            for vm in vms
            if found[vm.id].fitness is Fitness.UNHEALTHY and vm.id not in self._confirmed
        ]
        if doubtful:
            self._pace.sleep(CONFIRM_SECONDS)
            again = self._driver.observe_vms([vm.id for vm in doubtful])
            found |= self._judge(again)
        self._confirmed -= found.keys()
        self._confirmed |= {
            vm_id for vm_id, health in found.items() if health.fitness is Fitness.UNHEALTHY
        }
        return found

    def find_used(self, vms: Sequence[Vm]) -> set[VmId]:
        """Return which of them are or may be in use; asked right before they go."""
        if not self._spec.in_use or not self._spec.running:
            return set()
        return {vm_id for vm_id, health in self._judge(vms).items() if health.in_use}

    def _judge(self, vms: Sequence[Vm]) -> dict[VmId, Health]:
        probe, now = self._spec.health, self._clock()
        for vm in vms:
            if find_begun(vm) > now:  # A clock was set back: its time begins when it is first seen.
                self.started.setdefault(vm.id, now)
        probed = self._prober.probe([vm for vm in vms if needs_probing(vm, probe)])
        return {
            vm.id: judge_fitness(
                vm,
                probe,
                probed.get(vm.id, Probed()),
                now=now,
                customized=self._spec.customization is not None,
                started=self.started.get(vm.id),
            )
            for vm in vms
        }
