"""The commands about pools, on the hypervisor in memory."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.cli.main import main
from linkedclone.drivers.memory.driver import FEATURES, MemoryDriver
from linkedclone.errors import UnreachableError
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.membership import state_of
from tests import do
from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Outcome, Run
from tests.unit.cli.terminal import run_on_terminal
from tests.unit.cli.test_documents import _documented, _shape

TEXT = """\
# Desktops of the third floor.
pool: desktops
parent: golden      # the image
snapshot: base
size: 3
name: "dt-{n:03}"
customization:
  os: linux
  addresses: {range: 10.0.0.10-10.0.0.40/24}
rollout: {max_unavailable: 1, canary: 1}   # slowly
"""

VERBS = ("plan", "apply", "status", "refresh", "recompose", "rollback", "scale", "hold")
MORE = {
    "refresh": ["--all"],
    "recompose": ["--snapshot", "2026-11"],
    "scale": ["4"],
    "hold": ["dt-001"],
    "release": ["dt-001"],
    "delete": ["--yes"],
}
EVERY = (*VERBS, "release", "delete")
ASKING = ("apply", "refresh", "recompose", "rollback", "scale")

Pool = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "desktops.yaml"
    written.write_text(TEXT)
    return written


@pytest.fixture
def pool(run: Run, family: MemoryHypervisor, file: Path) -> Pool:
    """Run a command about the pool of the file."""

    def call(verb: str, *more: str) -> Outcome:
        return run("pool", verb, str(file), *more)

    return call


@pytest.fixture
def made(pool: Pool) -> Pool:
    """The same, once the pool is there."""
    outcome = pool("apply")
    assert outcome.code == 0, outcome.err
    return pool


def members(family: MemoryHypervisor) -> dict[str, Vm]:
    return {vm.name: vm for vm in family.vms if vm.owner == "desktops"}


def rows(outcome: Outcome) -> list[list[str]]:
    return [line.split() for line in outcome.out.splitlines()[1:]]


# -- plan, apply, status ----------------------------------------------------------------


def test_a_plan_shows_what_would_be_done_and_does_nothing(
    pool: Pool, family: MemoryHypervisor
) -> None:
    outcome = pool("plan")
    assert outcome.code == 0
    assert rows(outcome) == [[f"dt-00{n}", "create", "missing"] for n in (1, 2, 3)]
    assert "pool desktops on golden, snapshot base" in outcome.err
    assert "create 3: dt-{001..003} (missing)" in outcome.err
    assert not members(family)


def test_a_plan_that_can_do_nothing_does_not_say_that_all_is_well(run: Run, pool: Pool) -> None:
    assert run("clone", "golden", "dt-{001..003}").code == 0
    outcome = pool("plan", "--check")
    assert outcome.code == 0
    assert "nothing can be done now" in outcome.err
    assert "as its file describes it" not in outcome.err
    assert "leave 3 alone: dt-{001..003}" in outcome.err


def test_check_ends_with_3_until_nothing_is_to_do(pool: Pool) -> None:
    assert pool("plan", "--check").code == 3
    assert pool("apply").code == 0
    outcome = pool("plan", "--check")
    assert outcome.code == 0
    assert "nothing to do" in outcome.err
    assert outcome.out == ""


def test_apply_makes_the_pool_and_then_does_nothing(pool: Pool, family: MemoryHypervisor) -> None:
    outcome = pool("apply")
    assert outcome.code == 0
    assert [row[:3] for row in rows(outcome)] == [
        [f"dt-00{n}", "create", "done"] for n in (1, 2, 3)
    ]
    assert "3 done in" in outcome.err
    assert {vm.power for vm in members(family).values()} == {Power.ON}
    again = pool("apply")
    assert (again.code, again.out) == (0, "")
    assert "nothing to do: pool desktops is as its file describes it" in again.err


def test_status_shows_the_state_of_each_clone(made: Pool) -> None:
    made("hold", "dt-002", "--reason", "Anne")
    outcome = made("status")
    assert outcome.code == 0
    assert [(row[0], row[1], row[2], row[3]) for row in rows(outcome)] == [
        (f"dt-00{n}", "on", "healthy", "base") for n in (1, 2, 3)
    ]
    assert "Anne" in outcome.out
    assert "3 of 3 healthy, on golden, snapshot base" in outcome.err


def test_status_of_a_pool_without_clones_says_so(pool: Pool) -> None:
    outcome = pool("status")
    assert outcome.code == 0
    assert "0 of 3 healthy" in outcome.err
    assert "pool plan has 3 to do" in outcome.err
    assert pool("status", "-o", "json").document["vms"] == []


# -- what changes the file --------------------------------------------------------------


def test_scale_writes_the_size_and_keeps_the_comments(made: Pool, file: Path) -> None:
    assert made("scale", "5").code == 0
    assert file.read_text() == TEXT.replace("size: 3", "size: 5")
    assert made("scale", "2", "--yes").code == 0
    assert file.read_text() == TEXT.replace("size: 3", "size: 2")


def test_scale_to_nothing_empties_the_pool(made: Pool, family: MemoryHypervisor) -> None:
    assert made("scale", "0", "--yes").code == 0
    assert not members(family)
    assert made("plan", "--check").code == 0
    assert made("status").code == 0


def test_recompose_and_rollback_move_the_pool_and_the_file(
    made: Pool, family: MemoryHypervisor, file: Path
) -> None:
    outcome = made("recompose", "--snapshot", "2026-11", "--yes")
    assert outcome.code == 0
    assert "snapshot is 2026-11 from now on" in outcome.err
    assert "snapshot: 2026-11" in file.read_text()
    assert {vm.mark.snapshot_name for vm in members(family).values() if vm.mark} == {"2026-11"}
    assert made("rollback", "--yes").code == 0
    assert file.read_text() == TEXT
    assert {vm.mark.snapshot_name for vm in members(family).values() if vm.mark} == {"base"}


def test_rollback_onto_another_parent_writes_its_name_where_that_is_clear(
    run: Run, family: MemoryHypervisor, made: Pool, file: Path
) -> None:
    assert run("clone", "golden", "next", "--power", "off").code == 0
    assert run("snapshot", "create", "next", "new").code == 0
    assert made("recompose", "--parent", "next", "--snapshot", "new", "--yes").code == 0
    assert "\nparent: next " in file.read_text()
    assert made("rollback", "--yes").code == 0
    assert file.read_text() == TEXT


def test_a_file_that_names_its_snapshot_by_id_is_led_back(
    run: Run, family: MemoryHypervisor, made: Pool, file: Path
) -> None:
    (golden,) = [vm for vm in family.vms if vm.name == "golden"]
    by_id = {snapshot.name: snapshot.id for snapshot in golden.snapshots}
    file.write_text(TEXT.replace("snapshot: base", f"snapshot: {by_id['base']}"))
    assert made("plan", "--check").code == 0
    assert made("recompose", "--snapshot", by_id["2026-11"], "--yes").code == 0
    assert made("rollback", "--yes").code == 0
    assert "\nsnapshot: base\n" in file.read_text()
    # Where a name would stand for two, it is the id.
    assert run("snapshot", "create", "golden", "base").code == 0
    file.write_text(TEXT.replace("snapshot: base", f"snapshot: {by_id['base']}"))
    assert made("recompose", "--snapshot", "2026-11", "--yes").code == 0
    assert made("rollback", "--yes").code == 0
    assert f"\nsnapshot: {by_id['base']}\n" in file.read_text()


def test_rollback_works_where_the_bad_snapshot_was_deleted_by_hand(
    run: Run, family: MemoryHypervisor, made: Pool, file: Path
) -> None:
    assert run("snapshot", "create", "golden", "broken").code == 0
    assert made("recompose", "--snapshot", "broken", "--yes").code == 0
    # Clones depend on it, so that only another client deletes it.
    (golden,) = [vm for vm in family.vms if vm.name == "golden"]
    (broken,) = [one.id for one in golden.snapshots if one.name == "broken"]
    admin = MemoryDriver(family)
    admin.wait([admin.start(do.delete_snapshot(golden, broken))], 1.0)
    assert made("plan").code == 2
    assert made("rollback", "--yes").code == 0
    assert "\nsnapshot: base\n" in file.read_text()
    assert made("plan", "--check").code == 0


def make_instant(family: MemoryHypervisor, file: Path) -> None:
    """Let the file be of instant clones, and the parent run."""
    family.add_snapshot(power(family, "golden", Power.ON), "warm", memory=True)
    file.write_text(TEXT.replace("snapshot: base", "snapshot: warm\nclone: instant"))


def power(family: MemoryHypervisor, name: str, power: Power) -> VmId:
    (vm,) = [vm for vm in family.vms if vm.name == name]
    with family.access("test") as estate:
        estate.set_power(vm.id, power)
    return vm.id


@pytest.fixture
def forks_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let instant clones be made of snapshots with memory."""
    able = replace(FEATURES, forks_snapshots=True)
    monkeypatch.setattr("linkedclone.drivers.memory.driver.FEATURES", able)


def test_recompose_of_instant_clones_takes_a_snapshot_with_memory(
    pool: Pool, family: MemoryHypervisor, file: Path, forks_snapshots: None
) -> None:
    make_instant(family, file)
    assert pool("apply").code == 0
    assert {vm.mark.snapshot_name for vm in members(family).values() if vm.mark} == {"warm"}
    outcome = pool("recompose", "--yes")
    assert outcome.code == 0, outcome.err
    (golden,) = [vm for vm in family.vms if vm.name == "golden"]
    newest = golden.snapshots[-1]
    assert newest.memory is not None
    assert newest.name.startswith("desktops-")
    assert f"snapshot: {newest.name}" in file.read_text()
    assert {vm.mark.snapshot for vm in members(family).values() if vm.mark} == {newest.id}
    assert pool("rollback", "--yes").code == 0
    assert "snapshot: warm" in file.read_text()


def test_recompose_of_instant_clones_needs_a_parent_that_runs(
    pool: Pool, family: MemoryHypervisor, file: Path, forks_snapshots: None
) -> None:
    make_instant(family, file)
    assert pool("apply").code == 0
    written, before = file.read_text(), members(family)
    power(family, "golden", Power.OFF)
    outcome = pool("recompose", "--yes")
    assert outcome.code == 1
    assert "golden is off" in outcome.err
    assert (file.read_text(), members(family)) == (written, before)


def test_recompose_without_a_snapshot_is_for_instant_clones(made: Pool, file: Path) -> None:
    outcome = made("recompose", "--yes")
    assert outcome.code == 2
    assert "missing option '--snapshot'" in outcome.err
    assert file.read_text() == TEXT


def test_recompose_forks_the_parent_as_it_runs_where_that_is_how_it_is_done(
    pool: Pool, family: MemoryHypervisor, file: Path
) -> None:
    make_instant(family, file)
    file.write_text(file.read_text().replace("snapshot: warm", "# as it runs"))
    assert pool("apply").code == 0
    written = file.read_text()
    outcome = pool("recompose", "--yes")
    assert outcome.code == 0, outcome.err
    assert file.read_text() == written
    assert {state_of(vm).generation for vm in members(family).values()} == {1}
    assert "golden as it runs" in outcome.err


def test_rollback_without_an_image_before_is_refused(made: Pool, file: Path) -> None:
    outcome = made("rollback", "--yes")
    assert outcome.code == 1
    assert "pool recompose FILE --snapshot S" in outcome.err
    assert file.read_text() == TEXT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--snapshot", "nope"], "no snapshot called 'nope'"),
        (["--snapshot", "base", "--parent", "nobody"], "nobody"),
        (["--snapshot", "base", "--parent", "bare"], "no snapshot"),
    ],
)
def test_an_image_that_is_not_there_changes_no_file(
    made: Pool, file: Path, words: list[str], said: str
) -> None:
    outcome = made("recompose", "--yes", *words)
    assert outcome.code in {1, 2}
    assert said in outcome.err
    assert file.read_text() == TEXT


@pytest.mark.parametrize("verb", ASKING)
def test_without_a_terminal_nothing_is_replaced(
    made: Pool, family: MemoryHypervisor, file: Path, verb: str
) -> None:
    if verb == "rollback":
        assert made("recompose", "--snapshot", "2026-11", "--yes").code == 0
    if verb == "apply":
        file.write_text(TEXT.replace("snapshot: base", 'snapshot: "2026-11"'))
    text, before = file.read_text(), members(family)
    words = {"refresh": ["--all"], "recompose": ["--snapshot", "2026-11"], "scale": ["1"]}
    outcome = made(verb, *words.get(verb, []))
    assert outcome.code == 2
    assert "--yes" in outcome.err
    assert "at a terminal" in outcome.err
    assert file.read_text() == text
    assert members(family) == before


# -- refresh ----------------------------------------------------------------------------


def test_refresh_makes_the_named_ones_anew(made: Pool, family: MemoryHypervisor) -> None:
    before = {name: vm.id for name, vm in members(family).items()}
    assert made("refresh", "dt-{002..003}", "--yes").code == 0
    after = {name: vm.id for name, vm in members(family).items()}
    assert [name for name in before if before[name] != after[name]] == ["dt-002", "dt-003"]


def test_refresh_makes_those_anew_that_are_there(made: Pool, family: MemoryHypervisor) -> None:
    before = {name: vm.id for name, vm in members(family).items()}
    outcome = made("refresh", "dt-002", "dt-009", "--yes", "--output", "json")
    assert outcome.code == 4
    assert "dt-009 (replace): not in the pool desktops" in outcome.err
    told = {result["name"]: result["status"] for result in outcome.document["results"]}
    assert told == {"dt-002": "done", "dt-009": "failed"}
    after = {name: vm.id for name, vm in members(family).items()}
    assert [name for name in before if before[name] != after[name]] == ["dt-002"]


def test_refresh_of_missing_clones_does_nothing(made: Pool, family: MemoryHypervisor) -> None:
    before = members(family)
    outcome = made("refresh", "golden", "dt-009", "--yes")
    assert outcome.code == 2
    assert "not in the pool desktops: golden, dt-009" in outcome.err
    assert members(family) == before


def test_refresh_of_all_takes_those_that_are_there(made: Pool, family: MemoryHypervisor) -> None:
    before = {vm.id for vm in members(family).values()}
    admin, gone = MemoryDriver(family), members(family)["dt-002"].id
    admin.wait([admin.start(do.set_power(gone, Power.OFF))], 1.0)
    admin.wait([admin.start(do.delete_vm(gone))], 1.0)
    outcome = made("refresh", "--all", "--yes")
    assert outcome.code == 0, outcome.err
    assert sorted(members(family)) == ["dt-001", "dt-002", "dt-003"]
    assert not {vm.id for vm in members(family).values()} & before


def test_refresh_of_the_grown_needs_a_limit(made: Pool, file: Path) -> None:
    outcome = made("refresh", "--grown")
    assert outcome.code == 2
    assert "refresh_above" in outcome.err
    file.write_text(f"{TEXT}refresh_above: 8GiB\n")
    outcome = made("refresh", "--grown")
    assert outcome.code == 0
    assert "nothing to do" in outcome.err
    file.write_text(f"{TEXT}refresh_above: 1KiB\n")
    outcome = made("plan")
    assert "too grown: 1.0 MiB of 1.0 KiB" in outcome.out


@pytest.mark.parametrize("words", [[], ["dt-001", "--all"], ["--all", "--grown"]])
def test_refresh_wants_to_know_which(made: Pool, words: list[str]) -> None:
    outcome = made("refresh", "--yes", *words)
    assert outcome.code == 2
    assert "name the clones, or give one of --all and --grown" in outcome.err


# -- hold, release, delete --------------------------------------------------------------


def test_held_clones_are_left_alone_and_said_so(made: Pool) -> None:
    assert made("hold", "dt-001", "--reason", "Anne is on it").code == 0
    outcome = made("refresh", "--all", "--yes")
    assert outcome.code == 0
    assert "left alone: dt-001 (asked for): held: Anne is on it" in outcome.err
    assert made("release", "dt-001").code == 0
    assert "left alone" not in made("refresh", "--all", "--yes").err


def test_hold_and_release_want_names(made: Pool) -> None:
    for verb in ("hold", "release"):
        assert made(verb).code == 2
        outcome = made(verb, "golden", "dt-009")
        assert outcome.code == 2
        assert "not in the pool desktops: golden, dt-009" in outcome.err


def test_delete_is_guarded(run: Run, made: Pool, family: MemoryHypervisor) -> None:
    assert made("delete").code == 2
    made("hold", "dt-001")
    outcome = made("delete", "--yes")
    assert outcome.code == 1
    assert "1 clone is held in the pool desktops: dt-001" in outcome.err
    made("release", "dt-001")
    assert run("snapshot", "create", "dt-002", "mine").code == 0
    assert run("clone", "dt-002", "child").code == 0
    outcome = made("delete", "--yes")
    assert outcome.code == 1
    assert "child" in outcome.err
    assert len(members(family)) == 3
    assert run("delete", "child", "--yes").code == 0
    assert made("delete", "--yes").code == 0
    assert not members(family)
    assert "golden" in {vm.name for vm in family.vms}


def test_delete_takes_held_ones_with_force(made: Pool, family: MemoryHypervisor) -> None:
    made("hold", "dt-001")
    assert made("delete", "--yes", "--force").code == 0
    assert not members(family)


# -- trouble ----------------------------------------------------------------------------


def test_a_broken_image_is_reported_with_the_way_back(
    made: Pool, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.execution.member_health.CONFIRM_SECONDS", 0.0)
    family.fail("customize", name="dt-001", times=-1)
    outcome = made("recompose", "--snapshot", "2026-11", "--yes")
    assert outcome.code in {1, 4}
    assert "dt-001 was made but did not become healthy" in outcome.err
    assert "run pool apply again to continue, or pool rollback" in outcome.err
    assert "\N{REPLACEMENT CHARACTER}" not in outcome.err
    assert any(line.startswith("pool desktops: ") for line in outcome.err.splitlines())
    on = {name: vm.mark.snapshot_name for name, vm in members(family).items() if vm.mark}
    assert on == {"dt-001": "2026-11", "dt-002": "base", "dt-003": "base"}
    family.heal()
    assert made("rollback", "--yes").code == 0
    assert made("plan", "--check").code == 0


def test_ctrl_c_ends_with_130_and_a_true_report(
    made: Pool, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: vm.id for name, vm in members(family).items()}
    looks = 0
    look = Pools.look

    def interrupted(*given: object, **named: object) -> object:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyboardInterrupt
        return look(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Pools, "look", interrupted)
    outcome = made("refresh", "--all", "--yes", "-o", "json")
    assert outcome.code == 130
    assert "interrupted" in outcome.err
    after = {name: vm.id for name, vm in members(family).items()}
    anew = [name for name in before if before[name] != after.get(name)]
    assert [result["name"] for result in outcome.document["results"]] == anew == ["dt-001"]
    monkeypatch.undo()


def test_ctrl_c_between_the_old_clone_and_the_new_one_tells_that_the_old_one_is_gone(
    made: Pool, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MemoryDriver.start

    def interrupted(self: MemoryDriver, step: JobStep) -> Job:
        if isinstance(step, CreateClone):
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(MemoryDriver, "start", interrupted)
    outcome = made("refresh", "dt-001", "--yes", "-o", "json")
    assert outcome.code == 130
    done = {(one["act"], one["status"]) for one in outcome.document["results"]}
    assert ("delete", "done") in done
    assert not done & {("replace", "done"), ("create", "done")}
    assert sorted(members(family)) == ["dt-002", "dt-003"]
    monkeypatch.undo()


def test_steps_done_before_an_outage_are_reported(
    made: Pool, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = Pools.look

    def outage(*given: object, **named: object) -> object:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise UnreachableError("the endpoint does not answer")
        return look(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Pools, "look", outage)
    outcome = made("refresh", "dt-001", "--yes", "-o", "json")
    assert outcome.code in {1, 4}
    assert outcome.document["stopped"] == "the endpoint does not answer"
    assert [one["name"] for one in outcome.document["results"]] == ["dt-001"]
    assert len(members(family)) == 3
    monkeypatch.undo()


@pytest.mark.parametrize("verb", EVERY)
def test_an_unreadable_file_is_reported(
    run: Run, family: MemoryHypervisor, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "wrong.yaml").write_text(f"{TEXT}sizze: 3\n")
    for name, said in (
        ("missing.yaml", "cannot be read"),
        (".", "is a directory"),
        ("list.yaml", "has to be a mapping"),
        ("wrong.yaml", "size"),
    ):
        outcome = run("pool", verb, str(tmp_path / name), *MORE.get(verb, []))
        assert outcome.code == 2, (name, outcome.err)
        assert said in outcome.err
    assert not family.calls["observe"]


def test_a_binary_file_is_reported(pool: Pool, file: Path) -> None:
    file.write_bytes(b"pool: \xff\xfe")
    outcome = pool("plan")
    assert outcome.code == 2
    assert "cannot be read" in outcome.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("parent: golden", "parent: nobody"), "nobody"),
        (("snapshot: base", "snapshot: nope"), "no snapshot called 'nope'"),
    ],
)
def test_missing_objects_are_reported_before_anything_is_created(
    pool: Pool, family: MemoryHypervisor, file: Path, change: tuple[str, str], said: str
) -> None:
    file.write_text(TEXT.replace(*change))
    outcome = pool("apply")
    assert outcome.code == 2
    assert said in outcome.err
    assert not members(family)


def test_names_too_long_for_windows_are_reported_before_a_clone_is_touched(
    made: Pool, family: MemoryHypervisor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN", "pw")
    before = members(family)
    windows = """\
  os: windows
  time_zone: Etc/UTC
  windows: {administrator_password: {env: ADMIN}}
"""
    text = TEXT.replace("  os: linux\n", windows).replace("dt-{n:03}", "third-floor-desk-{n:03}")
    file.write_text(text)
    for verb in ("plan", "apply", "status"):
        outcome = made(verb, *(["--yes"] if verb == "apply" else []))
        assert outcome.code == 2, outcome.err
        assert "15" in outcome.err
    assert members(family) == before


# -- documents --------------------------------------------------------------------------


def test_documents_are_as_documented(
    made: Pool, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.execution.member_health.CONFIRM_SECONDS", 0.0)
    status = made("status", "-o", "json").document
    assert _shape(status) == _shape(_documented("pool status")[0])
    made("hold", "dt-002", "--reason", "for Anne")
    family.fail("customize", name="dt-001", times=-1)
    applied = made("recompose", "--snapshot", "2026-11", "--yes", "-o", "json").document
    assert _shape({**applied, "skipped": []}) == _shape(_documented("pool apply")[0])
    plan = made("plan", "-o", "json").document
    assert _shape(plan) == _shape(_documented("pool plan")[0])


def test_yaml_says_the_same(made: Pool) -> None:
    from ruamel.yaml import YAML

    as_yaml = YAML(typ="safe").load(made("status", "-o", "yaml").out)
    assert as_yaml == made("status", "-o", "json").document


def test_the_schema_is_printed_as_json_and_yaml(run: Run) -> None:
    from ruamel.yaml import YAML

    printed = run("schema")
    assert printed.code == 0
    schema = json.loads(printed.out)
    assert schema["properties"]["pool"]["description"]
    assert YAML(typ="safe").load(run("schema", "-o", "yaml").out) == schema


def test_each_run_that_does_something_has_a_log_of_its_pool(made: Pool, home: Path) -> None:
    def logs() -> list[Path]:
        return sorted((home / "state").rglob("*pool-desktops-*.jsonl"))

    assert len(logs()) == 1
    lines = [json.loads(line) for line in logs()[0].read_text().splitlines()]
    assert lines[0]["action"] == "pool"
    assert {line["name"] for line in lines if "name" in line} >= {"dt-001", "dt-003"}
    made("apply")
    made("plan")
    assert len(logs()) == 1


# -- on a terminal ----------------------------------------------------------------------


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLUMNS": ""}


def test_the_board_shows_each_clone_and_leaves_nothing_behind(
    env: dict[str, str], file: Path
) -> None:
    file.write_text(TEXT.replace("size: 3", "size: 30"))
    screen = run_on_terminal("pool", "apply", str(file), env=env)
    assert screen.code == 0, screen.text
    assert "Traceback" not in screen.text
    assert re.search(r"pool  +\d+ of 30", screen.text)
    assert "30 done in" in screen.text
    # What was drawn is taken away again: as many lines up as down, and the cursor comes back.
    assert screen.raw.count("\x1b[?25l") == screen.raw.count("\x1b[?25h") == 1


def test_with_v_each_clone_has_its_lines(run: Run, file: Path) -> None:
    outcome = run("pool", "apply", str(file), "-v")
    assert outcome.code == 0
    assert "dt-002: clone done" in outcome.err


def test_a_question_is_asked_once_and_a_no_leaves_the_file(
    env: dict[str, str], file: Path, tmp_path: Path
) -> None:
    """On this machine, where clones stay from one command to the next."""
    from tests.local.scenes import make_image

    image, local = make_image(tmp_path / "image.qcow2"), f"local:{tmp_path / 'local'}"
    text = re.sub(r"customization:.*\n.*\n.*\n", 'power: "off"\n', TEXT)
    file.write_text(text)
    here = {**env, "LINKEDCLONE_ENDPOINT": local}
    assert run_on_terminal("image", "import", str(image), "--name", "golden", env=here).code == 0
    screen = run_on_terminal("pool", "apply", str(file), env=here)
    assert screen.code == 0, screen.text
    screen = run_on_terminal("pool", "scale", str(file), "1", env=here, typed=[("[y/N]", "n\n")])
    assert screen.code == 1
    assert screen.text.count("Go on?") == 1
    assert "delete 2: dt-{002..003} (surplus)" in screen.text
    assert "nothing was done" in screen.text
    assert file.read_text() == text
    screen = run_on_terminal("pool", "scale", str(file), "1", env=here, typed=[("[y/N]", "y\n")])
    assert screen.code == 0
    assert screen.text.count("Go on?") == 1
    assert file.read_text() == text.replace("size: 3", "size: 1")
    assert run_on_terminal("pool", "plan", "--check", str(file), env=here).code == 0


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_tables_fit_the_terminal(env: dict[str, str], file: Path, columns: int) -> None:
    screen = run_on_terminal("pool", "plan", str(file), env=env, columns=columns)
    assert screen.code == 0
    table = [line for line in screen.text.splitlines() if line.startswith(("NAME", "dt-"))]
    assert table
    assert max(len(line.rstrip()) for line in table) <= columns


def test_help_of_every_verb_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in EVERY:
        assert main(["pool", verb, "--help"]) == 0
        assert " FILE" in capsys.readouterr().out


# -- what an endpoint refuses -----------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("vsphere: {host: esx1}", "vsphere.host (line 11) means nothing to memory:"),
        ("hardware: {cores_per_socket: 2}", "hardware.cores_per_socket (line 11) means nothing"),
        ("local: {network: n}\nvsphere:\n  network: n", "or local.network (line 11) means nothing"),
        ("vsphere:\n  datastore: gone", "there is no datastore 'gone'"),
    ],
)
def test_a_setting_that_the_endpoint_refuses_is_named_as_the_file_names_it(
    pool: Pool, file: Path, setting: str, expected: str
) -> None:
    file.write_text(f"{TEXT}{setting}\n")
    for done in (pool("plan"), pool("hold", "dt-001")):
        assert expected in done.err
        assert "--" not in done.err
    document = json.loads(pool("plan", "-o", "json").out)
    assert expected in document["error"]["brief"]


def test_options_are_named_again_after_a_command_about_a_pool(
    pool: Pool, run: Run, file: Path
) -> None:
    file.write_text(f"{TEXT}vsphere: {{host: esx1}}\n")
    assert pool("plan").code != 0
    assert "--host means nothing to memory:" in run("clone", "golden", "x", "--host", "esx1").err
