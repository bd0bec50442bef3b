"""What pools ask of guests on this machine, where no guest answers; and where ports are reached."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm, locked, save_record
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.errors import BusyError, GoneError
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power, SshAddress, Vm
from tests import do
from tests.contract.acts import find, make, read, set_power, step_for
from tests.local.scenes import connect, make_image

SSH = SshAddress(host="127.0.0.1", port=40022)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 << 20))
        yield opened
        for vm in opened.observe().vms:
            open_machine(load_vm(opened.state, vm.id)).stop()


@pytest.fixture
def desk(driver: LocalDriver) -> Vm:
    return make(driver, step_for(driver, find(driver, "golden"), "desk"))


def on(driver: LocalDriver, vm: Vm, *networks: str) -> Vm:
    """Put a VM's cards on these networks."""
    with locked(driver.state, vm.id) as stored:
        machine = stored.record.machine
        cards = tuple(
            CardRecord(mac=f"02:00:00:00:00:{i:02x}", network=network, group="230.0.0.9:9000")
            for i, network in enumerate(networks)
        )
        record = replace(stored.record, machine=replace(machine, cards=cards))
        save_record(driver.state, stored, record)
    return read(driver, vm.id)


def test_a_stopped_guest_runs_nothing(driver: LocalDriver, desk: Vm) -> None:
    with pytest.raises(GoneError, match="desk does not run"):
        driver.guests.run_in_guest(desk.id, ["true"], login=None, seconds=1.0)


def test_without_an_agent_it_is_busy(driver: LocalDriver, desk: Vm) -> None:
    set_power(driver, desk, Power.ON)
    with pytest.raises(BusyError, match="no agent answers in the guest of desk"):
        driver.guests.run_in_guest(desk.id, ["true"], login=None, seconds=1.0)


def test_ssh_is_reached_where_it_is_shown(driver: LocalDriver, desk: Vm) -> None:
    set_power(driver, desk, Power.ON)
    seen = read(driver, desk.id)
    assert seen.ssh is not None
    assert driver.guests.find_places(seen, 22) == ((seen.ssh.host, seen.ssh.port),)


@pytest.mark.parametrize(
    ("networks", "addresses", "port", "found"),
    [
        (("user",), ("10.0.2.15",), 22, ("127.0.0.1", 40022)),
        (("user",), ("10.0.2.15",), 3389, None),
        (("private:lab",), ("10.9.0.4",), 80, None),
        (("bridge:br0",), ("192.0.2.7",), 80, ("192.0.2.7", 80)),
        (("bridge:br0",), (), 80, None),
        (("user", "bridge:br0"), ("10.0.2.15", "192.0.2.7"), 80, ("192.0.2.7", 80)),
        (("user", "bridge:br0"), ("10.0.2.15",), 80, None),
    ],
)
def test_ports_are_reached_where_the_address_is(
    driver: LocalDriver,
    desk: Vm,
    networks: tuple[str, ...],
    addresses: tuple[str, ...],
    port: int,
    found: tuple[str, int] | None,
) -> None:
    seen = on(driver, desk, *networks)
    expected = (found,) if found else ()
    seen = replace(seen, addresses=addresses, ssh=SSH)
    assert driver.guests.find_places(seen, port) == expected


def test_a_deleted_vm_cannot_be_reached(driver: LocalDriver, desk: Vm) -> None:
    (state,) = [driver.wait([driver.start(do.delete_vm(desk))], 30.0)[0]]
    assert state.error is None
    assert driver.guests.find_places(desk, 80) == ()
