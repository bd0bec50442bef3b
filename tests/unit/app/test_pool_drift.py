"""Whatever is done to a pool by hand: applied, it is as its file says, or says why it is not."""

import dataclasses
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.model.pool import PoolHardware, PoolPlan, Rollout
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationStatus, Power, Vm
from linkedclone.planning.pool.membership import state_of
from tests import do
from tests.unit.app.pooling import Stage, pool

GIB = 1 << 30
NUMBER = st.integers(0, 7)
ROLLOUTS = st.sampled_from(
    [
        Rollout(max_unavailable=1),
        Rollout(max_unavailable=9),
        Rollout(max_unavailable=2, canary=1),
        Rollout(max_unavailable=0, max_surge=1),
        Rollout(max_unavailable=0, max_surge=2, canary=1),
        Rollout(max_unavailable=1, max_surge=1, stop_after_failures=4),
    ]
)
EXPLAINED = (
    "held: ",
    "others depend on it: ",
    "a VM outside this pool has its name",
    "quarantined: ",
    "is there",
    "has to be healthy first",
    "it is the last VM on a base",
)


class Drift(RuleBasedStateMachine):
    """A pool, its file, and somebody with the hypervisor's own console."""

    @initialize(size=st.integers(0, 4), rollout=ROLLOUTS)
    def make(self, size: int, rollout: Rollout) -> None:
        self.stage = Stage()
        self.spec = pool(size, rollout=rollout)
        self.foreign: dict[VmId, Vm] = {}
        self.count = 0
        self.make_namesake()
        self.stage.apply(self.spec)

    def make_namesake(self) -> None:
        """Another pool has the same name, and is nobody's business here."""
        hypervisor = self.stage.hypervisor
        hypervisor.add_snapshot(hypervisor.add_vm("silver"), "old")
        self.namesake = replace(pool(2), parent="silver", name="seat-{n}")
        self.stage.apply(self.namesake)
        for vm in self.stage.members(self.namesake).values():
            self.remember(vm.id)

    # -- by hand ----------------------------------------------------------------------

    @property
    def admin(self) -> MemoryDriver:
        return MemoryDriver(self.stage.hypervisor)

    def pick(self, number: int) -> Vm | None:
        members = sorted(self.stage.own_members(self.spec).values(), key=lambda vm: vm.uuid)
        return members[number % len(members)] if members else None

    def fresh_name(self) -> str:
        self.count += 1
        return f"hand-{self.count}"

    def remember(self, vm_id: VmId) -> None:
        """What is of no pool is to stay as it is, whatever is applied."""
        (self.foreign[vm_id],) = (vm for vm in self.stage.hypervisor.vms if vm.id == vm_id)

    @rule(number=NUMBER)
    def delete(self, number: int) -> None:
        vm = self.pick(number)
        others = {layer for one in self.stage.hypervisor.vms for layer in one.layers if one != vm}
        if vm and not {disk.top for disk in vm.disks} & others and not vm.snapshots:
            self.admin.wait([self.admin.start(do.delete_vm(vm))], 1.0)

    @rule(number=NUMBER)
    def rename(self, number: int) -> None:
        vm = self.pick(number)
        if vm:
            self.admin.wait([self.admin.start(do.rename_vm(vm, self.fresh_name()))], 1.0)

    @rule(number=NUMBER, power=st.sampled_from([Power.OFF, Power.SUSPENDED]))
    def stop(self, number: int, power: Power) -> None:
        vm = self.pick(number)
        if vm and vm.power is Power.ON:
            self.admin.wait([self.admin.start(do.set_power(vm, power))], 1.0)

    @rule(number=NUMBER)
    def unmark(self, number: int) -> None:
        vm = self.pick(number)
        if vm:
            self.stage.hypervisor.set_mark(vm.id, None)
            self.remember(vm.id)

    @rule(number=NUMBER)
    def hold(self, number: int) -> None:
        vm = self.pick(number)
        if vm:
            self.stage.survey(self.spec)[0].hold(self.spec, [vm.uuid], "Anne")

    @rule()
    def release(self) -> None:
        self.stage.survey(self.spec)[0].hold(self.spec, [], "")

    @rule(number=NUMBER)
    def clone_by_hand(self, number: int) -> None:
        """Somebody hangs a clone of their own from one of the pool's."""
        vm = self.pick(number)
        if vm:
            snapshot = self.stage.hypervisor.add_snapshot(vm.id, f"by hand {self.count}")
            name = self.fresh_name()
            self.remember(self.stage.hypervisor.add_clone(vm.id, snapshot, name, owner=""))

    @rule(number=NUMBER)
    def duplicate(self, number: int) -> None:
        """A second clone says that it is of the same slot."""
        vm = self.pick(number)
        if vm and vm.mark:
            snapshot = self.stage.new if number % 2 else self.stage.old
            made = self.stage.hypervisor.add_clone(
                self.stage.parent, snapshot, self.fresh_name(), owner="desks"
            )
            (seen,) = (one for one in self.stage.hypervisor.vms if one.id == made)
            assert seen.mark
            self.stage.hypervisor.set_mark(made, replace(seen.mark, pool=state_of(vm)))

    @rule(number=NUMBER)
    def take_the_name(self, number: int) -> None:
        """Somebody's own VM has the name of a slot that is missing."""
        free = [slot for slot in self.spec.slots if slot not in self.names()]
        if free:
            self.remember(self.stage.hypervisor.add_vm(free[number % len(free)]))

    def names(self) -> set[str]:
        return {vm.name for vm in self.stage.hypervisor.vms}

    @rule(number=NUMBER)
    def promote(self, number: int) -> None:
        vm = self.pick(number)
        if vm and not vm.snapshots:
            self.admin.wait([self.admin.start(do.promote_vm(vm))], 1.0)

    @rule(number=st.integers(1, 4), times=st.integers(1, 4))
    def break_guests(self, number: int, times: int) -> None:
        self.stage.hypervisor.fail("customize", name=f"desk-{number}", times=times)

    # -- in the file ------------------------------------------------------------------

    @rule(size=st.integers(0, 5))
    def scale(self, size: int) -> None:
        self.spec = replace(self.spec, size=size)

    @rule(snapshot=st.sampled_from(["old", "new"]))
    def recompose(self, snapshot: str) -> None:
        self.spec = replace(self.spec, snapshot=snapshot)

    @rule(memory=st.sampled_from([None, GIB, 2 * GIB]), cpus=st.sampled_from([None, 1, 2]))
    def resize(self, memory: int | None, cpus: int | None) -> None:
        self.spec = replace(self.spec, hardware=PoolHardware(memory=memory, cpus=cpus))

    @rule(notes=st.sampled_from([None, "", "for the audit"]))
    def annotate(self, notes: str | None) -> None:
        self.spec = replace(self.spec, annotation=notes)

    @rule(name=st.sampled_from(["desk-{n}", "vdi-{n}"]), first=st.integers(0, 3))
    def rename_all(self, name: str, first: int) -> None:
        """Somebody gives other names, and says that the clones are still the pool's."""
        members = [vm.uuid for vm in self.stage.own_members(self.spec).values()]
        self.spec = replace(self.spec, name=name, first=first)
        pools, scene = self.stage.survey(self.spec)
        strangers = {one.vm.uuid for one in pools.plan(scene).plan.refused}
        left_out = [uuid for uuid in members if uuid in strangers]
        if left_out:
            pools.adopt(self.spec, left_out)

    @rule(rollout=ROLLOUTS)
    def roll_otherwise(self, rollout: Rollout) -> None:
        self.spec = replace(self.spec, rollout=rollout)

    # -- what must hold ---------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "stage"))
    @rule()
    def apply(self) -> None:
        """Applied until nothing fails any more, there is nothing left to do; or it is said why."""
        held = {vm.id for vm in self.stage.own_members(self.spec).values() if state_of(vm).hold}
        report = self.stage.apply(self.spec)
        tries = 0
        while report.results:
            tries += 1
            assert tries < 40, f"it comes to no end: {report}"
            report = self.stage.apply(self.spec)
        pools, scene = self.stage.survey(self.spec)
        plan = pools.plan(scene).plan
        assert plan.empty or self.is_waiting(plan, report.stopped), (plan, report.stopped)
        for skip in plan.skipped:
            assert any(text in skip.because for text in EXPLAINED), skip
        here = {vm.id: vm for vm in self.stage.hypervisor.vms}
        for vm_id, before in self.foreign.items():
            assert without_sizes(here[vm_id]) == without_sizes(before)
        assert held <= here.keys()
        assert self.stage.parent in here
        self.check_members(plan)

    def is_waiting(self, plan: PoolPlan, stopped: str) -> bool:
        """A plan may only be left where something quarantined or held uses the budget up."""
        return bool(plan.skipped) and bool(stopped)

    def check_members(self, plan: PoolPlan) -> None:
        members = self.stage.own_members(self.spec)
        left = {skip.slot for skip in plan.skipped} | {change.slot for change in plan.changes}
        for slot in set(self.spec.slots) - left:
            vm = members[slot]
            assert vm.mark
            assert vm.mark.snapshot_name == self.spec.snapshot
            assert vm.power is Power.ON
            assert vm.customization is CustomizationStatus.SUCCEEDED
        extra = {state_of(vm).slot for vm in members.values()} - set(self.spec.slots)
        assert extra <= left
        assert not any(state_of(vm).claim for vm in members.values())

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.apply()


def without_sizes(vm: Vm) -> Vm:
    """Sizes change with what else depends on a base."""
    return dataclasses.replace(vm, own_bytes=None, shared_bytes=None)


DriftTest = Drift.TestCase
DriftTest.settings = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
