"""A pool on the hypervisor in memory, whose guests come up customized; and ways to trouble it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.app.pools.survey import PoolScene
from linkedclone.app.proposal import Acting
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.execution import pool_lock
from linkedclone.execution.outage import Pace
from linkedclone.model.customization import Addresses, Customization, GuestOs
from linkedclone.model.pool import PoolSpec, Rollout
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.membership import members_of, namesakes_of
from tests.memory import MemoryHypervisor

GUESTS = Customization(os=GuestOs.LINUX, addresses=(Addresses(range="10.0.0.10-10.0.0.200/24"),))
"""Guests in memory are seen to come up only if they were to be somebody."""


class KilledError(BaseException):
    """What a killed process comes to in a test: nothing of ours catches it."""


class DyingDriver:
    """A driver whose process dies right before or right after one of its changing calls."""

    def __init__(self, driver: MemoryDriver, *, after: int) -> None:
        self._driver = driver
        self._left = after
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not callable(found):
            return found

        def call(*given: object, **named: object) -> object:
            if self.dead:
                raise KilledError
            if name != "start":
                return found(*given, **named)
            self._left -= 1
            if self._left == 0:
                self.dead = True
                raise KilledError
            return found(*given, **named)

        return call


class Stage:
    """One hypervisor with a golden image of two snapshots, and pools on it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.hypervisor = MemoryHypervisor(now=lambda: self.seconds, sleep=self.sleep)
        self.parent = self.hypervisor.add_vm("golden")
        self.old = self.hypervisor.add_snapshot(self.parent, "old")
        self.new = self.hypervisor.add_snapshot(self.parent, "new")
        self.looks: list[Callable[[], None]] = []

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for look in self.looks:
            look()

    def clock(self) -> datetime:
        return datetime.fromtimestamp(1_767_258_000 + self.seconds, tz=UTC)

    def pools(self, driver: Any = None) -> Pools:
        driver = driver or MemoryDriver(self.hypervisor)
        pace = Pace(now=lambda: self.seconds, sleep=self.sleep, chance=lambda: 0.5)
        acting = Acting(driver, address="memory:", log_folder=None)
        return Pools(acting, pace=pace, clock=self.clock)

    def apply(self, spec: PoolSpec, **given: Any) -> PoolReport:
        pools = self.pools()
        return pools.apply(pools.survey(spec, **given))

    def survey(self, spec: PoolSpec) -> tuple[Pools, PoolScene]:
        pools = self.pools()
        return pools, pools.survey(spec)

    def is_settled(self, spec: PoolSpec) -> bool:
        pools, scene = self.survey(spec)
        return pools.plan(scene).plan.empty

    def members(self, spec: PoolSpec) -> dict[str, Vm]:
        """Return all clones that are marked for a pool of this name."""
        inventory = MemoryDriver(self.hypervisor).observe()
        return {vm.name: vm for vm in namesakes_of(inventory, spec.pool)}

    def own_members(self, spec: PoolSpec) -> dict[str, Vm]:
        """Return the clones that belong to this very pool."""
        _, scene = self.survey(spec)
        inventory = MemoryDriver(self.hypervisor).observe()
        return {vm.name: vm for vm in members_of(inventory, scene.identity)}

    def snapshots(self, spec: PoolSpec) -> dict[str, str]:
        """Return on which snapshot each clone is, by the mark."""
        found = self.members(spec).items()
        return {name: vm.mark.snapshot_name for name, vm in found if vm.mark}


def pool(size: int = 5, **given: Any) -> PoolSpec:
    rollout = given.pop("rollout", Rollout(max_unavailable=2))
    made = PoolSpec(
        pool="desks",
        parent="golden",
        snapshot="old",
        size=size,
        name="desk-{n}",
        rollout=rollout,
        customization=GUESTS,
    )
    return replace(made, **given)


def forget_claimant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process that has claimed a pool count as ended."""
    starts = count()
    monkeypatch.setattr(pool_lock, "_read_start", lambda _pid: str(next(starts)))
