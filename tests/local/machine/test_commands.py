"""Commands in a guest that runs: their status comes back, and what goes wrong is told."""

import time

import pytest

from linkedclone.errors import BusyError, GoneError, HypervisorError
from tests.local.machine.conftest import PAIR_GROUP, MakeGuest
from tests.local.machine.guest import RunningGuest

pytestmark = pytest.mark.together(PAIR_GROUP)


@pytest.fixture
def guest(pair: tuple[RunningGuest, RunningGuest]) -> RunningGuest:
    return pair[0]


def test_the_status_comes_back(guest: RunningGuest) -> None:
    assert guest.machine.run_command(("test", "-e", "/run"), 30.0) == 0
    assert guest.machine.run_command(("test", "-e", "/no/such"), 30.0) == 1


def test_arguments_are_not_parsed_by_a_shell(guest: RunningGuest) -> None:
    assert guest.machine.run_command(("sh", "-c", 'exit "$1"', "sh", "7"), 30.0) == 7
    assert guest.machine.run_command(("test", "a b; true", "=", "a b; true"), 30.0) == 0


def test_a_signal_is_reported_like_in_a_shell(guest: RunningGuest) -> None:
    assert guest.machine.run_command(("sh", "-c", "kill -9 $$"), 30.0) == 137


def test_one_that_takes_too_long_is_ended(guest: RunningGuest) -> None:
    with pytest.raises(BusyError, match="sleep took longer than 1 s"):
        guest.machine.run_command(("sleep", "1234"), 1.0)
    deadline = time.monotonic() + 120
    while "sleep 1234" in guest.ssh("ps"):
        assert time.monotonic() < deadline


def test_a_program_that_is_not_there_is_named(guest: RunningGuest) -> None:
    with pytest.raises(HypervisorError, match="there is no program no-such in the guest"):
        guest.machine.run_command(("no-such",), 30.0)


def test_a_stopped_machine_is_reported(make_guest: MakeGuest) -> None:
    with pytest.raises(GoneError, match="does not run"):
        make_guest().machine.run_command(("true",), 1.0)
