"""Clones are linked, are nobody's twin, and many can be made at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from linkedclone.drivers.contract import Driver
from linkedclone.errors import InputError
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.request import Hardware
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import (
    clone,
    current,
    find,
    finish,
    make,
    read,
    renamed,
    running,
    set_power,
    step_for,
    take_snapshot,
    target_of,
)
from tests.contract.rigs.base import Rig


def test_a_clone_depends_on_the_snapshot(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    snapshot = current(find(driver, rig.parent))
    assert prove_linked(made.disks, snapshot.disks or ()).linked is True


def test_a_clone_has_the_name_and_place_that_were_asked_for(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    target = target_of(driver, find(driver, rig.parent))
    assert (made.name, made.path) == ("desk-001", f"{target.folder_path}/desk-001")
    assert made.snapshots == ()
    assert made.home is not None
    assert made.home[0] == target.datastore
    assert made.home != find(driver, rig.parent).home


def test_a_clone_is_off_unless_it_is_to_be_started(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-002")
    assert clone(driver, rig, "desk-001").power is Power.OFF
    assert make(driver, running(step)).power is Power.ON


def test_two_clones_share_the_base_and_nothing_else(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    snapshot = current(find(driver, rig.parent))
    assert one.layers & two.layers == set(snapshot.disks[0].chain if snapshot.disks else ())


def test_a_clone_of_a_running_parent_is_linked_too(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    set_power(driver, parent, Power.ON)
    made = clone(driver, rig, "desk-001")
    assert made.power is Power.OFF
    assert prove_linked(made.disks, current(parent).disks or ()).linked is True


def test_a_clone_depends_on_an_older_snapshot_if_named(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    newer = take_snapshot(driver, find(driver, rig.parent), "newer")
    made = make(driver, step)
    assert step.snapshot is not None
    assert prove_linked(made.disks, step.snapshot.disks or ()).linked is True
    assert prove_linked(made.disks, newer.disks or ()).linked is False


def test_a_clone_of_a_clone_depends_on_that_clone(rig: Rig, driver: Driver) -> None:
    child = clone(driver, rig, "desk-001")
    snapshot = take_snapshot(driver, child, "mine")
    grandchild = make(driver, step_for(driver, read(driver, child.id), "desk-002"))
    assert prove_linked(grandchild.disks, snapshot.disks or ()).linked is True
    assert len(grandchild.disks[0].chain) == len(child.disks[0].chain) + 1


def test_a_template_with_a_snapshot_can_be_cloned(rig: Rig, driver: Driver) -> None:
    rig.mark_template(find(driver, rig.parent).name)
    template = find(driver, rig.parent)
    assert template.template
    made = make(driver, step_for(driver, template, "desk-001"))
    assert not made.template
    assert prove_linked(made.disks, current(template).disks or ()).linked is True


def test_a_clone_that_came_out_full_is_seen_to_be_full(rig: Rig, driver: Driver) -> None:
    rig.degrade()
    made = clone(driver, rig, "desk-001")
    snapshot = current(find(driver, rig.parent))
    assert prove_linked(made.disks, snapshot.disks or ()).linked is False


def test_a_clone_with_a_hidden_chain_is_seen_to_hide_it(rig: Rig, driver: Driver) -> None:
    rig.hide()
    made = clone(driver, rig, "desk-001")
    snapshot = current(find(driver, rig.parent))
    assert prove_linked(made.disks, snapshot.disks or ()).linked is None


def test_a_clone_inherits_neither_uuid_nor_mac(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    step = step_for(driver, parent, "desk-001")
    made = make(driver, step)
    assert made.uuid == step.uuid != parent.uuid
    assert len(rig.macs(made.id)) == len(rig.macs(parent.id)) > 0
    assert not set(rig.macs(made.id)) & set(rig.macs(parent.id))


def test_a_clone_gets_the_mac_that_it_is_given(rig: Rig, driver: Driver) -> None:
    mac = "00:50:56:00:00:01"
    step = replace(step_for(driver, find(driver, rig.parent), "desk-001"), macs=(mac,))
    made = make(driver, step)
    assert rig.macs(made.id) == (mac,)
    assert made.macs == (mac,)


def test_more_macs_than_cards_are_refused_before_the_call(rig: Rig, driver: Driver) -> None:
    macs = ("00:50:56:00:00:01", "00:50:56:00:00:02")
    good = step_for(driver, find(driver, rig.parent), "desk-000")
    steps = [replace(good, name=f"desk-00{n}", macs=macs) for n in (1, 2)]
    findings = driver.check([good, *steps])
    assert findings
    assert all(isinstance(finding, InputError) for finding in findings)
    assert all("given 2 MAC addresses" in finding.brief for finding in findings)


def test_addresses_for_more_cards_than_there_are_are_refused_before_the_call(
    rig: Rig, driver: Driver
) -> None:
    wanted = Customization(os=GuestOs.CLOUD_INIT)
    guest = Guest(
        customization=wanted, host_name="desk-001", instance_id="1", cards=(GuestCard(),) * 2
    )
    step = replace(step_for(driver, find(driver, rig.parent), "desk-001"), guest=guest)
    (finding,) = driver.check([step])
    assert isinstance(finding, InputError)


def test_a_check_of_what_can_be_made_finds_nothing_and_makes_nothing(
    rig: Rig, driver: Driver
) -> None:
    before = [vm.id for vm in driver.observe().vms]
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    plain = replace(step, name="desk-002")
    told = replace(step, macs=("00:50:56:00:00:01",), hardware=Hardware(memory_bytes=256 << 20))
    yet_to_come = replace(
        told, snapshot=None, awaits=(do.create_snapshot(step.source, "base", ""),)
    )
    assert driver.check([told, plain]) == ()
    assert driver.check([yet_to_come]) == ()
    assert [vm.id for vm in driver.observe().vms] == before


def test_no_two_clones_have_the_same_mac(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    assert not set(rig.macs(one.id)) & set(rig.macs(two.id))


def test_a_preview_is_plain_data_and_makes_nothing(rig: Rig, driver: Driver) -> None:
    before = [vm.id for vm in driver.observe().vms]
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    text = json.dumps(driver.preview_clone(step))
    assert "desk-001" in text
    assert step.uuid in text
    assert rig.disk_move_type in text
    assert [vm.id for vm in driver.observe().vms] == before


def test_a_hundred_clones_can_be_in_flight_at_once(rig: Rig, driver: Driver) -> None:
    rig.delay("clone", 0.5)
    parent = find(driver, rig.parent)
    first = step_for(driver, parent, "desk-001")
    steps = [renamed(first, f"desk-{n:03}") for n in range(1, 101)]
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(driver.start, steps))
    ids = [VmId(str(state.result)) for state in finish(driver, jobs)]
    made = driver.observe_vms(ids)
    assert {vm.name for vm in made} == {step.name for step in steps}
    frozen = current(parent).disks or ()
    assert all(prove_linked(vm.disks, frozen).linked for vm in made)
    assert all(vm.valid_mark for vm in made)
