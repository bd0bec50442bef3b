"""What is wanted and what is seen give the plan of a batch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.errors import (
    AmbiguousError,
    InputError,
    LinkedCloneError,
    NameTakenError,
    NoSnapshotError,
    NotFoundError,
    RefusedError,
)
from linkedclone.model.plan import CreateClone, CreateFolder, Plan, SetPower, TakeSnapshot
from linkedclone.model.request import CloneRequest, SnapshotChoice
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene, clone_uuid
from linkedclone.planning.clone.snapshot_choice import (
    choose_snapshot,
    find_snapshot,
    parse_snapshot_choice,
)
from tests.unit.building import (
    IDENTITY,
    REASON,
    TARGET,
    clone_of,
    disk,
    gold,
    snapshot,
    unreadable,
    vm,
)

RUN = Run(id="run-1", version="1.0", snapshot_name="linkedclone-20261122")
NAMES = ("desk-1", "desk-2")


def planner(source: Vm, seen: Iterable[Vm] = (), **wanted: object) -> ClonePlanner:
    request = CloneRequest(parent=source.name, names=NAMES)
    return ClonePlanner(
        request=replace(request, **wanted),  # type: ignore[arg-type]  # fields by name
        scene=Scene(source=source, target=TARGET, identity=IDENTITY, run=RUN, there=tuple(seen)),
    )


def brief(plan: Plan) -> list[list[str]]:
    """Write a plan so that a test can state it in one line."""
    words = []
    for stage in plan.stages:
        line = []
        for step in stage:
            match step:
                case CreateClone():
                    line.append(f"clone {step.name}")
                case SetPower():
                    line.append(f"{step.power.value} {step.vm_name}")
                case TakeSnapshot():
                    line.append(f"snapshot {step.name}")
                case _:
                    line.append(repr(step))
        words.append(line)
    return words


def test_clones_refer_to_what_earlier_steps_make() -> None:
    made = planner(gold(), snapshot=NEW)
    target = replace(TARGET, new_folder="VDI/a")
    plan = replace(made, scene=replace(made.scene, target=target)).plan()
    take, folder = plan.steps[:2]
    assert folder == CreateFolder(above=TARGET.folder, path="VDI/a")
    clones = [step for step in plan.steps if isinstance(step, CreateClone)]
    assert [(clone.awaits, clone.snapshot) for clone in clones] == [((take, folder), None)] * 2
    assert len(plan.stages) == 3


def test_a_clone_whose_snapshot_and_folder_are_there_refers_to_nothing() -> None:
    assert [getattr(step, "awaits", None) for step in planner(gold()).plan().steps] == [(), ()]


def started(clone: Vm) -> Vm:
    return replace(clone, power=Power.ON)


NEW = SnapshotChoice(kind="new", name="now")
PLANS: dict[str, tuple[Callable[[Vm], list[Vm]], dict[str, object], list[list[str]]]] = {
    "nothing there": (lambda _: [], {}, [["clone desk-1", "clone desk-2"]]),
    "all there and running": (lambda g: [started(clone_of(g, n)) for n in NAMES], {}, []),
    "all there, and one is not linked as is wanted": (
        lambda g: [
            clone_of(g, "desk-1"),
            replace(clone_of(g, "desk-2"), disks=(disk("desk-2/desk-2.vmdk"),)),
        ],
        {},
        [["on desk-1"]],
    ),
    "one there": (lambda g: [started(clone_of(g, "desk-1"))], {}, [["clone desk-2"]]),
    "one there in other case": (
        lambda g: [started(replace(clone_of(g, "desk-1"), name="DESK-1"))],
        {},
        [["clone desk-2"]],
    ),
    "one there but off": (
        lambda g: [clone_of(g, "desk-1")],
        {},
        [["clone desk-2", "on desk-1"]],
    ),
    "off is as wanted": (
        lambda g: [clone_of(g, "desk-1")],
        {"power_on": False},
        [["clone desk-2"]],
    ),
    "a new snapshot first": (
        lambda _: [],
        {"snapshot": NEW},
        [["snapshot now"], ["clone desk-1", "clone desk-2"]],
    ),
    "a new snapshot without a name": (
        lambda _: [],
        {"snapshot": SnapshotChoice(kind="new")},
        [["snapshot linkedclone-20261122"], ["clone desk-1", "clone desk-2"]],
    ),
    "no new snapshot for nothing": (
        lambda g: [started(clone_of(g, n)) for n in NAMES],
        {"snapshot": NEW},
        [],
    ),
}


@pytest.mark.parametrize("case", PLANS)
def test_the_plan_creates_missing_clones_and_starts_stopped_ones(case: str) -> None:
    seen, wanted, expected = PLANS[case]
    source = gold()
    assert brief(planner(source, seen(source), **wanted).plan()) == expected


@dataclass(frozen=True, kw_only=True)
class Refusal:
    seen: Callable[[Vm], list[Vm]] = lambda _: []
    source: Callable[[], Vm] = gold
    wanted: tuple[tuple[str, object], ...] = ()
    error: type[LinkedCloneError]
    says: str


def named(name: str) -> tuple[tuple[str, object], ...]:
    return (("snapshot", SnapshotChoice(kind="named", name=name)),)


def another_parent() -> Vm:
    return replace(gold(), uuid="uuid-silver", name="silver")


def two_of_a_name() -> Vm:
    first = snapshot("base", disk("gold/gold.vmdk"), number=1)
    second = snapshot("base", disk("gold/gold.vmdk", "gold/gold-1.vmdk"), number=2, current=True)
    return vm("gold", disk("gold/gold.vmdk"), snapshots=(first, replace(second, path="base/base")))


def independent_only() -> Vm:
    base = snapshot("base", disk("gold/gold.vmdk", independent=True), current=True)
    return vm("gold", disk("gold/gold.vmdk", independent=True), snapshots=(base,))


REFUSALS = {
    "no snapshot": Refusal(
        source=lambda: vm("gold", disk("gold/gold.vmdk")),
        error=NoSnapshotError,
        says="``snapshot`` new",
    ),
    "unknown snapshot": Refusal(wanted=named("gone"), error=NotFoundError, says="it has: base"),
    "ambiguous snapshot": Refusal(
        source=two_of_a_name, wanted=named("base"), error=AmbiguousError, says="snapshot-2"
    ),
    "no disk to depend on": Refusal(
        source=independent_only, error=RefusedError, says="independent disks"
    ),
    "a foreign VM has the name": Refusal(
        seen=lambda _: [vm("desk-1", disk("x.vmdk"))],
        error=NameTakenError,
        says="not made by linkedclone",
    ),
    "an inherited mark does not count": Refusal(
        seen=lambda g: [replace(clone_of(g, "desk-1"), uuid="another")],
        error=NameTakenError,
        says="not made by linkedclone",
    ),
    "a pool's clone has the name": Refusal(
        seen=lambda g: [clone_of(g, "desk-1", owner="desktops")],
        error=NameTakenError,
        says="belongs to desktops",
    ),
    "what has the name cannot be read": Refusal(
        seen=lambda g: [unreadable(clone_of(g, "desk-1"))],
        error=NameTakenError,
        says=f"cannot be read: {REASON}",
    ),
    "the parent cannot be read": Refusal(
        source=lambda: unreadable(gold()),
        error=RefusedError,
        says=f"gold cannot be read: {REASON}",
    ),
    "a clone of another parent": Refusal(
        seen=lambda _: [clone_of(another_parent(), "desk-1")],
        error=NameTakenError,
        says="a clone of silver",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_kept_is_refused_before_anything_is_sent(case: str) -> None:
    refusal = REFUSALS[case]
    source = refusal.source()
    with pytest.raises(refusal.error) as caught:
        planner(source, refusal.seen(source), **dict(refusal.wanted)).plan()
    error = caught.value
    assert refusal.says in f"{error.brief}\n{error.details}\n{error.hint}"


def test_a_clone_of_another_snapshot_than_the_named_one_is_kept() -> None:
    newer = snapshot("next", disk("gold/gold.vmdk", "gold/gold-1.vmdk"), number=2)
    source = replace(gold(), snapshots=(*gold().snapshots, newer))
    there = started(clone_of(source, "desk-1"))
    plan = planner(source, [there], **dict(named("next"))).plan()
    assert brief(plan) == [["clone desk-2"]]
    assert plan.existing == (there,)


def test_all_taken_names_are_listed_at_once() -> None:
    seen = [vm(name, disk("x.vmdk")) for name in NAMES]
    with pytest.raises(NameTakenError, match="2 names are taken") as caught:
        planner(gold(), seen).plan()
    assert all(name in caught.value.details for name in NAMES)


def test_the_mark_names_the_clones_own_uuid() -> None:
    for step in planner(gold()).plan().steps:
        assert isinstance(step, CreateClone)
        assert step.mark.uuid == step.uuid
        assert step.mark.run == "run-1"


@given(
    name=st.text(min_size=1), folder=st.text(min_size=1), owner=st.text(), generation=st.integers()
)
def test_the_uuid_depends_on_everything_that_tells_clones_apart(
    name: str, folder: str, owner: str, generation: int
) -> None:
    request = CloneRequest(parent="gold", names=(name,), owner=owner, generation=generation)
    target = replace(TARGET, folder=folder)  # type: ignore[arg-type]  # any text
    first = clone_uuid(IDENTITY, target, request, name)
    assert first == clone_uuid(replace(IDENTITY, address="elsewhere"), target, request, name)
    others = {
        clone_uuid(IDENTITY, target, request, name + "x"),
        clone_uuid(IDENTITY, target, replace(request, generation=generation + 1), name),
        clone_uuid(IDENTITY, target, replace(request, owner=owner + "x"), name),
        clone_uuid(replace(IDENTITY, instance="vc-2"), target, request, name),
    }
    assert first not in others


CHOICES = {
    "current": SnapshotChoice(kind="current"),
    "new": SnapshotChoice(kind="new"),
    "new:2026-11": SnapshotChoice(kind="new", name="2026-11"),
    "2026-11": SnapshotChoice(kind="named", name="2026-11"),
    "a/b": SnapshotChoice(kind="named", name="a/b"),
    "/new": SnapshotChoice(kind="named", name="/new"),
}


@pytest.mark.parametrize("text", CHOICES)
def test_a_snapshot_choice_is_read(text: str) -> None:
    assert parse_snapshot_choice(text) == CHOICES[text]


@pytest.mark.parametrize("text", ["", " ", "new:", "new: ", "/"])
def test_an_empty_snapshot_choice_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_snapshot_choice(text)


@pytest.mark.parametrize(
    ("wanted", "found"), [("snapshot-2", 2), ("base/base", 2), ("snapshot-1", 1)]
)
def test_a_snapshot_is_found_by_id_and_path_where_the_name_is_not_enough(
    wanted: str, found: int
) -> None:
    assert find_snapshot(two_of_a_name(), wanted).id == f"snapshot-{found}"


def test_snapshots_without_a_current_one_are_listed() -> None:
    source = replace(gold(), snapshots=(snapshot("old", disk("gold/gold.vmdk")),))
    with pytest.raises(NotFoundError) as caught:
        choose_snapshot(source, SnapshotChoice())
    assert "old" in caught.value.hint


def test_two_runs_of_one_second_take_snapshots_of_different_names() -> None:
    before = replace(gold(), snapshots=(replace(gold().snapshots[0], name=RUN.snapshot_name),))
    plan = planner(before, snapshot=SnapshotChoice(kind="new")).plan()
    (take,) = (step for step in plan.steps if isinstance(step, TakeSnapshot))
    assert take.name == f"{RUN.snapshot_name}-run-"
