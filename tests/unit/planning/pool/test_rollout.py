"""What of a plan may be done at once; and a world in which whole rollouts are played."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.model.pool import (
    Act,
    Fitness,
    Health,
    PoolChange,
    PoolSpec,
    Reason,
    Replace,
    Rollout,
    Why,
)
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.membership import slot_of, state_of
from linkedclone.planning.pool.plan import plan_pool
from linkedclone.planning.pool.rollout import Wave, choose_wave
from linkedclone.planning.pool.sight import PoolSight
from tests.unit.planning.pool.pools import HEALTHY, NEW, OLD, SICK, STARTING, member, sight, spec


def wave(wanted: PoolSpec, seen: PoolSight) -> Wave:
    return choose_wave(wanted, seen, plan_pool(wanted, seen))


def acts(found: Wave) -> list[str]:
    return [f"{change.act.value} {change.slot}" for change in found.changes]


def five(*, on_new: int = 0) -> list[Vm]:
    return [member(f"desk-{n}", image=NEW if n <= on_new else OLD) for n in range(1, 6)]


def rolling(**budget: int) -> PoolSpec:
    return spec(5, rollout=Rollout(**{"max_unavailable": 2, **budget}))


def test_as_many_are_replaced_at_once_as_may_be_unavailable() -> None:
    found = wave(rolling(), sight(*five()))
    assert acts(found) == ["replace desk-1", "replace desk-2"]
    assert found.waits == "the others follow"


def test_already_unavailable_clones_count() -> None:
    seen = sight(*five()[:4], health={"desk-4": STARTING})
    assert acts(wave(rolling(max_unavailable=3), seen)) == [
        "create desk-5",
        "replace desk-4",  # it does not serve anyway
        "replace desk-1",
    ]


def test_with_surge_the_new_ones_come_first() -> None:
    found = wave(rolling(max_unavailable=0, max_surge=2), sight(*five()))
    assert acts(found) == ["replace desk-1", "replace desk-2"]
    assert {change.slot for change in found.all_of(Replace) if change.beside} == {
        "desk-1",
        "desk-2",
    }


def test_a_surge_under_way_takes_its_room() -> None:
    coming = member("desk-1", name="desk-1.1", state={"generation": 1})
    found = wave(
        rolling(max_unavailable=0, max_surge=1),
        sight(*five(), coming, health={"desk-1.1": STARTING}),
    )
    assert found.changes == ()


def test_the_canary_goes_alone() -> None:
    found = wave(rolling(canary=1), sight(*five()))
    assert acts(found) == ["replace desk-1"]
    assert found.waits == "1 on the new image have to be healthy first"


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (STARTING, []),
        (SICK, ["replace desk-1"]),  # itself; the run has counted the failure by then
        (HEALTHY, ["replace desk-2", "replace desk-3"]),
    ],
)
def test_the_others_follow_a_healthy_canary_alone(health: Health, expected: list[str]) -> None:
    found = wave(rolling(canary=1), sight(*five(on_new=1), health={"desk-1": health}))
    assert acts(found) == expected


def test_a_canary_is_for_new_images_and_holds_up_nothing_else() -> None:
    sick = sight(*five(), health={"desk-5": SICK}, image=OLD)
    assert acts(wave(rolling(canary=1), sick)) == ["replace desk-5"]


def test_a_new_pool_is_made_at_once() -> None:
    found = wave(rolling(canary=1), sight())
    assert len(found.changes) == 5
    assert found.waits == ""


def test_reconfigurations_count_as_unavailable() -> None:
    seen = sight(*(replace(one, cpus=1) for one in five(on_new=5)))
    wanted = replace(rolling(), hardware=replace(rolling().hardware, cpus=2))
    assert acts(wave(wanted, seen)) == ["reconfigure desk-1", "reconfigure desk-2"]


# -- whole rollouts ---------------------------------------------------------------------


@dataclass
class World:
    """A pool and what becomes of it; new clones come up on the look after they were made."""

    vms: dict[str, Vm]
    health: dict[str, Health]
    broken: frozenset[str]
    """Slots whose new clones never come up."""

    def sight(self) -> PoolSight:
        return sight(*self.vms.values(), health=self.health)

    def settle(self) -> None:
        for name, vm in self.vms.items():
            if self.health.get(name) == STARTING:
                self.health[name] = SICK if slot_of(vm) in self.broken else HEALTHY

    def carry_out(self, change: PoolChange, *, surging: bool) -> None:
        old = change.old
        if old is not None and change.act in {Act.DELETE, Act.REPLACE} and not surging:
            del self.vms[old.name]
            self.health.pop(old.name, None)
        match change.act:
            case Act.CREATE | Act.REPLACE:
                before = state_of(old) if old else None
                generation = before.generation + 1 if before else 0
                beside = surging or change.slot in self.vms
                name = f"{change.slot}.{generation}" if beside else change.slot
                assert name not in self.vms
                made = member(change.slot, name=name, state={"generation": generation})
                self.vms[name] = replace(made, uuid=f"uuid-{name}-{generation}")
                self.vms[name] = _marked(self.vms[name])
                self.health[name] = STARTING
            case Act.RENAME:
                assert old
                vm = self.vms.pop(old.name)
                self.vms[change.slot] = replace(vm, name=change.slot, path=f"/DC0/vm/{change.slot}")
                self.health[change.slot] = self.health.pop(old.name)
            case Act.START:
                assert old
                self.vms[old.name] = replace(self.vms[old.name], power=Power.ON)
                self.health[old.name] = STARTING
            case _:
                pass


def _marked(vm: Vm) -> Vm:
    assert vm.mark
    return replace(vm, mark=replace(vm.mark, uuid=vm.uuid))


STATES = st.sampled_from(["new", "old", "missing", "sick", "off", "held", "renamed"])


def build(states: list[str], broken: frozenset[str]) -> World:
    vms: dict[str, Vm] = {}
    health: dict[str, Health] = {}
    for number, state in enumerate(states, 1):
        slot = f"desk-{number}"
        name = f"annes-{number}" if state == "renamed" else slot
        if state == "missing":
            continue
        vms[name] = member(
            slot,
            name=name,
            image=NEW if state == "new" else OLD,
            power=Power.OFF if state == "off" else Power.ON,
            state={"hold": "audit"} if state == "held" else {},
        )
        health[name] = {"sick": SICK, "off": Health(fitness=Fitness.UNKNOWN)}.get(state, HEALTHY)
    return World(vms=vms, health=health, broken=broken)


def serving(world: World) -> int:
    healthy = {
        slot_of(vm)
        for name, vm in world.vms.items()
        if world.health.get(name) == HEALTHY and vm.power is Power.ON
    }
    return len(healthy)


BUDGETS: Mapping[str, st.SearchStrategy[int]] = {
    "max_unavailable": st.integers(0, 3),
    "max_surge": st.integers(0, 2),
    "canary": st.integers(0, 2),
}


@given(st.lists(STATES, min_size=1, max_size=8), st.fixed_dictionaries(dict(BUDGETS)))
def test_a_rollout_ends_at_the_spec_within_its_budgets(
    states: list[str], budget: dict[str, int]
) -> None:
    if not (budget["max_unavailable"] or budget["max_surge"]):
        budget["max_unavailable"] = 1
    wanted = spec(len(states), rollout=Rollout(**budget))
    world = build(states, frozenset())
    held = {name for name, vm in world.vms.items() if state_of(vm).hold}
    lowest = min(serving(world), wanted.size - budget["max_unavailable"])
    most = max(wanted.size + budget["max_surge"], len(world.vms))
    for _ in range(60):
        seen = world.sight()
        plan = plan_pool(wanted, seen)
        if plan.empty and STARTING not in world.health.values():
            break
        chosen = choose_wave(wanted, seen, plan)
        for change in chosen.changes:
            assert change.old is None or change.old.name not in held
            world.carry_out(change, surging=isinstance(change, Replace) and change.beside)
        assert serving(world) >= lowest, "fewer serve than the budget allows"
        assert len(world.vms) <= most, "more are there than the budget allows"
        world.settle()
    else:
        pytest.fail("it does not come to an end")
    assert sorted(slot_of(vm) for vm in world.vms.values()) == sorted(wanted.slots)
    assert all(vm.name == slot_of(vm) for vm in world.vms.values())
    assert held <= world.vms.keys()


@given(st.integers(2, 8), st.integers(1, 3), st.integers(0, 2))
def test_a_broken_image_goes_no_further_than_the_canary(
    size: int, unavailable: int, surge: int
) -> None:
    budget = Rollout(max_unavailable=unavailable, max_surge=surge, canary=1)
    wanted = spec(size, rollout=budget)
    world = build(["old"] * size, frozenset(wanted.slots))
    touched: set[str] = set()
    for _ in range(10):
        seen = world.sight()
        chosen = choose_wave(wanted, seen, plan_pool(wanted, seen))
        for change in chosen.changes:
            touched.add(change.slot)
            world.carry_out(change, surging=isinstance(change, Replace) and change.beside)
        world.settle()
    assert touched == {"desk-1"}
    assert serving(world) >= size - 1


def test_whether_a_clone_is_replaced_alongside_is_not_reported() -> None:
    change = Replace(slot="desk-1", vm=five()[0], reasons=(Reason(why=Why.ASKED),))
    told = change.document()
    assert list(told) == ["name", "act", "id", "reasons"]
    assert told["act"] == "replace"
    assert replace(change, beside=True).document() == told
