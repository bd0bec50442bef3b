"""Proposals: what was proposed is what is done, or nothing is."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.app.proposal import Proposal
from linkedclone.drivers.features import ALL_STEPS
from linkedclone.drivers.memory.demo import make_scene
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import InterruptedByUserError, StaleProposalError, UnsupportedError
from linkedclone.execution.outage import Cancellation
from linkedclone.model.customization import CloudInit, Customization, GuestOs
from linkedclone.model.garbage import WasteKind
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import DeleteVm, Plan, PromoteVm, SetPower, Step, WriteMark
from linkedclone.model.report import ActionReport, Status
from linkedclone.model.request import CloneRequest, Deletion, Mending, Scan, SnapshotChoice
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark, PoolState, Power, Vm
from tests.memory import MemoryHypervisor
from tests.unit.building import layer

MARK = Mark(owner="linkedclone", uuid="u-1", run="r-1", version="0.2.0", pool=PoolState(slot="a"))
STOP = SetPower(vm=VmId("vm-1"), vm_name="a", power=Power.OFF)
DELETE = DeleteVm(
    vm=VmId("vm-1"), vm_name="a", vm_uuid="u-1", takes_base=(layer("x/x.vmdk"),), seen=MARK
)
PROMOTE = PromoteVm(vm=VmId("vm-2"), vm_name="ä", vm_uuid="u-2", copy_bytes=1 << 30)
PLAN = Plan(stages=((STOP, PROMOTE), (DELETE,)), notes=("datastore nfs1 was not read", "two"))


def token(plan: Plan, instance: str = "vc-1") -> str:
    return Proposal(lambda: plan, lambda *_: None, instance=instance).token


def test_a_token_is_the_same_in_every_process_and_on_every_python() -> None:
    assert token(PLAN) == "8473944e58e3f2c1ed9b58ba4bb8d61b147fa3d5ffb2f1f1ea4dedecd86e034c"


@pytest.mark.parametrize(
    "plan",
    [
        *(Plan(stages=(order,), notes=PLAN.notes) for order in permutations(PLAN.steps)),
        replace(PLAN, notes=PLAN.notes[::-1]),
        replace(PLAN, routine=("no datastore was scanned",)),
        replace(PLAN, stages=((STOP, replace(PROMOTE, copy_bytes=7)), (DELETE,))),
        replace(PLAN, stages=((STOP, PROMOTE), (replace(DELETE, seen=replace(MARK, run="r-2")),))),
    ],
)
def test_a_token_is_not_changed_by_order_measurements_and_runs(plan: Plan) -> None:
    assert token(plan) == token(PLAN)


@pytest.mark.parametrize(
    "step",
    [
        replace(DELETE, vm=VmId("vm-7")),
        replace(DELETE, vm_uuid="u-7"),
        replace(DELETE, takes_base=()),
        replace(DELETE, seen=None),
        replace(DELETE, seen=replace(MARK, pool=PoolState(slot="a", hold="Anne"))),
        STOP,
        WriteMark(vm=DELETE.vm, vm_name="a", mark=MARK, seen=None),
    ],
)
def test_a_token_is_changed_by_whatever_else_is_done(step: Step) -> None:
    assert token(replace(PLAN, stages=((STOP, PROMOTE), (step,)))) != token(PLAN)


def test_a_token_covers_the_endpoint_and_the_shown_text() -> None:
    others = {token(PLAN, "vc-2"), token(replace(PLAN, notes=())), token(PLAN)}
    assert len(others) == 3


def test_a_plan_has_a_document() -> None:
    document = json.loads(json.dumps(PLAN.document()))
    assert [[step["action"] for step in stage] for stage in document["stages"]] == [
        ["power-off", "promote"],
        ["delete"],
    ]
    assert document["stages"][0][0] == {
        "action": "power-off",
        "name": "a",
        "vm": "vm-1",
        "power": "off",
    }
    assert document["notes"] == list(PLAN.notes)


# -- at an endpoint ---------------------------------------------------------------------


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    hypervisor.add_snapshot(hypervisor.add_vm("gold"), "base")
    connect(hypervisor).clone(CloneRequest(parent="gold", names=("desk-{1..3}",), power_on=False))
    return hypervisor


def connect(lab: MemoryHypervisor) -> Connection:
    return Connection(MemoryDriver(lab, "memory:"), address="memory:")


def names(lab: MemoryHypervisor) -> set[str]:
    return {vm.name for vm in lab.vms}


def test_a_proposal_changes_nothing_before_it_is_applied(lab: MemoryHypervisor) -> None:
    before = lab.vms
    proposal = connect(lab).vms.propose_delete(["gold"], Deletion(force=True, cascade=True))
    assert {step.about for step in proposal.plan.steps} == names(lab)
    assert lab.vms == before
    assert {r.status for r in proposal.apply().results} == {Status.DONE}
    assert names(lab) == set()


PROPOSALS: dict[str, Callable[[Connection], Proposal[Plan, ActionReport]]] = {
    "start": lambda here: here.vms.propose_set_power(["desk-1"], Power.ON),
    "stop": lambda here: here.vms.propose_set_power(["desk-2"], Power.OFF),
    "restart": lambda here: here.vms.propose_restart(["desk-2"]),
    "rename": lambda here: here.vms.propose_rename("desk-1", "web"),
    "adopt": lambda here: here.vms.propose_adopt(["foreign"]),
    "grow": lambda here: here.disks.propose_grow("bare", 1 << 50, force=True),
    "snapshot": lambda here: here.snapshots.propose_create("desk-1", "new"),
    "delete a snapshot": lambda here: here.snapshots.propose_delete("desk-2", "own"),
    "revert": lambda here: here.snapshots.propose_revert("desk-2", "own"),
    "promote": lambda here: here.disks.propose_promote(["desk-1"]),
}


@pytest.mark.parametrize("verb", PROPOSALS)
def test_every_change_is_proposed_and_can_be_cancelled(lab: MemoryHypervisor, verb: str) -> None:
    here = connect(lab)
    here.vms.set_power(["desk-2"], Power.ON)
    here.snapshots.create("desk-2", "own")
    (desk,) = here.vms.find(["desk-3"])
    lab.set_mark(desk.id, None)
    lab.rename(desk.id, "foreign")
    lab.add_vm("bare")
    before = lab.vms
    proposal = PROPOSALS[verb](here)
    assert lab.vms == before
    assert proposal.token == PROPOSALS[verb](connect(lab)).token
    cancel = Cancellation()
    cancel.cancel()
    with suppress(InterruptedByUserError):
        assert proposal.apply(cancel=cancel).interrupted
    assert lab.vms == before
    assert {result.status for result in proposal.apply().results} == {Status.DONE}


def test_a_request_and_a_token_are_all_that_a_front_end_has_to_keep(lab: MemoryHypervisor) -> None:
    shown = connect(lab).vms.propose_delete(["desk-2", "desk-1"]).token
    proposal = connect(lab).vms.propose_delete(["desk-1", "desk-2"])
    assert proposal.apply(token=shown).exit_code == 0
    assert names(lab) == {"gold", "desk-3"}


def test_a_token_does_not_depend_on_the_order_in_which_an_endpoint_answers() -> None:
    """Of a family with clones of clones, whose base belongs to no VM any more."""

    class Backwards(MemoryDriver):
        def observe(self, **how: Any) -> Inventory:
            inventory = super().observe(**how)
            return replace(inventory, vms=inventory.vms[::-1])

        def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
            return super().find_vms(refs[::-1])

    lab, tokens = make_scene("family"), set()
    for kind in (MemoryDriver, Backwards):
        here = Connection(kind(lab, "memory:"), address="memory:")
        everything = [vm.vm.uuid for vm in here.vms.list()]
        how = Deletion(force=True, cascade=True)
        tokens.add(here.vms.propose_delete(everything, how).token)
    assert len(tokens) == 1


def test_steps_that_were_not_agreed_to_are_not_run(lab: MemoryHypervisor) -> None:
    shown = connect(lab).vms.propose_delete(["desk-1"]).token
    with pytest.raises(StaleProposalError):
        connect(lab).vms.propose_delete(["desk-1", "desk-2"]).apply(token=shown)
    assert names(lab) == {"gold", "desk-1", "desk-2", "desk-3"}


@pytest.mark.parametrize("given", ["", "0", "0" * 64])
def test_a_token_that_is_none_agrees_to_nothing(lab: MemoryHypervisor, given: str) -> None:
    with pytest.raises(StaleProposalError):
        connect(lab).vms.propose_delete(["desk-1"]).apply(token=given)
    assert "desk-1" in names(lab)


def test_a_stale_proposal_says_what_changed(lab: MemoryHypervisor) -> None:
    here = connect(lab)
    proposal = here.vms.propose_delete(["gold"], Deletion(force=True, cascade=True))
    here.vms.delete(["desk-3"])
    here.clone(CloneRequest(parent="gold", names=("desk-4",), power_on=False))
    (two,) = here.vms.find(["desk-2"])
    lab.remove(two.id)
    here.clone(CloneRequest(parent="gold", names=("desk-2",), power_on=False))
    with pytest.raises(StaleProposalError) as caught:
        proposal.apply()
    assert caught.value.details.splitlines() == [
        "no longer: delete desk-3",
        "new: delete desk-4",
        "not as before: delete desk-2",
    ]
    assert names(lab) == {"gold", "desk-1", "desk-2", "desk-4"}


def test_unsupported_requests_are_refused_before_the_confirmation(
    lab: MemoryHypervisor,
) -> None:
    driver = MemoryDriver(lab, "memory:")
    driver.features = replace(driver.features, steps=ALL_STEPS - {PromoteVm})
    with pytest.raises(UnsupportedError):
        Connection(driver, address="memory:").disks.propose_promote(["desk-1"])


@pytest.mark.parametrize(("verb", "status"), [("delete", Status.DONE), ("promote", Status.FAILED)])
def test_missing_vms_are_in_the_plan_and_in_the_report(
    lab: MemoryHypervisor, verb: str, status: Status
) -> None:
    here = connect(lab)
    propose = here.vms.propose_delete if verb == "delete" else here.disks.propose_promote
    proposal = propose(["desk-1", "gone"])
    assert proposal.plan.absent == ("gone",)
    assert {r.name: r.status for r in proposal.apply().results} == {
        "desk-1": Status.DONE,
        "gone": status,
    }


@pytest.mark.parametrize("snapshot", [SnapshotChoice(), SnapshotChoice(kind="new")])
def test_clones_are_proposed_whatever_the_time_and_the_run(
    lab: MemoryHypervisor, snapshot: SnapshotChoice
) -> None:
    request = CloneRequest(parent="gold", names=("web-{1..2}",), snapshot=snapshot)
    first, second = (connect(lab).propose_clone(request) for _ in range(2))
    assert first.plan.scene.run.id != second.plan.scene.run.id
    assert first.token == second.token
    assert "web-1" not in names(lab)
    report = second.apply(token=first.token)
    assert [clone.status for clone in report.clones] == [Status.CREATED, Status.CREATED]
    with pytest.raises(StaleProposalError) as caught:
        first.apply()
    assert "no longer: clone web-1" in caught.value.details


def test_carrying_a_proposal_out_again_does_not_undo_the_clones_it_made(
    lab: MemoryHypervisor,
) -> None:
    choice = SnapshotChoice(kind="new", name="now")
    request = CloneRequest(parent="gold", names=("web-{1..2}",), snapshot=choice)
    proposal = connect(lab).propose_clone(request)
    again = proposal.then(lambda report: report)
    assert proposal.carry_out().exit_code == 0
    before = lab.vms
    for one in (proposal, again):
        with pytest.raises(StaleProposalError):
            one.carry_out()
    assert lab.vms == before


def test_guest_settings_are_covered_but_not_in_the_document(lab: MemoryHypervisor) -> None:
    data = "#cloud-config\npackages: [{}]\n"
    told = [
        connect(lab).propose_clone(
            CloneRequest(
                parent="gold",
                names=("web-1",),
                customization=Customization(
                    os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(user_data=data.format(package))
                ),
            )
        )
        for package in ("emacs", "vim")
    ]
    assert told[0].token != told[1].token
    assert "emacs" not in json.dumps(told[0].plan.document())


def test_what_mends_a_golden_image_is_proposed_in_its_order(lab: MemoryHypervisor) -> None:
    bare = lab.add_vm("bare")
    connect(lab).vms.set_power(["bare"], Power.ON, force=True)
    mending = Mending(power_off=True, disconnect_media=True, snapshot="2026-11")
    proposal = connect(lab).parents.propose_prepare("bare", mending)
    actions = [step.action for step in proposal.plan.steps]
    assert actions == ["power-off", "disconnect-media", "mark", "snapshot"]
    assert connect(lab).snapshots.list("bare") == ()
    report = proposal.apply()
    assert [one.action for one in report.mended] == ["power-off", "disconnect-media", "snapshot"]
    assert connect(lab).vms.show("bare").vm.id == bare
    with pytest.raises(StaleProposalError):
        proposal.apply()


def test_an_item_that_is_no_longer_waste_is_not_removed(lab: MemoryHypervisor) -> None:
    (gold,) = connect(lab).vms.find(["gold"])
    lab.add_orphan(gold.id)
    proposal = connect(lab).lineage.propose_collect([WasteKind.FILE], scan=Scan())
    assert [step.action for step in proposal.plan.steps] == ["remove"]
    first = proposal.apply()
    assert [result.status for _, result in first.results] == [Status.DONE]
    with pytest.raises(StaleProposalError) as caught:
        proposal.apply()
    assert caught.value.details.startswith("no longer: remove ")
