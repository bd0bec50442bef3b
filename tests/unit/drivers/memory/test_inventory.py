"""Whatever is done in whatever order, the files are exactly those that some VM uses."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.vm import Mark, Vm
from tests import do
from tests.memory import MemoryHypervisor

ACTIONS = ("clone", "clone", "snapshot", "snapshot", "revert", "delete-snapshot", "delete")


@dataclass
class World:
    """One parent and what becomes of it; choices are numbers, taken modulo what there is."""

    def __post_init__(self) -> None:
        self.hypervisor = MemoryHypervisor()
        self.driver = MemoryDriver(self.hypervisor)
        self.made = 0
        golden = self.hypervisor.add_vm("golden", disks=2)
        self.hypervisor.add_snapshot(golden, "base")

    def act(self, action: str, choice: int) -> None:
        vms = self.driver.observe().vms
        if not vms:
            return
        vm = vms[choice % len(vms)]
        if action == "delete":
            self.finish(self.driver.start(do.delete_vm(vm)))
        elif action == "snapshot":
            self.finish(self.driver.start(do.create_snapshot(vm, f"s{choice}", "")))
        elif vm.snapshots:
            self.act_on_snapshot(action, vm, choice)

    def act_on_snapshot(self, action: str, vm: Vm, choice: int) -> None:
        snapshot = vm.snapshots[choice // 7 % len(vm.snapshots)]
        if action == "revert":
            self.finish(self.driver.start(do.revert_snapshot(vm, snapshot.id)))
        elif action == "delete-snapshot":
            self.finish(self.driver.start(do.delete_snapshot(vm, snapshot.id)))
        else:
            self.made += 1
            name = f"clone-{self.made}"
            request = CloneRequest(parent=vm.name, names=(name,))
            step = CreateClone(
                source=vm,
                snapshot=snapshot,
                target=self.driver.resolve_target(vm, request),
                name=name,
                uuid=name,
                mark=Mark(owner="linkedclone", uuid=name),
                power_on=False,
            )
            self.finish(self.driver.start(step))
            made = self.driver.observe().vms[-1]
            assert prove_linked(made.disks, snapshot.disks or ()).linked

    def finish(self, job: Job) -> None:
        (state,) = self.driver.wait([job], 1.0)
        assert state.status is JobStatus.DONE, state.error


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40))
def test_every_used_file_is_kept_and_every_unused_file_is_removed(
    story: list[tuple[str, int]],
) -> None:
    world = World()
    for action, choice in story:
        before = {vm.id: vm for vm in world.driver.observe().vms}
        world.act(action, choice)
        after = world.driver.observe().vms
        assert world.hypervisor.files == {layer for vm in after for layer in vm.layers}
        changed = [vm for vm in after if vm.id in before and vm != before[vm.id]]
        others = [vm for vm in changed if vm.disks != before[vm.id].disks]
        assert len(others) <= 1, "an action on one VM changed the disks of another"


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40))
def test_the_lineage_foretells_what_a_deletion_takes(story: list[tuple[str, int]]) -> None:
    world = World()
    for action, choice in story:
        world.act(action, choice)
    inventory = world.driver.observe()
    lineage = Lineage(inventory)
    for vm in inventory.vms:
        own = {layer for layer in vm.layers if lineage.owner(layer) is vm}
        needed = {layer for user in lineage.dependants(vm) for layer in user.layers}
        lost = set(lineage.lost_with([vm]))
        before = world.hypervisor.files
        gone = {layer for layer in vm.layers if lineage.readers(layer) == (vm,)}
        assert gone == (own - needed) | lost
        assert gone <= before
