"""Golden images are checked, and mended of what is asked for."""

from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import command
from tests.contract.acts import find, result_of, set_power
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, prepare

ISO = "[LocalDS_0] iso/setup.iso"


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


def check(env: dict[str, str], *options: str) -> tuple[int, dict[str, tuple[str, str]], list[str]]:
    """Run ``prepare``; return its exit code, verdict and text by check, and what was mended."""
    code, document = command.run_json("prepare", PARENT, *options, env=env)
    findings = {f["check"]: (f["verdict"], f["text"]) for f in document["findings"]}
    return code, findings, [f"{one['action']} {one['status']}" for one in document["mended"]]


def native(driver: Driver) -> Any:
    assert isinstance(driver, VsphereDriver)
    return driver._session.managed("VirtualMachine", find(driver, PARENT).id)


def reconfigure(driver: Driver, spec: Any) -> None:
    assert isinstance(driver, VsphereDriver)
    vm = VmId(find(driver, PARENT).id)
    result_of(driver, driver._jobs.start("it", "mark", native(driver).ReconfigVM_Task, spec=spec))
    assert driver.observe_vms([vm])


def device(driver: Driver, kind: type) -> Any:
    (found,) = [one for one in native(driver).config.hardware.device if isinstance(one, kind)]
    return found


def edit(driver: Driver, changed: Any) -> None:
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=changed)
    reconfigure(driver, vim.vm.ConfigSpec(deviceChange=[change]))


def load_iso(driver: Driver) -> None:
    drive = device(driver, vim.vm.device.VirtualCdrom)
    drive.backing = vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName=ISO)
    drive.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=True, connected=True, allowGuestControl=True
    )
    edit(driver, drive)


def test_a_parent_without_a_snapshot_blocks(env: dict[str, str]) -> None:
    code, findings, mended = check(env)
    assert code == 1
    assert findings["snapshot"] == ("failed", "it has no snapshot for linked clones")
    assert mended == []


def test_a_parent_that_is_in_order_passes_and_is_not_touched(
    simulator: Simulator, env: dict[str, str], driver: Driver
) -> None:
    prepare(driver)
    simulator.reset_calls()
    code, findings, _ = check(env)
    assert code == 0
    assert findings["snapshot"][0] == "ok"
    assert findings["power"] == ("ok", "off")
    assert findings["chain depth"] == ("ok", "chains of its clones are 2 files deep")
    assert findings["kind"] == ("ok", "a VM")
    assert findings["network cards"][0] == "ok"
    assert not {m for m in simulator.calls() if m.endswith("_Task")}


def test_everything_is_mended_and_the_snapshot_holds_it(
    simulator: Simulator, env: dict[str, str], driver: Driver
) -> None:
    set_power(driver, find(driver, PARENT), Power.ON)
    load_iso(driver)
    code, findings, _ = check(env)
    assert (code, findings["power"][0], findings["media"][0]) == (1, "warning", "warning")
    code, findings, mended = check(
        env, "--power-off", "--disconnect-media", "--snapshot", "2026-11"
    )
    assert code == 0
    assert mended == ["power-off done", "disconnect-media done", "snapshot done"]
    assert findings["media"] == ("ok", "no CD or floppy is connected")
    assert findings["power"] == ("ok", "off")
    done = command.run("clone", PARENT, "desk-1", env=env)
    assert done.returncode == 0, done.stderr
    assert ISO not in str(native_of(driver, "desk-1").config.hardware.device)


def native_of(driver: Driver, name: str) -> Any:
    assert isinstance(driver, VsphereDriver)
    return driver._session.managed("VirtualMachine", find(driver, name).id)


def test_mending_twice_takes_one_snapshot(env: dict[str, str], driver: Driver) -> None:
    check(env, "--snapshot", "2026-11")
    code, _, mended = check(env, "--snapshot", "2026-11")
    assert (code, mended) == (0, [])
    assert find(driver, PARENT).owner == "linkedclone"
    assert command.run("start", PARENT, env=env).returncode == 0
    assert [one.name for one in find(driver, PARENT).snapshots] == ["2026-11"]


def test_an_older_snapshot_of_that_name_is_refused(env: dict[str, str]) -> None:
    check(env, "--snapshot", "2026-11")
    check(env, "--snapshot", "2026-12")
    done = command.run("prepare", PARENT, "--snapshot", "2026-11", env=env)
    assert done.returncode == 1
    assert "another name" in done.stderr


def test_media_removed_after_the_snapshot_are_reported(env: dict[str, str], driver: Driver) -> None:
    load_iso(driver)
    prepare(driver)
    done = command.run("prepare", PARENT, "--disconnect-media", env=env)
    assert done.returncode == 0, done.stderr
    assert "older than what was mended" in done.stdout


def test_an_unfixable_finding_is_reported_and_stops_the_command(
    simulator: Simulator, env: dict[str, str], driver: Driver
) -> None:
    load_iso(driver)
    simulator.fault("ReconfigVM_Task", "SystemError", count=-1, message="no")
    code, _, mended = check(env, "--disconnect-media", "--snapshot", "2026-11")
    assert code == 1
    assert mended == ["disconnect-media failed"]
    assert find(driver, PARENT).snapshots == ()


def test_a_template_is_known_and_not_snapshotted(simulator: Simulator, env: dict[str, str]) -> None:
    simulator.mark_template(PARENT.rpartition("/")[2])
    code, findings, _ = check(env)
    assert code == 1
    assert findings["kind"][1].startswith("a template")
    done = command.run("prepare", PARENT, "--snapshot", "2026-11", env=env)
    assert done.returncode == 1
    assert "template" in done.stderr


def test_a_manual_mac_and_an_independent_disk_are_warned_of(
    env: dict[str, str], driver: Driver
) -> None:
    card = device(driver, vim.vm.device.VirtualEthernetCard)
    card.addressType, card.macAddress = "manual", "00:50:56:00:00:01"
    edit(driver, card)
    disk = device(driver, vim.vm.device.VirtualDisk)
    disk.backing.diskMode = "independent_persistent"
    edit(driver, disk)
    prepare(driver)
    _, findings, _ = check(env)
    assert findings["network cards"][0] == "warning"
    assert "set by hand" in findings["network cards"][1]
    assert findings["disks"] == ("failed", "it has no disk that a clone could depend on")


def test_a_golden_image_that_was_prepared_is_ours_and_its_clones_do_not_inherit_that(
    env: dict[str, str], driver: Driver
) -> None:
    """Item 21: the mark counts only with its own UUID, and clones guard the image all the same."""
    code, findings, _ = check(env, "--snapshot", "2026-11")
    assert (code, findings["owner"][0]) == (0, "ok")
    copied = command.run("clone", PARENT, "desk-1", env=env)
    assert copied.returncode == 0, copied.stderr
    mark = find(driver, "desk-1").valid_mark
    assert mark is not None
    assert mark.parent_uuid == find(driver, PARENT).uuid
    refused = command.run("delete", PARENT, "--yes", env=env)
    assert refused.returncode == 1
    assert "desk-1" in refused.stderr
    assert "--force" not in refused.stderr
