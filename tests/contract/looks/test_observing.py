"""What is read: all VMs with their chains, or a few again."""

import uuid

from linkedclone.drivers.contract import Driver
from linkedclone.lineage.family import Lineage
from linkedclone.model.findings import Finding
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import VmId
from tests.contract.acts import (
    clone,
    delete,
    diagnose,
    find,
    finish,
    read,
    renamed,
    step_for,
    take_snapshot,
)
from tests.contract.rigs.base import Rig


def test_an_endpoint_says_what_it_is(rig: Rig, driver: Driver, other_driver: Driver) -> None:
    identity = driver.identify()
    assert identity == other_driver.identify()
    assert str(uuid.UUID(identity.instance)) == identity.instance.lower()
    assert identity.product
    assert identity.version
    assert identity.address
    assert "@" not in identity.address


def test_an_inventory_holds_the_disks_of_snapshots(rig: Rig, driver: Driver) -> None:
    seen = {vm.path: vm for vm in driver.observe().vms}
    (base,) = seen[rig.parent].snapshots
    assert base.disks is not None
    assert base.disks[0].chain == seen[rig.parent].disks[0].chain[:-1]
    assert seen[rig.bare].snapshots == ()


def test_an_inventory_shows_which_vm_depends_on_which(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    inventory = driver.observe()
    lineage = Lineage(inventory)
    parent = find(driver, rig.parent)
    assert [vm.id for vm in lineage.dependants(parent)] == [one.id, two.id]
    origin = lineage.origin(read(driver, one.id))
    assert origin.mode is Mode.LINKED
    assert origin.parent == parent
    assert origin.snapshot == parent.snapshots[0]
    assert lineage.origin(find(driver, rig.bare)).mode is Mode.FULL


def test_every_vm_has_an_id_and_a_uuid_of_its_own(rig: Rig, driver: Driver) -> None:
    for number in range(5):
        clone(driver, rig, f"desk-{number}")
    vms = driver.observe().vms
    assert len({vm.id for vm in vms}) == len({vm.uuid for vm in vms}) == len(vms)
    assert len({vm.home for vm in vms}) == len({vm.path for vm in vms}) == len(vms)


def test_an_inventory_of_more_than_a_page_is_read_whole(rig: Rig, driver: Driver) -> None:
    before = len(driver.observe().vms)
    step = step_for(driver, find(driver, rig.parent), "any")
    names = [f"desk-{number:03}" for number in range(120)]
    finish(driver, [driver.start(renamed(step, name)) for name in names])
    assert len(driver.observe().vms) == before + 120


def test_vms_are_read_again_without_the_disks_of_their_snapshots(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    take_snapshot(driver, made, "mine")
    whole = read(driver, made.id)
    (again,) = driver.observe_vms([made.id])
    assert again.disks == whole.disks
    assert again.mark == whole.mark
    assert [(s.id, s.disks) for s in again.snapshots] == [(whole.snapshots[0].id, None)]


def test_vms_that_are_gone_are_left_out(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    delete(driver, one)
    seen = driver.observe_vms([one.id, two.id, VmId("vm-987654")])
    assert [vm.id for vm in seen] == [two.id]


def test_reading_no_vms_gives_none(rig: Rig, driver: Driver) -> None:
    assert driver.observe_vms([]) == ()
    assert driver.find_vms([]) == ()


def test_what_a_clone_occupies_alone_is_far_less_than_what_it_shares(
    rig: Rig, driver: Driver
) -> None:
    made = clone(driver, rig, "desk-001")
    assert made.own_bytes is not None
    assert made.shared_bytes is not None
    assert made.own_bytes < made.shared_bytes


def test_a_diagnosis_is_made_of_findings(rig: Rig, driver: Driver) -> None:
    found = diagnose(driver)
    assert found
    assert all(isinstance(finding, Finding) and finding.text for finding in found)


def test_a_driver_says_how_many_clones_may_be_in_flight(rig: Rig, driver: Driver) -> None:
    assert driver.features.parallel >= 1


def test_closing_twice_is_allowed(rig: Rig) -> None:
    opened = rig.connect()
    opened.close()
    opened.close()
