"""Work grows with the number of VMs, and not with its square: operations are counted, not timed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import pytest

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.execution.progress import Silent
from linkedclone.execution.runner import Runner
from linkedclone.lineage.tree import build_tree
from linkedclone.lineage.usage import measure
from linkedclone.model.customization import Addresses, Customization
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import DeleteVm, Plan, RenameVm, SetPower, Step
from linkedclone.model.request import CloneRequest, Deletion, Own
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.ip_addresses import give_addresses
from linkedclone.planning.clone.macs import settle_macs
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene
from linkedclone.planning.pool.plan import plan_pool
from linkedclone.planning.pool.requests import add_clones
from linkedclone.planning.pool.rollout import choose_wave
from linkedclone.planning.vms.delete import plan_delete
from linkedclone.planning.vms.family_checks import find_trouble
from linkedclone.planning.vms.garbage import find_waste
from linkedclone.planning.vms.last_look import check_steps
from linkedclone.planning.vms.promote import plan_promote
from linkedclone.planning.vms.relocate import plan_relocate
from tests.memory import MemoryHypervisor
from tests.unit.building import (
    IDENTITY,
    TARGET,
    clone_of,
    disk,
    gold,
    hide,
    sized,
    stray,
    unreadable,
    vm,
)
from tests.unit.planning.pool.pools import OLD, member, sight, spec

FEW = 30
"""The smallest batch; the others have twice and three times as many."""

Work = Callable[[], object]


class Counter:
    """Counts the lines that Python executes, each round of a loop and each call among them."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, _frame: FrameType, _event: str, _arg: Any) -> "Counter":
        self.lines += 1
        return self


@contextmanager
def counting() -> Iterator[Counter]:
    counter, before = Counter(), sys.gettrace()
    sys.settrace(counter)
    try:
        yield counter
    finally:
        sys.settrace(before)


def count(work: Work) -> int:
    with counting() as counter:
        work()
    return counter.lines


def growth(build: Callable[[int], Work]) -> float:
    """Return how much more the last third of a batch costs than the second: 1 for linear work.

    What every size costs alike falls out; for the square of the size it is 5/3. What is
    imported at the first call is imported before.
    """
    build(FEW)()
    first, second, third = (count(build(FEW * times)) for times in (1, 2, 3))
    return (third - second) / (second - first)


def names(many: int) -> tuple[str, ...]:
    return tuple(f"desk-{number}" for number in range(1, many + 1))


def clones(many: int, **differ: Any) -> tuple[Vm, ...]:
    return tuple(replace(clone_of(GOLD, name), **differ) for name in names(many))


def mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def address(number: int) -> str:
    return f"10.0.{number >> 8}.{number & 255}"


GOLD = gold()


def planning(many: int) -> Work:
    """A batch whose clones each have MAC addresses and a generation of their own."""
    request = CloneRequest(
        parent="gold",
        names=names(many),
        macs={name: (mac(number),) for number, name in enumerate(names(many))},
        own={name: Own(generation=3, called=f"pc-{name}") for name in names(many)},
    )
    run = Run(id="run", version="1", snapshot_name="new")
    scene = Scene(source=GOLD, target=TARGET, identity=IDENTITY, run=run)
    planner = ClonePlanner(request=request, scene=scene)
    return lambda: (settle_macs(request), planner.plan(), list(map(request.called, names(many))))


def addressing(many: int) -> Work:
    """Clones of which each keeps the address that it had."""
    card = Addresses(range="10.0.0.0/16")
    kept = {name: (address(2 * n),) for n, name in enumerate(names(many), 1)}
    used = [address(2 * n + 1) for n in range(many)]
    wanted = Customization(addresses=(card,))
    return lambda: give_addresses(wanted, names(many), used, kept)


def deleting(many: int, how: Deletion, *, with_gold: bool = True, only_gold: bool = False) -> Work:
    going = clones(many)
    inventory = Inventory(vms=(GOLD, *going) if with_gold else going)
    chosen = (GOLD,) if only_gold else going
    return lambda: plan_delete(chosen, inventory, how)


def deleting_beside_hidden(many: int) -> Work:
    going = clones(many)
    others = tuple(hide(clone_of(GOLD, f"other-{number}")) for number in range(many))
    inventory = Inventory(vms=(GOLD, *going, *others))
    return lambda: plan_delete(going, inventory)


def promoting(many: int) -> Work:
    vms = (*clones(many), *(vm(f"full-{n}", disk(f"full-{n}/a.vmdk")) for n in range(many)))
    inventory = sized(Inventory(vms=(GOLD, *vms)))
    return lambda: plan_promote(vms, inventory, force=True)


def relocating(many: int) -> Work:
    target = replace(TARGET, datastore=StoreId("datastore-2"))
    inventory = sized(Inventory(vms=(GOLD, *clones(many))))
    targets = {one.id: target for one in clones(many)}
    return lambda: plan_relocate(clones(many), targets, inventory, moves_disks=True)


def collecting(many: int) -> Work:
    """Files of no VM, and clones that were not finished."""
    left = tuple(
        stray("gold/gold.vmdk", f"left-{n}/a.vmdk", orphaned=True, used=1) for n in range(many)
    )
    half = clones(many, disks=())
    return lambda: find_waste(Inventory(vms=(GOLD, *half), strays=left))


def looking_again(many: int) -> Work:
    going = clones(many)
    steps = [DeleteVm(vm=one.id, vm_name=one.name, vm_uuid=one.uuid) for one in going]
    return lambda: check_steps(steps, Inventory(vms=(GOLD, *going)))


def pooling(many: int) -> Work:
    """A pool on an old image, of whose clones half are missing."""
    vms = [member(name, image=OLD) for name in names(many)]
    wanted, seen = spec(2 * many), sight(*vms)

    def work() -> None:
        plan = plan_pool(wanted, seen)
        choose_wave(wanted, seen, plan)
        request = CloneRequest(parent="gold", names=())
        made = add_clones(request, wanted, seen, plan.changes)
        assert len(made.names) == 2 * many

    return work


def pooling_beside_unreadable(many: int) -> Work:
    """A pool of which all is missing, beside VMs that cannot be read."""
    others = tuple(unreadable(vm(f"other-{n}")) for n in range(many))
    return lambda: plan_pool(spec(many), sight(*others))


def drawing(many: int) -> Work:
    inventory = sized(Inventory(vms=(GOLD, *clones(many))))
    return lambda: (build_tree(inventory), measure(inventory), find_trouble(inventory))


def drawing_one_folder(many: int) -> Work:
    """VMs whose files all lie in one folder."""
    home = (StoreId(TARGET.datastore), "all")
    vms = tuple(replace(vm(name, disk(f"all/{name}.vmdk")), home=home) for name in names(many))
    return lambda: build_tree(Inventory(vms=vms))


def steps_of_two_kinds(many: int) -> tuple[Step, ...]:
    starts = (SetPower(vm=one.id, vm_name=one.name, power=Power.ON) for one in clones(many))
    others = (RenameVm(vm=one.id, vm_name=one.name, new_name="x") for one in clones(many))
    return (*others, *starts)


def sorting(many: int) -> Work:
    """Steps of several kinds in one stage, some of which go together."""
    driver = MemoryDriver(MemoryHypervisor(), "memory:")
    runner, steps = Runner(driver, Silent()), steps_of_two_kinds(many)
    return lambda: [list(some) for _, some in runner.assign(steps)]


def giving_up(many: int) -> Work:
    """A plan that is interrupted before anything was sent."""
    runner = Runner(MemoryDriver(MemoryHypervisor(), "memory:"), Silent())
    runner.interrupted = True
    plan = Plan(stages=(steps_of_two_kinds(many),))
    return lambda: runner.run(plan, endpoint="memory:")


def finding(many: int) -> Work:
    """VMs by name, and what stands at a place under these names."""
    hypervisor = MemoryHypervisor()
    for name in names(many):
        hypervisor.add_vm(name)
    driver = MemoryDriver(hypervisor, "memory:")
    (source,) = driver.find_vms(["desk-1"])
    target = driver.resolve_target(source, CloneRequest(parent="desk-1", names=()))
    return lambda: (driver.find_vms(names(many)), driver.observe_names(target, names(many)))


BATCHES = {
    "clones with addresses and generations of their own are planned": planning,
    "clones get the addresses again that they had": addressing,
    "clones are deleted": partial(deleting, how=Deletion()),
    "a parent is deleted with its clones": partial(
        deleting, how=Deletion(cascade=True, force=True), only_gold=True
    ),
    "the last clones of a base are deleted": partial(
        deleting, how=Deletion(force=True), with_gold=False
    ),
    "the base of the last clones is kept": partial(
        deleting, how=Deletion(keep_base=True), with_gold=False
    ),
    "clones are deleted beside others that hide their chains": deleting_beside_hidden,
    "clones are promoted, and what is full is left alone": promoting,
    "clones are moved": relocating,
    "leftovers are found": collecting,
    "deletions are looked at once more": looking_again,
    "a pool is planned, and its requests are built": pooling,
    "a pool is planned beside VMs that cannot be read": pooling_beside_unreadable,
    "families are drawn, measured and checked": drawing,
    "VMs whose files lie in one folder are drawn": drawing_one_folder,
    "steps are sorted by how they are carried out": sorting,
    "an interrupted plan is reported": giving_up,
    "VMs are found by name": finding,
}


@pytest.mark.parametrize("build", BATCHES.values(), ids=BATCHES.keys())
def test_the_work_for_each_vm_does_not_grow_with_their_number(build: Callable[[int], Work]) -> None:
    assert growth(build) < 1.15


def test_quadratic_work_is_reported() -> None:
    def build(many: int) -> Work:
        return lambda: [one for one in range(many) for _ in range(many)]

    assert growth(build) > 1.5
