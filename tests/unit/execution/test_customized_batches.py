"""Batches of clones that are customized, on the hypervisor in memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import CustomizationError, EndpointError, InputError
from linkedclone.model.customization import (
    Addresses,
    Customization,
    GuestOs,
    LinuxGuest,
    SecretSource,
)
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.report import CloneReport, Status
from linkedclone.model.request import CloneRequest, Placement
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import CustomizationStatus, Power, Vm
from tests.memory import MemoryHypervisor

CANARY = "c4nary-pw"
FIXED = Customization(
    os=GuestOs.LINUX,
    host_name="x-{name}",
    addresses=(Addresses(range="10.0.0.10-10.0.0.40/24", gateway="10.0.0.1"),),
)
REQUEST = CloneRequest(parent="gold", names=("desk-{1..3}",), customization=FIXED)


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    gold = hypervisor.add_vm("gold")
    hypervisor.add_snapshot(gold, "base")
    return hypervisor


def connect(lab: MemoryHypervisor, log: Path | None = None) -> Connection:
    return Connection(MemoryDriver(lab, "memory:"), address="memory:", log_folder=log)


def seen(lab: MemoryHypervisor, name: str) -> Vm:
    (found,) = (vm for vm in lab.vms if vm.name == name)
    return found


def statuses(report: CloneReport) -> dict[str, Status]:
    return {clone.name: clone.status for clone in report.clones}


def test_each_guest_has_its_own_identity(lab: MemoryHypervisor) -> None:
    report = connect(lab).clone(REQUEST)
    assert report.exit_code == 0
    for number in (1, 2, 3):
        vm = seen(lab, f"desk-{number}")
        assert vm.customization is CustomizationStatus.SUCCEEDED
        assert (vm.host_name, vm.addresses) == (f"x-desk-{number}", (f"10.0.0.{9 + number}",))
        assert vm.mark
        assert vm.mark.addresses == vm.addresses
    assert lab.calls["observe"] == 2  # once to give addresses out, once to look whether they clash


def test_without_addresses_of_ours_the_inventory_is_not_read(lab: MemoryHypervisor) -> None:
    wanted = replace(FIXED, addresses=(Addresses(dhcp=True),))
    assert connect(lab).clone(replace(REQUEST, customization=wanted)).exit_code == 0
    assert lab.calls["observe"] == 0


def test_a_guest_is_customized_only_once_it_runs(lab: MemoryHypervisor) -> None:
    connect(lab).clone(replace(REQUEST, power_on=False))
    vm = seen(lab, "desk-1")
    assert (vm.customization, vm.host_name, vm.addresses) == (CustomizationStatus.PENDING, "", ())
    with connect(lab) as here:
        here.vms.set_power(["desk-1"], Power.ON)
    assert seen(lab, "desk-1").host_name == "x-desk-1"


def test_a_second_batch_leaves_the_addresses_of_the_first_alone(lab: MemoryHypervisor) -> None:
    connect(lab).clone(replace(REQUEST, names=("desk-{2..3}",), power_on=False))
    report = connect(lab).clone(replace(REQUEST, names=("desk-{1..4}",)))
    assert statuses(report)["desk-2"] is Status.EXISTING
    given = {name: seen(lab, name).mark for name in ("desk-1", "desk-2", "desk-3", "desk-4")}
    assert {name: mark.addresses for name, mark in given.items() if mark} == {
        "desk-1": ("10.0.0.12",),
        "desk-2": ("10.0.0.10",),
        "desk-3": ("10.0.0.11",),
        "desk-4": ("10.0.0.13",),
    }


def test_a_hundred_clones_have_a_hundred_addresses(lab: MemoryHypervisor) -> None:
    wanted = replace(FIXED, addresses=(Addresses(range="10.0.0.0/24", gateway="10.0.0.1"),))
    request = replace(REQUEST, names=("desk-{001..100}",), customization=wanted)
    assert connect(lab).clone(request).exit_code == 0
    found = [vm.addresses for vm in lab.vms if vm.name.startswith("desk-")]
    assert len(found) == len(set(found)) == 100


def test_too_few_addresses_stop_the_batch_before_it_begins(lab: MemoryHypervisor) -> None:
    with pytest.raises(InputError, match="40 addresses are needed"):
        connect(lab).clone(replace(REQUEST, names=("desk-{01..40}",)))
    assert {vm.name for vm in lab.vms} == {"gold"}


def test_bad_host_names_stop_the_batch_before_it_begins(lab: MemoryHypervisor) -> None:
    windows = Customization(os=GuestOs.WINDOWS)
    names = ("desktop-finance-{1..2}",)
    with pytest.raises(InputError, match="2 clones would have"):
        connect(lab).clone(replace(REQUEST, names=names, customization=windows))
    assert lab.calls["find_vms"] == 0


def test_settings_for_another_number_of_cards_are_refused(lab: MemoryHypervisor) -> None:
    card = Addresses(dhcp=True)
    wanted = replace(FIXED, addresses=(card, card))
    with pytest.raises(InputError, match="network cards: 1"):
        connect(lab).clone(replace(REQUEST, customization=wanted))
    assert lab.calls["CreateClone"] == 0


def test_the_stored_specification_is_the_base(lab: MemoryHypervisor) -> None:
    wanted = replace(FIXED, stored="linux")
    prepared = connect(lab).propose_clone(replace(REQUEST, customization=wanted)).plan
    assert prepared.scene.target.customization_spec == "linux"
    both = replace(REQUEST, customization=wanted, customization_spec="other")
    with pytest.raises(InputError, match="'other' on the command line and 'linux'"):
        connect(lab).propose_clone(both)
    same = replace(REQUEST, customization=wanted, customization_spec="linux")
    assert connect(lab).propose_clone(same).plan.scene.target.customization_spec == "linux"


def test_a_program_need_not_look_passwords_up(
    lab: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SecretSource(env="GUEST_PASSWORD")
    wanted = replace(FIXED, linux=LinuxGuest(password=source))
    monkeypatch.delenv("GUEST_PASSWORD", raising=False)
    with pytest.raises(InputError, match="cannot be read"):
        connect(lab).propose_clone(replace(REQUEST, customization=wanted))
    monkeypatch.setenv("GUEST_PASSWORD", CANARY)
    step = connect(lab).propose_clone(replace(REQUEST, customization=wanted)).plan.creates[0]
    assert step.guest
    assert step.guest.reveal(source) == CANARY
    given = replace(REQUEST, customization=wanted, secrets=((source, Secret("other")),))
    step = connect(lab).propose_clone(given).plan.creates[0]
    assert step.guest
    assert step.guest.reveal(source) == "other"


def test_nothing_that_is_shown_holds_a_password(
    lab: MemoryHypervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUEST_PASSWORD", CANARY)
    wanted = replace(FIXED, linux=LinuxGuest(password=SecretSource(env="GUEST_PASSWORD")))
    request = replace(REQUEST, customization=wanted)
    here = connect(lab, tmp_path)
    proposal = here.propose_clone(request)
    lab.fail("customize", "desk-1", at="submit", error=CustomizationError(f"sent {CANARY}"))
    lab.fail("clone", "desk-2", error=CustomizationError("no", details=f"sent {CANARY}"))
    report = proposal.carry_out()
    assert len(report.failed) == 2
    shown = [
        repr(proposal.plan),
        repr(here.preview(proposal.plan)),
        str(here.planned(proposal.plan).document()),
        str(proposal.plan.document()),
        str(proposal.plan.parts),
    ]
    shown.append(str(report.document()))
    assert "sent ********" in shown[-1]
    shown += [file.read_text() for file in tmp_path.glob("*.jsonl")]
    assert "sent ********" in shown[-1]
    assert not [text for text in shown if "c4nary" in text]


def test_the_instance_id_goes_with_the_uuid_of_a_folder_made_only_now(
    lab: MemoryHypervisor,
) -> None:
    placement = Placement(folder="Desktops", create_folder=True)
    report = connect(lab).clone(replace(REQUEST, placement=placement))
    assert report.exit_code == 0
    with lab.access("test") as estate:
        told = [machine for machine in estate.machines.values() if machine.inside]
    guests = [machine.inside.wanted for machine in told if machine.inside]
    assert [guest and guest.instance_id for guest in guests] == [one.uuid for one in told]
    assert len(guests) == 3
    again = connect(lab).clone(replace(REQUEST, placement=placement))
    assert set(statuses(again).values()) == {Status.EXISTING}


def test_a_customization_that_is_refused_fails_its_clone(lab: MemoryHypervisor) -> None:
    lab.fail("customize", "desk-2", at="submit")
    report = connect(lab).clone(REQUEST)
    (failed,) = report.failed
    assert (failed.name, failed.error and failed.error.stage) == ("desk-2", "customize")


def test_a_customization_that_fails_inside_is_seen(lab: MemoryHypervisor) -> None:
    lab.fail("customize", "desk-2", error=CustomizationError("sysprep gave up"))
    connect(lab).clone(REQUEST)
    vm = seen(lab, "desk-2")
    assert (vm.customization, vm.customization_error) == (
        CustomizationStatus.FAILED,
        "sysprep gave up",
    )
    assert (vm.host_name, vm.tools_running) == ("", True)


# -- two commands at once -------------------------------------------------------------


def interfere(lab: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch, *, first: bool) -> None:
    """Let another command make the clone ``other`` with our address, just before or after ours."""
    real = MemoryDriver.start
    done: list[str] = []

    def create(self: MemoryDriver, step: JobStep) -> Job:
        if not isinstance(step, CreateClone):
            return real(self, step)
        if first and not done:
            done.append("other")
            connect(lab).clone(replace(REQUEST, names=("other",)))
        made = real(self, step)
        if not first and not done:
            done.append("other")
            # It looked before ours was there, and makes its own after it.
            self.wait([made], 1.0)
            add_with(lab, "other", "10.0.0.10")
        return made

    monkeypatch.setattr(MemoryDriver, "start", create)


def add_with(lab: MemoryHypervisor, name: str, address: str) -> None:
    gold = seen(lab, "gold")
    other = lab.add_clone(gold.id, gold.snapshots[0].id, name, owner="linkedclone")
    mark = seen(lab, name).mark
    assert mark
    lab.set_mark(other, replace(mark, addresses=(address,)))


def test_of_two_commands_the_one_whose_clone_was_made_later_gives_way(
    lab: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfere(lab, monkeypatch, first=True)
    report = connect(lab).clone(replace(REQUEST, names=("mine",)))
    (failed,) = report.failed
    assert failed.error
    assert failed.error.stage == "customize"
    assert failed.error.brief == "mine was given 10.0.0.10, and /vm/other has it, too"
    assert "``delete`` mine" in failed.error.hint
    assert seen(lab, "mine").power is Power.ON  # kept
    again = connect(lab).clone(replace(REQUEST, names=("mine",)))
    assert again.exit_code == 1


def test_the_vm_with_the_same_address_is_mentioned_in_a_note(
    lab: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfere(lab, monkeypatch, first=False)
    report = connect(lab).clone(replace(REQUEST, names=("mine",)))
    assert report.exit_code == 0
    assert report.notes == (
        "mine was given 10.0.0.10, and /vm/other has it, too; change one of the two",
    )


def test_a_failed_look_is_reported_and_fails_nothing(
    lab: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = connect(lab)
    proposal = here.propose_clone(REQUEST)

    def fail(*_: object, **__: object) -> None:
        raise EndpointError("no answer")

    monkeypatch.setattr(MemoryDriver, "observe", fail)
    report = proposal.carry_out()
    assert report.exit_code == 0
    assert report.notes == (
        "could not check whether another VM has one of the addresses: no answer",
    )
