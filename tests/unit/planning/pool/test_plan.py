"""What is planned for a pool, as a table: what is seen, what is to change, and why."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from linkedclone.model.pool import PoolHardware, PoolPlan, PoolSpec
from linkedclone.model.request import CloneRequest, Hardware
from linkedclone.model.vm import Disk, Power, Vm
from linkedclone.planning.clone.spec_digest import describe_shape
from linkedclone.planning.pool.plan import plan_pool
from linkedclone.planning.pool.sight import PoolSight
from tests.unit.building import REASON, clone_of, disk, unreadable, vm, with_snapshot
from tests.unit.planning.pool.pools import NEW, NOW, OLD, SICK, STARTING, USED, member, sight, spec

GIB = 1 << 30


def told(plan: PoolPlan) -> list[str]:
    """Return the changes in a word each: ``replace desk-1 (image changed)``."""
    return [
        f"{change.act.value} {change.slot} ({', '.join(r.why.value for r in change.reasons)})"
        for change in plan.changes
    ]


def left(plan: PoolPlan) -> list[str]:
    return [f"{skip.act.value} {skip.slot}: {skip.because}" for skip in plan.skipped]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table; members are given besides ``desk-1`` to ``desk-3`` being fine."""

    seen: PoolSight
    spec: PoolSpec = field(default_factory=spec)
    changes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def three(**first: Any) -> tuple[Vm, ...]:
    """Three good clones; the first one as given."""
    return (member("desk-1", **first), member("desk-2"), member("desk-3"))


def shaped(**hardware: Any) -> dict[str, Any]:
    request = CloneRequest(parent="gold", names=("x",), hardware=Hardware(**hardware))
    return {"shape": describe_shape(request)}


def unlinked(name: str) -> Vm:
    return replace(member(name), disks=(disk(f"{name}/{name}.vmdk"),))


CASES = {
    "all is well": Case(seen=sight(*three())),
    "nothing is there": Case(
        seen=sight(),
        changes=tuple(f"create desk-{n} (missing)" for n in (1, 2, 3)),
    ),
    "one was deleted by hand": Case(seen=sight(*three()[1:]), changes=("create desk-1 (missing)",)),
    "the pool is to be smaller": Case(
        seen=sight(*three()), spec=spec(2), changes=("delete desk-3 (surplus)",)
    ),
    "a surplus clone is in use": Case(
        seen=sight(*three(), health={"desk-3": USED}),
        spec=spec(2),
        skipped=("delete desk-3: in use",),
    ),
    "numbers may begin anywhere": Case(
        seen=sight(*(member(f"desk-{n}", state={"pattern": "desk-{n} from 3"}) for n in (1, 2, 3))),
        spec=spec(2, first=3),
        changes=(
            "create desk-4 (missing)",
            "delete desk-1 (surplus)",
            "delete desk-2 (surplus)",
        ),
    ),
    "the image changed": Case(
        seen=sight(*three(image=OLD)), changes=("replace desk-1 (image changed)",)
    ),
    "a disk was moved away from its base": Case(
        seen=sight(unlinked("desk-1"), *three()[1:]),
        changes=("replace desk-1 (not linked any more)",),
    ),
    "the customization changed": Case(
        seen=sight(*three(shape="guest=00000000")),
        changes=("replace desk-1 (spec changed)",),
    ),
    "more CPUs are wanted": Case(
        seen=sight(*three(cpus=1), **shaped(cpus=2)),
        spec=spec(hardware=PoolHardware(cpus=2)),
        changes=tuple(f"reconfigure desk-{n} (spec changed)" for n in (1, 2, 3)),
    ),
    "memory was changed by hand": Case(
        seen=sight(*three(memory_bytes=2 * GIB)),
        spec=spec(hardware=PoolHardware(memory=4 * GIB)),
        changes=("reconfigure desk-1 (spec changed)",),
    ),
    "memory is as wanted, whatever the mark says": Case(
        seen=sight(*three(memory_bytes=4 * GIB, shape="memory=00000000")),
        spec=spec(hardware=PoolHardware(memory=4 * GIB)),
    ),
    "memory is not asked for any more: what the snapshot has is not known": Case(
        seen=sight(*three(shape="memory=00000000")),
        changes=("replace desk-1 (spec changed)",),
    ),
    "one is sick": Case(
        seen=sight(*three(), health={"desk-1": SICK}),
        changes=("replace desk-1 (unhealthy)",),
    ),
    "one is coming up": Case(seen=sight(*three(), health={"desk-1": STARTING})),
    "one has failed too often": Case(
        seen=sight(*three(state={"failures": 3}), health={"desk-1": SICK}),
        skipped=("replace desk-1: quarantined: it failed 3 times on this image",),
    ),
    "a new image ends the quarantine": Case(
        seen=sight(*three(state={"failures": 3}, image=OLD), health={"desk-1": SICK}),
        changes=("replace desk-1 (image changed, unhealthy)",),
    ),
    "one has grown": Case(
        seen=sight(*three(own_bytes=9 * GIB)),
        spec=spec(refresh_above=8 * GIB),
        changes=("replace desk-1 (too grown)",),
    ),
    "one is old": Case(
        seen=sight(*three(created=NOW - timedelta(days=31))),
        spec=spec(max_age=30 * 86_400.0),
        changes=("replace desk-1 (too old)",),
    ),
    "somebody wants it anew": Case(
        seen=sight(*three(), asked=frozenset({"vm-desk-1"})),
        changes=("replace desk-1 (asked for)",),
    ),
    "held": Case(
        seen=sight(*three(image=OLD, state={"hold": "for the audit"})),
        skipped=("replace desk-1: held: for the audit",),
    ),
    "in use": Case(
        seen=sight(*three(image=OLD), health={"desk-1": USED}),
        skipped=("replace desk-1: in use",),
    ),
    "others depend on it": Case(
        seen=sight(
            *three(image=OLD),
            clone_of(
                replace(
                    member("desk-1", image=OLD),
                    snapshots=(replace(OLD, disks=member("desk-1", image=OLD).disks),),
                ),
                "child",
            ),
        ),
        skipped=("replace desk-1: others depend on it: child",),
    ),
    "off": Case(seen=sight(*three(power=Power.OFF)), changes=("start desk-1 (power)",)),
    "suspended": Case(seen=sight(*three(power=Power.SUSPENDED)), changes=("start desk-1 (power)",)),
    "to be off, and one runs": Case(
        seen=sight(*(replace(one, power=Power.OFF) for one in three()[1:]), three()[0]),
        spec=spec(power="off"),
        changes=("stop desk-1 (power)",),
    ),
    "renamed by somebody": Case(
        seen=sight(*three(name="annes-desk")), changes=("rename desk-1 (renamed)",)
    ),
    "renamed, and the name was taken by another": Case(
        seen=sight(*three(name="annes-desk"), vm("desk-1")),
        skipped=("rename desk-1: /DC0/vm/desk-1 is there",),
    ),
    "the name of a missing one is taken": Case(
        seen=sight(*three()[1:], vm("desk-1")),
        skipped=("create desk-1: a VM outside this pool has its name",),
    ),
    "the new one is coming up beside the old one": Case(
        seen=sight(
            *three(image=OLD),
            member("desk-1", name="desk-1.1", state={"generation": 1}),
            health={"desk-1.1": STARTING},
        ),
    ),
    "the new one is healthy: the old one goes": Case(
        seen=sight(*three(image=OLD), member("desk-1", name="desk-1.1", state={"generation": 1})),
        changes=("delete desk-1 (replaced)",),
    ),
    "the old one is gone: the new one gets the name": Case(
        seen=sight(*three()[1:], member("desk-1", name="desk-1.1", state={"generation": 1})),
        changes=("rename desk-1 (renamed)",),
    ),
    "the new one is sick: it is made anew, and the old one serves until that is healthy": Case(
        seen=sight(
            *three(image=OLD),
            member("desk-1", name="desk-1.1", state={"generation": 1}),
            health={"desk-1.1": SICK},
        ),
        changes=("replace desk-1 (unhealthy)",),
        skipped=("replace desk-1: desk-1.1 has to be healthy first",),
    ),
    "a clone cannot be read": Case(
        seen=sight(unreadable(replace(member("desk-1"), disks=())), *three()[1:]),
        skipped=(f"replace desk-1: desk-1 cannot be read: {REASON}",),
    ),
    "one of two clones of a slot cannot be read": Case(
        seen=sight(unreadable(member("desk-1")), *three(), health={"desk-1": SICK}),
        skipped=(f"replace desk-1: desk-1 cannot be read: {REASON}",),
    ),
    "a clone cannot be read, nor its mark": Case(
        seen=sight(unreadable(vm("DESK-1")), *three()[1:]),
        skipped=(f"create desk-1: DESK-1 cannot be read: {REASON}",),
    ),
    "a surplus clone cannot be read": Case(
        seen=sight(*three()[:2], unreadable(member("desk-3"))),
        spec=spec(2),
        skipped=(f"delete desk-3: desk-3 cannot be read: {REASON}",),
    ),
    "a clone that may be the base of one that cannot be read": Case(
        seen=sight(
            unreadable(vm("lost")), with_snapshot(member("desk-1", image=OLD)), *three()[1:]
        ),
        skipped=(f"replace desk-1: lost cannot be read: {REASON}; it may depend on this one",),
    ),
    "a clone that may be such a base, and whoever asks has been told": Case(
        seen=replace(
            sight(unreadable(vm("lost")), with_snapshot(member("desk-1", image=OLD)), *three()[1:]),
            despite_unreadable=True,
        ),
        changes=("replace desk-1 (image changed)",),
    ),
    "a plain clone goes whatever cannot be read": Case(
        seen=sight(unreadable(vm("lost")), *three(image=OLD)),
        changes=("replace desk-1 (image changed)",),
    ),
    "a clone of a clone is none of the pool's": Case(
        seen=sight(*three(), replace(member("desk-9"), uuid="another")),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_pool_is_planned(case: Case) -> None:
    plan = plan_pool(case.spec, case.seen)
    assert told(plan) == list(case.changes)
    assert left(plan) == list(case.skipped)


def test_the_reasons_hold_the_figures() -> None:
    grown = sight(*three(own_bytes=9 * GIB, image=OLD), health={"desk-1": SICK})
    (change,) = plan_pool(spec(refresh_above=8 * GIB), grown).changes
    assert [str(reason) for reason in change.reasons] == [
        "image changed: gold, old → gold, new",
        "unhealthy: no answer on port 22",
        "too grown: 9.0 GiB of 8.0 GiB",
    ]


def test_the_mark_tells_the_parent_of_a_hidden_chain() -> None:
    hidden = Disk(label="d", chain=disk("x/x.vmdk").chain, hidden=True)
    good, old = (replace(member("desk-1", image=i), disks=(hidden,)) for i in (NEW, OLD))
    assert told(plan_pool(spec(1), sight(good))) == []
    assert told(plan_pool(spec(1), sight(old))) == ["replace desk-1 (image changed)"]


def test_clones_of_a_later_snapshot_are_not_on_the_earlier_one() -> None:
    back = sight(member("desk-1", image=NEW), image=OLD)
    assert told(plan_pool(spec(1), back)) == ["replace desk-1 (image changed)"]


def test_a_clone_with_snapshots_of_its_own_is_on_its_image_still() -> None:
    grown = with_snapshot(member("desk-1"))
    assert told(plan_pool(spec(1), sight(grown))) == []


def test_moved_clones_are_reported() -> None:
    moved = replace(member("desk-1"), path="/DC0/vm/Elsewhere/desk-1")
    plan = plan_pool(spec(1), sight(moved))
    assert plan.empty
    assert plan.notes == ("not in /DC0/vm: /DC0/vm/Elsewhere/desk-1",)
