"""Commands inside guests over real SOAP: found on the guest's path, waited for, told apart."""

import pytest

from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    HypervisorError,
    LinkedCloneError,
    PermissionDeniedError,
    RefusedError,
)
from linkedclone.model.access import GuestLogin
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Power
from tests.contract.acts import find, set_power
from tests.simulator import Simulator

GUEST = "/DC0/vm/DC0_H0_VM0"
LOGIN = GuestLogin(user="probe", password=Secret("guest-Pass"))


@pytest.fixture
def guest(simulator: Simulator, driver: VsphereDriver) -> VmId:
    """A running VM whose Tools answer, with a user and a few programs."""
    simulator.control("POST", "guest", {"tools_ms": 0, "ip_ms": 0})
    simulator.control("POST", "guest/login", {"user": "probe", "password": "guest-Pass"})
    for arguments, exit_status in (("test -e /run/ready", 0), ("who -q", 1), ("missing", 127)):
        told = {"program": "/usr/bin/env", "arguments": arguments, "exit": exit_status}
        simulator.control("POST", "guest/command", told)
    vm = find(driver, GUEST)
    set_power(driver, vm, Power.OFF)
    set_power(driver, vm, Power.ON)
    while not driver.observe_vms([vm.id])[0].tools_running:
        pass
    return vm.id


def run(
    driver: VsphereDriver,
    vm: VmId,
    *command: str,
    login: GuestLogin | None = LOGIN,
    seconds: float = 5.0,
) -> int:
    guests = driver.services.guests
    assert guests is not None
    return guests.run_in_guest(vm, command, login=login, seconds=seconds)


def test_the_status_comes_back(driver: VsphereDriver, guest: VmId) -> None:
    assert run(driver, guest, "test", "-e", "/run/ready") == 0
    assert run(driver, guest, "who", "-q") == 1


def test_a_second_command_costs_two_calls(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    run(driver, guest, "who", "-q")
    simulator.reset_calls()
    run(driver, guest, "who", "-q")
    assert simulator.calls() == {"StartProgramInGuest": 1, "ListProcessesInGuest": 1}


def test_a_long_command_is_waited_for(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    told = {"arguments": "sleep 1", "exit": 7, "after_ms": 120}
    simulator.control("POST", "guest/command", told)
    assert run(driver, guest, "sleep", "1") == 7
    assert simulator.calls()["ListProcessesInGuest"] > 1


def test_one_that_takes_too_long_is_ended(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    simulator.control("POST", "guest/command", {"arguments": "sleep 9", "after_ms": -1})
    with pytest.raises(BusyError, match=r"took longer than 0\.2 s"):
        run(driver, guest, "sleep", "9", seconds=0.2)
    assert simulator.calls()["TerminateProcessInGuest"] == 1


@pytest.mark.parametrize("program", ["missing", "/no/such"])
def test_a_program_that_is_not_there_is_named(
    driver: VsphereDriver, simulator: Simulator, guest: VmId, program: str
) -> None:
    simulator.control("POST", "guest/command", {"arguments": "/no/such", "exit": 127})
    with pytest.raises(HypervisorError, match=f"there is no program {program} in the guest"):
        run(driver, guest, program)


def test_no_shell_gets_at_the_arguments(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    told = {"arguments": "test -e '/run/a b; rm -rf /'", "exit": 3}
    simulator.control("POST", "guest/command", told)
    assert run(driver, guest, "test", "-e", "/run/a b; rm -rf /") == 3


@pytest.mark.parametrize(
    ("login", "error", "text"),
    [
        (
            GuestLogin(user="probe", password=Secret("wrong-guest-Pass")),
            AuthenticationError,
            "does not let that user in",
        ),
        (None, RefusedError, "a user name is needed to run who"),
    ],
)
def test_a_refused_login_is_reported(
    driver: VsphereDriver,
    guest: VmId,
    login: GuestLogin | None,
    error: type[LinkedCloneError],
    text: str,
) -> None:
    with pytest.raises(error, match=text) as caught:
        run(driver, guest, "who", "-q", login=login)
    told = f"{caught.value.brief} {caught.value.details} {caught.value.hint}"
    assert "guest-Pass" not in told


def test_a_guest_whose_tools_do_not_run_is_busy(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    simulator.control("POST", "guest", {})
    vm = find(driver, GUEST)
    set_power(driver, vm, Power.OFF)
    with pytest.raises(BusyError, match="it does not run"):
        run(driver, guest, "who", "-q")
    set_power(driver, vm, Power.ON)
    with pytest.raises(BusyError, match="Tools do not answer"):
        run(driver, guest, "who", "-q")


def test_a_missing_privilege_is_named(
    driver: VsphereDriver, simulator: Simulator, guest: VmId
) -> None:
    simulator.fault(
        "StartProgramInGuest",
        "NoPermission",
        at="call",
        properties={"privilegeId": "VirtualMachine.GuestOperations.Execute"},
    )
    with pytest.raises(PermissionDeniedError, match=r"GuestOperations\.Execute"):
        run(driver, guest, "who", "-q")


def test_a_windows_guest_asks_cmd(
    driver: VsphereDriver, simulator: Simulator, guest: VmId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "linkedclone.drivers.vsphere.guest.commands.GuestCommandRunner._find_family",
        lambda *_: "windowsGuest",
    )
    told = {
        "program": r"C:\Windows\System32\cmd.exe",
        "arguments": '/s /c "query "no user""',
        "exit": 1,
    }
    simulator.control("POST", "guest/command", told)
    assert run(driver, guest, "query", "no user") == 1
