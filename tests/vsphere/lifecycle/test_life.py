"""The life of VMs over a real wire: guests asked, many started at once, new places, screens."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.contract import Driver
from linkedclone.errors import InUseError, NotOursError, RefusedError, UnsupportedError
from linkedclone.model.report import ActionReport, Status
from linkedclone.model.request import AskGuests, CloneRequest, Placement
from linkedclone.model.vm import Power, Vm
from tests import command, do, govc
from tests.contract.acts import current, find, make, read, result_of, set_power, take_snapshot
from tests.contract.acts import step_for as contract_step
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, Start, main_job, opened, prepare

AT_ONCE = AskGuests(deadline_seconds=0.3)


def make_clones(driver: Driver, *names: str) -> tuple[Vm, ...]:
    """Make running clones."""
    prepare(driver)
    return main_job(driver, PARENT, names)[1]


def connected(driver: Driver) -> Connection:
    return Connection(driver, address="vsphere://test")


def states(report: ActionReport) -> dict[str, tuple[Status, str]]:
    """Return what became of each, with the note or the error."""
    return {r.name: (r.status, r.error.brief if r.error else r.note) for r in report.results}


def give_tools(simulator: Simulator) -> None:
    simulator.control("POST", "guest", {"tools_ms": 0})


# -- guests that are asked ------------------------------------------------------------


def test_guests_shut_down_and_are_read_in_batches(simulator: Simulator, driver: Driver) -> None:
    give_tools(simulator)
    names = [f"desk-{n}" for n in range(6)]
    make_clones(driver, *names)
    simulator.control("POST", "guest/shutdown", {"after_ms": 300})
    await_tools(driver, names)
    simulator.reset_calls()
    report = connected(driver).vms.set_power(names, Power.OFF, guests=AskGuests())
    assert {status for status, _ in states(report).values()} == {Status.DONE}
    assert {find(driver, name).power for name in names} == {Power.OFF}
    calls = simulator.calls()
    assert calls["ShutdownGuest"] == len(names)
    assert "PowerOffVM_Task" not in calls


def await_tools(driver: Driver, names: Sequence[str]) -> None:
    while not all(find(driver, name).tools_running for name in names):
        pass


def test_an_unresponsive_guest_is_reported_or_powered_off(
    simulator: Simulator, driver: Driver
) -> None:
    give_tools(simulator)
    make_clones(driver, "deaf", "good")
    await_tools(driver, ["deaf", "good"])
    simulator.control("POST", "guest/shutdown", {"name": "deaf", "deaf": True})
    report = connected(driver).vms.set_power(["deaf", "good"], Power.OFF, guests=AT_ONCE)
    found = states(report)
    assert found["good"] == (Status.DONE, "")
    assert found["deaf"][0] is Status.FAILED
    assert "runs on after" in found["deaf"][1]
    assert report.exit_code == 4
    assert find(driver, "deaf").power is Power.ON
    then_off = AskGuests(deadline_seconds=0.3, then_off=True)
    report = connected(driver).vms.set_power(["deaf"], Power.OFF, guests=then_off)
    assert states(report) == {
        "deaf": (Status.DONE, "its guest did not shut down, so it was stopped hard")
    }
    assert find(driver, "deaf").power is Power.OFF


def test_a_guest_without_tools_is_refused_at_once(simulator: Simulator, driver: Driver) -> None:
    (vm,) = make_clones(driver, "desk-1")
    guests = driver.services.guests
    assert guests is not None
    with pytest.raises(RefusedError, match="VMware Tools do not run") as caught:
        guests.shut_down_guest(vm.id)
    assert "``then_off``" in caught.value.hint
    hour = AskGuests(deadline_seconds=3600, then_off=True)
    connected(driver).vms.set_power(["desk-1"], Power.OFF, guests=hour)
    assert find(driver, "desk-1").power is Power.OFF
    guests.shut_down_guest(vm.id)  # off counts as done


def test_a_vm_deleted_meanwhile_is_reported(simulator: Simulator, driver: Driver) -> None:
    give_tools(simulator)
    make_clones(driver, "desk-1")
    await_tools(driver, ["desk-1"])
    gone = {"obj": {"type": "VirtualMachine", "value": "vm-1"}}
    simulator.fault("ShutdownGuest", "ManagedObjectNotFound", at="call", properties=gone)
    report = connected(driver).vms.set_power(["desk-1"], Power.OFF, guests=AT_ONCE)
    assert "deleted" in states(report)["desk-1"][1]


def test_restart_asks_and_starts_and_leaves_the_deaf_alone(
    simulator: Simulator, driver: Driver
) -> None:
    give_tools(simulator)
    make_clones(driver, "deaf", "good")
    await_tools(driver, ["deaf", "good"])
    simulator.control("POST", "guest/shutdown", {"name": "deaf", "deaf": True})
    report = connected(driver).vms.restart(["deaf", "good"], guests=AT_ONCE)
    assert states(report)["good"][0] is Status.DONE
    assert states(report)["deaf"][0] is Status.FAILED
    assert simulator.calls()["PowerOnVM_Task"] == 1
    assert find(driver, "good").power is Power.ON


def test_an_interrupt_says_that_the_guests_were_asked(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    give_tools(simulator)
    make_clones(driver, "desk-1", "desk-2")
    await_tools(driver, ["desk-1", "desk-2"])
    simulator.control("POST", "guest/shutdown", {"deaf": True})
    env = command.environment(simulator, tmp_path)
    process = command.start("-o", "json", "stop", "--guest", "desk-{1..2}", env=env)
    while simulator.calls().get("ShutdownGuest", 0) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert {r["status"] for r in json.loads(out)["results"]} == {"skipped"}


# -- many started at once -------------------------------------------------------------


def make_stopped(driver: Driver, count: int) -> list[str]:
    names = [f"desk-{n:02}" for n in range(count)]
    for vm in make_clones(driver, *names):
        set_power(driver, vm, Power.OFF)
    return names


def test_fifty_are_started_with_one_call(simulator: Simulator, driver: Driver) -> None:
    names = make_stopped(driver, 51)
    simulator.reset_calls()
    report = connected(driver).vms.set_power(names, Power.ON)
    assert report.exit_code == 0
    assert {vm.power for vm in driver.find_vms(names)} == {Power.ON}
    calls = simulator.calls()
    assert calls["PowerOnMultiVM_Task"] == 1
    assert calls["PowerOnVM_Task"] == 1  # the fifty-first


def test_each_vm_that_is_not_admitted_is_named(simulator: Simulator, driver: Driver) -> None:
    names = make_stopped(driver, 5)
    for name in ("desk-01", "desk-03"):
        simulator.fault(
            "PowerOnMultiVM_Task", "InsufficientFailoverResourcesFault", at="admission", name=name
        )
    report = connected(driver).vms.set_power(names, Power.ON)
    failed = {r.name: r.error for r in report.results if r.error}
    assert set(failed) == {"desk-01", "desk-03"}
    for name, error in failed.items():
        assert name in error.brief
        assert "admission control" in error.brief
    assert find(driver, "desk-01").power is Power.OFF
    assert find(driver, "desk-02").power is Power.ON


def test_a_vm_that_fails_during_power_on_is_reported_too(
    simulator: Simulator, driver: Driver
) -> None:
    names = make_stopped(driver, 3)
    simulator.control("POST", "files/remove", {"name": str(find(driver, "desk-01").disks[0].top)})
    report = connected(driver).vms.set_power(names, Power.ON)
    assert {r.name for r in report.results if r.error} == {"desk-01"}


def test_a_power_on_that_is_only_recommended_is_reported(
    simulator: Simulator, driver: Driver
) -> None:
    names = make_stopped(driver, 2)
    simulator.control("POST", "drs", {"manual": True})
    report = connected(driver).vms.set_power(names, Power.ON)
    for result in report.results:
        assert result.error is not None
        assert "manual" in result.error.brief
        assert f"power on {result.name}" in result.error.details
        assert f"``start`` {result.name}" in result.error.hint
    assert connected(driver).vms.set_power(names[:1], Power.ON).exit_code == 0


def test_where_the_call_is_not_known_each_is_started_alone(
    simulator: Simulator, driver: Driver
) -> None:
    names = make_stopped(driver, 3)
    simulator.fault("PowerOnMultiVM_Task", "MethodNotFound", at="call", count=-1)
    simulator.reset_calls()
    assert connected(driver).vms.set_power(names, Power.ON).exit_code == 0
    assert simulator.calls()["PowerOnVM_Task"] == 3


def test_vms_of_several_datacenters_are_started_together(start_simulator: Start) -> None:
    simulator = start_simulator("-dc", "2")
    with opened(simulator) as driver:
        names = [f"/DC{n}/vm/DC{n}_H0_VM{m}" for n in (0, 1) for m in (0, 1)]
        for name in names:
            set_power(driver, find(driver, name), Power.OFF)
        simulator.reset_calls()
        assert connected(driver).vms.set_power(names, Power.ON, force=True).exit_code == 0
        assert simulator.calls()["PowerOnMultiVM_Task"] == 2


def test_taking_up_clones_that_are_off_starts_them_together(
    simulator: Simulator, driver: Driver
) -> None:
    prepare(driver)
    request = CloneRequest(parent=PARENT, names=("desk-{1..4}",))
    connection = connected(driver)
    connection.clone(request)
    names = [f"desk-{n}" for n in range(1, 5)]
    connection.vms.set_power(names, Power.OFF)
    simulator.reset_calls()
    report = connection.clone(request)
    assert {clone.power for clone in report.clones} == {Power.ON}
    assert simulator.calls()["PowerOnMultiVM_Task"] == 1


# -- new names ------------------------------------------------------------------------


def test_a_new_clone_of_the_old_name_is_marked_as_what_it_is(
    simulator: Simulator, driver: Driver
) -> None:
    prepare(driver)
    connection = connected(driver)
    request = CloneRequest(parent=PARENT, names=("desk-1",), power_on=False)
    (first,) = connection.clone(request).clones
    report = connection.vms.rename("desk-1", "desk-old")
    assert states(report) == {"desk-1": (Status.DONE, "now called desk-old")}
    (second,) = connection.clone(request).clones
    assert second.status is Status.CREATED
    assert second.uuid != first.uuid
    assert find(driver, "desk-1").owner == find(driver, "desk-old").owner == "linkedclone"
    (third,) = connection.clone(request).clones
    assert (third.status, third.uuid) == (Status.EXISTING, second.uuid)


def test_a_foreign_vm_is_renamed_only_with_force(driver: Driver) -> None:
    with pytest.raises(NotOursError, match="refusing to rename"):
        connected(driver).vms.rename(PARENT, "golden")
    assert connected(driver).vms.rename(PARENT, "golden", force=True).exit_code == 0


# -- new places -----------------------------------------------------------------------


def two_stores(start_simulator: Start) -> Simulator:
    return start_simulator("-ds", "2")


def test_relocate_moves_the_delta_and_proves_the_link(
    start_simulator: Start, tmp_path: Path
) -> None:
    simulator = two_stores(start_simulator)
    with opened(simulator) as driver:
        before = {vm.name: vm for vm in make_clones(driver, "desk-1", "desk-2")}
        code, document = command.run_json(
            *("relocate", "desk-{1..2}", "--datastore", "LocalDS_1"),
            env=command.environment(simulator, tmp_path),
        )
        assert code == 0, document
        for body in simulator.requests("RelocateVM_Task"):
            assert body.count("moveChildMostDiskBacking") == 2  # of the request, and of its disk
        for name, vm in before.items():
            after = find(driver, name)
            assert after.disks[0].top.store_name == "LocalDS_1"
            assert after.disks[0].chain[:-1] == vm.disks[0].chain[:-1]
        seen_by_others = govc.run(simulator, "device.info", "-vm", "desk-1", "-json", "disk-*")
        assert "LocalDS_1" in seen_by_others
        again = connected(driver).vms.relocate(["desk-1"], Placement(datastore="LocalDS_1"))
        assert again.results == ()


def test_a_move_that_separates_the_vm_from_its_base_is_reported(
    start_simulator: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(step: Any, disks: Any) -> Any:
        from pyVmomi import vim

        return vim.vm.RelocateSpec(datastore=vim.Datastore(step.target.datastore, None))

    monkeypatch.setattr("linkedclone.drivers.vsphere.lifecycle.relocate.build_relocation", forget)
    with opened(two_stores(start_simulator)) as driver:
        make_clones(driver, "desk-1")
        report = connected(driver).vms.relocate(["desk-1"], Placement(datastore="LocalDS_1"))
        (result,) = report.results
        assert result.error is not None
        assert result.error.stage == "proof"
        assert "has another base" in result.error.brief
        assert report.exit_code == 1


def test_relocate_refuses_before_the_call(start_simulator: Start) -> None:
    simulator = two_stores(start_simulator)
    with opened(simulator) as driver:
        connection, there = connected(driver), Placement(datastore="LocalDS_1")
        make_clones(driver, "desk-1", "desk-2", "desk-3")
        with pytest.raises(NotOursError):
            connection.vms.relocate(["/DC0/vm/DC0_H0_VM1"], there)
        take_snapshot(driver, find(driver, "desk-1"), "mine")
        with pytest.raises(RefusedError, match="snapshots of their own"):
            connection.vms.relocate(["desk-1"], there)
        make(driver, contract_step(driver, find(driver, "desk-1"), "grandchild"))
        with pytest.raises(InUseError, match="grandchild"):
            connection.vms.relocate(["desk-1"], there)
        vm = find(driver, "desk-2")
        with pytest.raises(UnsupportedError, match="folder"):
            driver.resolve_relocation(vm, Placement(folder="x"))
        assert "RelocateVM_Task" not in simulator.calls()


def test_a_host_that_does_not_see_the_chain_is_refused(start_simulator: Start) -> None:
    simulator = start_simulator("-ds", "2")
    parent = "/DC0/vm/DC0_C0_RP0_VM0"
    with opened(simulator) as driver:
        prepare(driver, parent)
        _, (vm,) = main_job(driver, parent, ["desk-1"])
        base = vm.disks[0].chain[0].store_name
        simulator.unmount("DC0_C0_H1", base)
        with pytest.raises(RefusedError, match="DC0_C0_H1 does not see"):
            connected(driver).vms.relocate(["desk-1"], Placement(host="DC0_C0_H1"))
        report = connected(driver).vms.relocate(["desk-1"], Placement(host="DC0_C0_H2"))
        assert report.exit_code == 0, report
        assert read(driver, vm.id).disks == vm.disks


def test_native_clones_stay_where_they_are(start_simulator: Start) -> None:
    simulator = two_stores(start_simulator)
    with opened(simulator) as driver:
        prepare(driver)
        simulator.clone_mode("native")
        main_job(driver, PARENT, ["desk-1"])
        with pytest.raises(RefusedError, match="native"):
            connected(driver).vms.relocate(["desk-1"], Placement(datastore="LocalDS_1"))


def test_what_does_not_fit_is_refused(start_simulator: Start, tmp_path: Path) -> None:
    simulator = two_stores(start_simulator)
    with opened(simulator) as driver:
        make_clones(driver, "desk-1")
    simulator.control("POST", "datastore", {"name": "LocalDS_1", "free_bytes": 1})
    env = command.environment(simulator, tmp_path)
    done = command.run("relocate", "desk-1", "--datastore", "LocalDS_1", env=env)
    assert done.returncode == 1
    assert "too little free space" in done.stderr
    assert "RelocateVM_Task" not in simulator.calls()


# -- screens --------------------------------------------------------------------------


def test_a_running_vm_has_a_screen(simulator: Simulator, driver: Driver, tmp_path: Path) -> None:
    (vm,) = make_clones(driver, "desk 1")
    env = command.environment(simulator, tmp_path)
    code, document = command.run_json("console", "desk 1", env=env)
    assert code == 0
    assert document["name"] == "desk 1"
    assert document["url"].startswith("wss://esx.sim:443/ticket/webmks-")
    assert f"/ui/webconsole.html?vmId={vm.id}&vmName=desk+1&serverGuid=" in document["page"]
    assert "one connection" in document["how"]
    page = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
    assert all(f'"{key}":' in page for key in document)
    done = command.run("console", "--url", "desk 1", env=env)
    assert done.stdout.startswith("wss://")
    assert done.stdout.count("\n") == 1
    assert "one connection" in done.stderr


def test_a_vm_that_is_off_has_none(driver: Driver) -> None:
    (vm,) = make_clones(driver, "desk-1")
    set_power(driver, vm, Power.OFF)
    console = driver.services.console
    assert console is not None
    with pytest.raises(RefusedError, match="desk-1 is off"):
        console.describe_console(vm.id)


# -- Ansible --------------------------------------------------------------------------


def test_the_inventory_tells_addresses_and_groups(
    simulator: Simulator, driver: Driver, tmp_path: Path
) -> None:
    simulator.control("POST", "guest", {"tools_ms": 0, "ip_ms": 0})
    prepare(driver)
    connected(driver).clone(CloneRequest(parent=PARENT, names=("desk-1", "desk-2")))
    while not all(find(driver, name).addresses for name in ("desk-1", "desk-2")):
        pass
    code, document = command.run_json("inventory", env=command.environment(simulator, tmp_path))
    assert code == 0
    assert document["all"]["hosts"] == ["desk-1", "desk-2"]
    assert document["parent_DC0_H0_VM0"]["hosts"] == ["desk-1", "desk-2"]
    assert document["snapshot_DC0_H0_VM0_base"]["hosts"] == ["desk-1", "desk-2"]
    variables = document["_meta"]["hostvars"]["desk-1"]
    assert variables["ansible_host"] == find(driver, "desk-1").addresses[0]
    assert variables["linkedclone_linked"] is True
    assert current(find(driver, PARENT)).name == variables["linkedclone_snapshot"]
    assert result_of(driver, driver.start(do.rename_vm(find(driver, "desk-2"), "desk-3"))) is None
    _, below = command.run_json(
        "inventory", "DC0_H0_VM0", env=command.environment(simulator, tmp_path)
    )
    assert below["all"]["hosts"] == ["desk-1", "desk-3"]
