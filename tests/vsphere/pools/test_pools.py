"""Pools over real SOAP: made, moved, mended after what others did, at how many calls."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.app.proposal import Acting
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.registration import VspherePlace
from linkedclone.errors import InputError
from linkedclone.execution.outage import REAL
from linkedclone.model.customization import Addresses, Customization, GuestOs, SecretSource
from linkedclone.model.pool import (
    Act,
    PoolHardware,
    PoolSpec,
    Probe,
    Rollout,
)
from linkedclone.model.pool_report import PoolOutlook, PoolReport
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.membership import namesakes_of, state_of
from tests import command, do
from tests.contract.acts import find, finish, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, Start, opened, target_for

MIB = 1 << 20
GUESTS = Customization(
    os=GuestOs.LINUX,
    domain="lab.example",
    addresses=(Addresses(range="10.0.0.10-10.0.0.200/24", gateway="10.0.0.1"),),
)
PASSWORD = SecretSource(env="PROBE")


class World:
    """A vCenter with a golden image of two snapshots, whose guests come up in a blink."""

    def __init__(self, simulator: Simulator, driver: Driver) -> None:
        self.simulator = simulator
        self.driver = driver
        parent = find(driver, PARENT)
        result_of(driver, driver.start(do.set_power(parent, Power.OFF)))
        for name in ("old", "new"):
            result_of(driver, driver.start(do.create_snapshot(parent, name, "")))
        simulator.control("POST", "guest", {"tools_ms": 5, "ip_ms": 10, "customize_ms": 5})
        pace = replace(REAL, sleep=lambda seconds: REAL.sleep(min(seconds, 0.02)))
        acting = Acting(driver, address="vsphere://sim", log_folder=None)
        self.pools = Pools(acting, pace=pace)

    def apply(self, spec: PoolSpec) -> PoolReport:
        secrets = ((PASSWORD, Secret("guest-Pass")),) if spec.health.password else ()
        return self.pools.apply(self.pools.survey(spec, secrets=secrets))

    def plan(self, spec: PoolSpec) -> PoolOutlook:
        return self.pools.plan(self.pools.survey(spec))

    def members(self, spec: PoolSpec) -> dict[str, Vm]:
        return {vm.name: vm for vm in namesakes_of(self.driver.observe(), spec.pool)}

    def on(self, spec: PoolSpec) -> dict[str, str]:
        """Return on which snapshot each clone is, by the mark."""
        found = self.members(spec).items()
        return {name: vm.mark.snapshot_name for name, vm in found if vm.mark}

    def settled(self, spec: PoolSpec) -> None:
        members = self.members(spec)
        assert sorted(members) == sorted(spec.slots)
        assert self.plan(spec).plan.empty, self.plan(spec).plan
        assert not any(state_of(vm).claim for vm in members.values())


@pytest.fixture
def world(simulator: Simulator) -> Iterator[World]:
    with opened(simulator) as driver:
        yield World(simulator, driver)


def pool(size: int = 3, **given: object) -> PoolSpec:
    made = PoolSpec(
        pool="desks",
        parent=PARENT,
        snapshot="old",
        size=size,
        name="desk-{n}",
        customization=GUESTS,
        rollout=Rollout(max_unavailable=2),
    )
    return replace(made, **given)  # type: ignore[arg-type]


def test_a_pool_is_made_and_recomposed_with_a_canary(world: World) -> None:
    first = pool(rollout=Rollout(max_unavailable=2, canary=1))
    report = world.apply(first)
    assert (report.exit_code, report.stopped) == (0, "")
    world.settled(first)
    assert {vm.power for vm in world.members(first).values()} == {Power.ON}
    after = replace(first, snapshot="new")
    assert world.apply(after).exit_code == 0
    world.settled(after)
    assert set(world.on(after).values()) == {"new"}
    assert world.pools.previous(after) == ("", "old")


def test_d_a_vcenter_under_another_name_is_the_same_one(world: World) -> None:
    spec = pool(1, customization=None, power="off")
    assert world.apply(spec).exit_code == 0
    other = open_driver(replace(world.simulator.endpoint(), host="localhost"))
    try:
        theirs = pools_of(other)
        assert other.identify().address != world.driver.identify().address
        assert theirs.plan(theirs.survey(spec)).plan.empty
        assert other.observe().vms == world.driver.observe().vms
        # What one of them holds is held for the other, and what one makes anew the other knows.
        theirs.hold(spec, ["desk-1"], "Anne")
        assert state_of(world.members(spec)["desk-1"]).hold == "Anne"
        assert world.plan(replace(spec, snapshot="new")).plan.changes == ()
        theirs.hold(spec, ["desk-1"], "")
        moved = replace(spec, snapshot="new")
        assert theirs.apply(theirs.survey(moved)).exit_code == 0
        world.settled(moved)
    finally:
        other.close()


def pools_of(driver: Driver) -> Pools:
    return Pools(Acting(driver, address="vsphere://other", log_folder=None))


def test_with_surge_the_new_one_takes_over_the_name(world: World) -> None:
    first = pool(rollout=Rollout(max_unavailable=0, max_surge=1))
    world.apply(first)
    world.simulator.reset_calls()
    after = replace(first, snapshot="new")
    report = world.apply(after)
    assert report.exit_code == 0, report.document()
    world.settled(after)
    assert world.simulator.calls()["Rename_Task"] == 3


def test_a_broken_image_stops_at_the_canary_and_rollback_restores_it(world: World) -> None:
    first = pool(5, rollout=Rollout(max_unavailable=2, canary=1))
    world.apply(first)
    before = {name: vm.id for name, vm in world.members(first).items()}
    rule = {"name": "desk-1", "event": "CustomizationNetworkSetupFailed", "text": "no such card"}
    world.simulator.control("POST", "guest/customization", rule)
    broken = replace(first, snapshot="new")
    report = world.apply(broken)
    assert report.exit_code != 0
    assert "no such card" in report.stopped
    on = world.on(broken)
    assert on.pop("desk-1") == "new"
    assert set(on.values()) == {"old"}
    assert world.pools.previous(broken) == ("", "old")
    assert world.apply(first).exit_code == 0
    world.settled(first)
    after = {name: vm.id for name, vm in world.members(first).items()}
    assert [name for name in before if before[name] != after[name]] == ["desk-1"]


def test_held_clones_are_left_alone(world: World) -> None:
    world.apply(pool())
    world.pools.hold("desks", ["desk-2"], "for Anne; until = Friday")
    before = world.members(pool())["desk-2"]
    report = world.apply(pool(snapshot="new"))
    assert [skip.because for skip in report.skipped] == ["held: for Anne; until = Friday"]
    assert world.members(pool())["desk-2"].id == before.id
    world.pools.hold("desks", ["desk-2"], "")
    assert world.apply(pool(snapshot="new")).exit_code == 0
    world.settled(pool(snapshot="new"))


def test_processors_memory_and_notes_are_changed_in_place(world: World) -> None:
    world.apply(pool())
    ids = {vm.id for vm in world.members(pool()).values()}
    wanted = pool(hardware=PoolHardware(cpus=2, memory=128 * MIB), annotation="third floor")
    report = world.apply(wanted)
    assert report.exit_code == 0, report.document()
    assert {result.act for result in report.results} == {Act.RECONFIGURE}
    members = world.members(wanted).values()
    assert {vm.id for vm in members} == ids
    assert {(vm.cpus, vm.memory_bytes, vm.power) for vm in members} == {(2, 128 * MIB, Power.ON)}
    assert any("third floor" in sent for sent in world.simulator.requests("ReconfigVM_Task"))
    world.settled(wanted)


# -- what others do ---------------------------------------------------------------------


def test_what_was_deleted_renamed_or_stopped_by_hand_is_mended(world: World) -> None:
    world.apply(pool(4))
    driver, members = world.driver, world.members(pool())
    result_of(driver, driver.start(do.set_power(members["desk-1"], Power.OFF)))
    result_of(driver, driver.start(do.delete_vm(members["desk-1"])))
    result_of(driver, driver.start(do.rename_vm(members["desk-2"], "annes")))
    result_of(driver, driver.start(do.set_power(members["desk-3"], Power.OFF)))
    acts = {change.slot: change.act for change in world.plan(pool(4)).plan.changes}
    assert acts == {"desk-1": Act.CREATE, "desk-2": Act.RENAME, "desk-3": Act.START}
    assert world.apply(pool(4)).exit_code == 0
    world.settled(pool(4))
    assert world.members(pool(4))["desk-2"].id == members["desk-2"].id


def test_a_clone_moved_to_another_folder_stays_and_is_reported(world: World) -> None:
    world.apply(pool())
    moved, driver = world.members(pool())["desk-1"], world.driver
    assert isinstance(driver, VsphereDriver)
    session = driver._session
    folder = target_for(driver, find(driver, PARENT)).folder
    made = session.managed("Folder", folder).CreateFolder("Elsewhere")
    made.MoveIntoFolder_Task([session.managed("VirtualMachine", moved.id)])
    while not world.members(pool())["desk-1"].path.endswith("Elsewhere/desk-1"):
        pass
    outlook = world.plan(pool())
    assert outlook.plan.empty
    assert any("Elsewhere/desk-1" in note for note in outlook.plan.notes)
    assert world.apply(pool()).exit_code == 0


def test_a_snapshot_that_was_deleted_by_hand_is_named(world: World) -> None:
    spec = pool()
    world.apply(spec)
    parent = find(world.driver, PARENT)
    (old,) = [one for one in parent.snapshots if one.name == "old"]
    finish(world.driver, [world.driver.start(do.delete_snapshot(parent, old.id))])
    with pytest.raises(InputError, match="no snapshot called 'old'"):
        world.plan(spec)
    after = replace(spec, snapshot="new")
    assert world.apply(after).exit_code == 0
    world.settled(after)


# -- its own section --------------------------------------------------------------------


def test_the_place_of_the_file_is_kept_to(world: World) -> None:
    spec = pool(
        per_driver={
            "vsphere": VspherePlace(
                folder="Floor/Third", create_folder=True, network="DC0_DVPG0", datastore="LocalDS_0"
            )
        }
    )
    report = world.apply(spec)
    assert report.exit_code == 0, report.document()
    assert {vm.path.rpartition("/")[0] for vm in world.members(spec).values()} == {
        "/DC0/vm/Floor/Third"
    }
    world.settled(spec)
    assert "DistributedVirtualPort" in world.simulator.requests("CloneVM_Task")[-1]


def test_clones_are_spread_over_datastores(start_simulator: Start) -> None:
    simulator = start_simulator("-ds", "2")
    with opened(simulator) as driver:
        world = World(simulator, driver)
        spec = pool(4, per_driver={"vsphere": VspherePlace(spread="datastore")})
        report = world.apply(spec)
        assert report.exit_code == 0, report.document()
        stores = {vm.home[0] for vm in world.members(spec).values() if vm.home}
        assert len(stores) == 2
        world.settled(spec)


# -- health, use, calls -----------------------------------------------------------------


def test_commands_in_the_guests_say_who_is_in_use(world: World) -> None:
    simulator = world.simulator
    simulator.control("POST", "guest/login", {"user": "probe", "password": "guest-Pass"})
    ready = {"arguments": "test -e /run/ready", "exit": 0}
    used = {"arguments": "somebody", "exit": 1}
    for told in (ready, used, {**used, "name": "desk-2", "exit": 0}):
        simulator.control("POST", "guest/command", told)
    probe = Probe(command=("test", "-e", "/run/ready"), user="probe", password=PASSWORD)
    spec = pool(health=probe, in_use=("somebody",))
    assert world.apply(spec).exit_code == 0
    report = world.apply(replace(spec, snapshot="new"))
    assert [(skip.slot, skip.because) for skip in report.skipped] == [("desk-2", "in use")]
    assert world.on(spec) == {"desk-1": "new", "desk-2": "old", "desk-3": "new"}


def test_a_pool_of_twenty_with_nothing_to_do_costs_a_handful_of_calls(world: World) -> None:
    spec = pool(20)
    assert world.apply(spec).exit_code == 0
    world.simulator.reset_calls()
    report = world.apply(spec)
    assert (report.results, report.stopped) == ((), "")
    calls = world.simulator.calls()
    assert calls == {"FindByInventoryPath": 1, "RetrievePropertiesEx": 2}


def test_the_command_line_does_it_all(world: World, tmp_path: Path) -> None:
    file, env = tmp_path / "pool.yaml", command.environment(world.simulator, tmp_path)
    file.write_text(
        f"pool: desks\nparent: {PARENT}\nsnapshot: old  # for now\nsize: 2\n"
        'name: "desk-{n:03}"\n'
        "customization: {os: linux, domain: lab.example, addresses: {dhcp: true}}\n"
    )

    def run(*words: str) -> int:
        done = command.run("pool", words[0], str(file), *words[1:], env=env)
        assert "Traceback" not in done.stderr
        return done.returncode

    assert run("plan", "--check") == 3
    assert run("apply") == 0
    assert run("plan", "--check") == 0
    assert run("recompose", "--snapshot", "new") == 2
    assert run("recompose", "--snapshot", "new", "--yes") == 0
    assert "snapshot: new  # for now" in file.read_text()
    assert run("rollback", "--yes") == 0
    code, status = command.run_json("pool", "status", str(file), env=env)
    assert (code, status["healthy"], status["pending"], status["snapshot"]) == (0, 2, 0, "old")
    assert run("scale", "0", "--yes") == 0
    assert run("delete", "--yes") == 0


def test_pools_of_one_name_in_two_datacenters_spare_each_other(
    start_simulator: Start, tmp_path: Path
) -> None:
    simulator = start_simulator("-dc", "2")
    file = tmp_path / "desks.yaml"
    named: dict[str, set[str]] = {}
    for number, pattern in enumerate(("desk-{n}", "seat-{n}")):
        parent = f"/DC{number}/vm/DC{number}_H0_VM0"
        settings = f'pool: desks\nparent: {parent}\nsize: 2\nname: "{pattern}"\npower: "off"\n'
        (tmp_path / f"{number}.yaml").write_text(settings)
        with opened(simulator) as driver:
            result_of(driver, driver.start(do.set_power(find(driver, parent), Power.OFF)))
            result_of(driver, driver.start(do.create_snapshot(find(driver, parent), "base", "")))
    for number in (0, 1, 0, 1):
        file = tmp_path / f"{number}.yaml"
        env = command.environment(simulator, tmp_path) | {"GOVC_DATACENTER": f"DC{number}"}
        code, report = command.run_json("pool", "apply", str(file), "--yes", env=env)
        assert code == 0, report
        named[str(number)] = {one["path"] for one in report.get("refused", ())}
    assert named == {
        "0": {"/DC1/vm/seat-1", "/DC1/vm/seat-2"},
        "1": {"/DC0/vm/desk-1", "/DC0/vm/desk-2"},
    }
    env = command.environment(simulator, tmp_path)
    code, report = command.run_json("pool", "delete", str(tmp_path / "1.yaml"), "--yes", env=env)
    assert code == 0, report
    with opened(simulator) as driver:
        left = {vm.name for vm in namesakes_of(driver.observe(), "desks")}
    assert left == {"desk-1", "desk-2"}
