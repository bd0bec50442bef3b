"""Hardware in the clone request: what comes out is read back past our driver."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests import command
from tests.contract.rigs.vsphere import VsphereRig
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, opened, prepare
from tests.vsphere.govc import run_govc

GIB = 1 << 30
MAC = "00:50:56:00:00:01"
READS = ("RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx")


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    with opened(simulator) as driver:
        prepare(driver)
    return command.environment(simulator, tmp_path)


@pytest.fixture
def rig(simulator: Simulator, env: dict[str, str]) -> Iterator[VsphereRig]:
    """A look at the simulator that does not go through our driver."""
    del env
    rig = VsphereRig.__new__(VsphereRig)
    rig.simulator = simulator
    with closing(rig):
        yield rig


def clone(env: dict[str, str], *args: str) -> tuple[int, dict[str, Any]]:
    return command.run_json("clone", PARENT, *args, "--power", "off", env=env)


def config_of(rig: VsphereRig, name: str) -> Any:
    found: Any = rig._content.searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
    return found.config


def devices(config: Any, kind: type) -> list[Any]:
    return [device for device in config.hardware.device if isinstance(device, kind)]


def cards(config: Any) -> list[Any]:
    return devices(config, vim.vm.device.VirtualEthernetCard)


def test_everything_comes_with_the_clone_and_nothing_is_reconfigured(
    simulator: Simulator, env: dict[str, str], rig: VsphereRig
) -> None:
    simulator.reset_calls()
    code, report = clone(
        env,
        "desk-1",
        *("--cpus", "4", "--cores-per-socket", "2", "--memory", "2GiB", "--annotation", "hi"),
        *("--cpu-hot-add", "--no-memory-hot-add", "--extra-config", "guestinfo.x=a=b"),
        *("--add-disk", "3GiB", "--add-disk", "1GiB,thick"),
    )
    assert (code, report["clones"][0]["linked"]) == (0, True)
    assert not {"ReconfigVM_Task", "RelocateVM_Task"} & set(simulator.calls())
    config = config_of(rig, "desk-1")
    assert (config.hardware.numCPU, config.hardware.numCoresPerSocket) == (4, 2)
    assert (config.hardware.memoryMB, config.annotation) == (2048, "hi")
    assert (config.cpuHotAddEnabled, config.memoryHotAddEnabled) == (True, False)
    assert {o.key: o.value for o in config.extraConfig}["guestinfo.x"] == "a=b"
    disks = devices(config, vim.vm.device.VirtualDisk)
    assert [disk.capacityInBytes for disk in disks[1:]] == [3 * GIB, GIB]
    assert [disk.backing.thinProvisioned for disk in disks[1:]] == [True, False]
    assert len({(disk.controllerKey, disk.unitNumber) for disk in disks}) == 3
    assert disks[0].backing.parent is not None
    assert all(disk.backing.parent is None for disk in disks[1:])


def test_a_key_without_a_value_is_not_inherited(
    simulator: Simulator, env: dict[str, str], rig: VsphereRig
) -> None:
    run_govc(simulator, "vm.change", "-vm", PARENT, "-e", "guestinfo.secret=parent")
    code, _ = clone(env, "desk-1", "--snapshot", "new:two", "--extra-config", "guestinfo.secret=")
    assert code == 0
    assert "guestinfo.secret" not in {o.key for o in config_of(rig, "desk-1").extraConfig}


def test_cards_are_remapped_added_and_removed(env: dict[str, str], rig: VsphereRig) -> None:
    code, _ = clone(env, "on-dvs", "--network", "DC0_DVPG0")
    assert code == 0
    (card,) = cards(config_of(rig, "on-dvs"))
    port: Any = card.backing.port
    assert port.portgroupKey.startswith("dvportgroup-")
    assert port.switchUuid
    code, _ = clone(env, "on-host", "--network", "0=VM Network", "--add-nic", "DC0_DVPG0")
    assert code == 0
    first, second = cards(config_of(rig, "on-host"))
    assert first.backing.deviceName == "VM Network"
    assert isinstance(second, vim.vm.device.VirtualVmxnet3)
    second_backing: Any = second.backing
    assert second_backing.port.portgroupKey == port.portgroupKey
    code, _ = clone(env, "without", "--remove-nic", "0")
    assert (code, cards(config_of(rig, "without"))) == (0, [])


def test_given_addresses_are_used_and_checked_with_one_more_read(
    simulator: Simulator, env: dict[str, str], rig: VsphereRig
) -> None:
    simulator.reset_calls()
    clone(env, "plain-1", "plain-2")
    plain = reads(simulator)
    simulator.reset_calls()
    code, _ = clone(env, "desk-{1..2}", "--mac", f"desk-2={MAC}")
    assert code == 0
    # One for the inventory, one for the cards in a form that can be sent back.
    assert reads(simulator) <= plain + 2
    (given,) = cards(config_of(rig, "desk-2"))
    assert (given.macAddress, given.addressType) == (MAC, "manual")
    (fresh,) = cards(config_of(rig, "desk-1"))
    assert fresh.macAddress not in {MAC, cards(config_of(rig, "DC0_H0_VM0"))[0].macAddress}


def reads(simulator: Simulator) -> int:
    calls = simulator.calls()
    return sum(calls.get(method, 0) for method in READS)


def test_an_address_that_a_vm_has_is_refused_before_anything_is_sent(
    simulator: Simulator, env: dict[str, str], rig: VsphereRig
) -> None:
    clone(env, "desk-1", "--mac", f"desk-1={MAC}")
    simulator.reset_calls()
    done = command.run("clone", PARENT, "desk-2", "--mac", f"desk-2={MAC}", env=env)
    assert done.returncode == 1
    assert f"{MAC} for desk-2: /DC0/vm/desk-1 has it" in done.stderr
    assert "CloneVM_Task" not in simulator.calls()
    assert clone(env, "desk-1", "--mac", f"desk-1={MAC}")[1]["clones"][0]["status"] == "existing"
    parents = cards(config_of(rig, "DC0_H0_VM1"))[0].macAddress
    done = command.run("clone", PARENT, "desk-3", "--mac", f"desk-3={parents}", env=env)
    assert done.returncode in {1, 2}
    assert parents in done.stderr


REFUSED = {
    "a linked disk cannot grow": (["--disk", "20GiB"], ["promote", "--full", "--add-disk"]),
    "no network card 4": (["--network", "4=VM Network"], ["counted from 0"]),
    "there is no network 'nowhere'": (["--add-nic", "nowhere"], ["VM Network"]),
    "no virtual TPM": (["--keep-tpm"], []),
    "sockets of 3 cores": (["--cores-per-socket", "3"], []),
    "multiple of 4 MiB": (["--memory", "1025KiB"], []),
    "--firmware means nothing to vSphere": (["--firmware", "uefi"], ["of its parent"]),
    "--display means nothing to vSphere": (["--display"], ["screen of its parent"]),
    "linkedclone's own": (["--extra-config", "linkedclone.uuid=x"], []),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_had_is_refused_before_a_snapshot_is_taken(
    simulator: Simulator, env: dict[str, str], words: str
) -> None:
    options, hints = REFUSED[words]
    simulator.reset_calls()
    done = command.run("clone", PARENT, "desk-1", "--snapshot", "new", *options, env=env)
    assert done.returncode in {1, 2}, done.stderr
    assert words in done.stderr
    assert all(hint in done.stderr for hint in hints), done.stderr
    assert not {"CloneVM_Task", "CreateSnapshot_Task"} & set(simulator.calls())


def test_a_full_clone_can_have_a_larger_disk(env: dict[str, str], rig: VsphereRig) -> None:
    code, report = clone(env, "desk-1", "--full", "--disk", "20GiB")
    assert (code, report["clones"][0]["mode"]) == (0, "full")
    (disk,) = devices(config_of(rig, "desk-1"), vim.vm.device.VirtualDisk)
    assert disk.capacityInBytes == 20 * GIB


def test_the_server_check_is_asked_and_its_answer_shown(
    simulator: Simulator, env: dict[str, str]
) -> None:
    args = ("clone", PARENT, "desk-{1..3}", "--dry-run", "--server-check")
    simulator.reset_calls()
    code, document = command.run_json(*args, env=env)
    assert code == 0
    (check,) = document["checks"]
    assert (check["host"], check["errors"]) == ("DC0_H0", [])
    calls = simulator.calls()
    assert calls["CheckClone_Task"] == 1
    assert "CloneVM_Task" not in calls
    done = command.run(*args, env=env)
    assert "server check: the server would make the clones" in done.stderr


def test_what_the_server_check_finds_is_an_exit_code_too(
    simulator: Simulator, env: dict[str, str]
) -> None:
    simulator.fault("CheckClone_Task", "NotEnoughLicenses", message="no licence")
    done = command.run("clone", PARENT, "desk-1", "--dry-run", "--server-check", env=env)
    assert done.returncode == 1
    assert "no licence" in done.stderr


def test_a_server_without_a_checker_says_so_plainly(
    simulator: Simulator, env: dict[str, str]
) -> None:
    checker = {"type": "VirtualMachineProvisioningChecker", "value": "ProvChecker"}
    properties = {"receiver": checker, "method": "CheckClone_Task"}
    simulator.fault("CheckClone_Task", "MethodNotFound", at="call", properties=properties)
    done = command.run("clone", PARENT, "desk-1", "--dry-run", "--server-check", env=env)
    assert done.returncode == 1
    assert "this endpoint has no provisioning checker for clones" in done.stderr
    assert "Traceback" not in done.stderr
