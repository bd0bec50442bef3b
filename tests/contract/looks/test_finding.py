"""VMs are found by name, path or UUID, and places by name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.rules.refusals import FIELDS
from linkedclone.errors import AmbiguousError, InputError, NotFoundError, UnsupportedError
from linkedclone.model.request import CloneRequest, Placement
from linkedclone.model.vm import Vm
from tests.contract.acts import clone, find, target_of
from tests.contract.rigs.base import Rig

ANY = CloneRequest(parent="any", names=("any",))


@pytest.mark.parametrize(
    "ref",
    [lambda vm: vm.name, lambda vm: vm.path, lambda vm: vm.uuid, lambda vm: vm.uuid.upper()],
    ids=["name", "path", "uuid", "uuid in capitals"],
)
def test_a_vm_is_found_by(rig: Rig, driver: Driver, ref: Callable[[Vm], str]) -> None:
    parent = find(driver, rig.parent)
    assert parent.path == rig.parent
    assert find(driver, ref(parent)).id == parent.id


def test_a_found_vm_is_whole(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    assert parent.home is not None
    assert parent.uuid == parent.uuid.lower()
    assert len(parent.disks) == 1
    assert parent.snapshots[0].disks
    assert parent in driver.observe().vms


def test_many_are_found_in_the_order_that_they_were_asked_for(rig: Rig, driver: Driver) -> None:
    bare, parent = find(driver, rig.bare), find(driver, rig.parent)
    found = driver.find_vms([bare.uuid, parent.path, bare.name])
    assert [vm.id for vm in found] == [bare.id, parent.id, bare.id]


@pytest.mark.parametrize(
    "ref", ["no-such-vm", "/no/such/path", "00000000-0000-4000-8000-0000000000ff"]
)
def test_an_absent_vm_is_not_found(rig: Rig, driver: Driver, ref: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        driver.find_vms([rig.parent, ref])
    assert ref in str(caught.value)


def test_an_ambiguous_name_lists_the_candidates_by_path(rig: Rig, driver: Driver) -> None:
    rig.add_folder("Left")
    rig.add_folder("Right")
    twins = [clone(driver, rig, "twin", folder=folder) for folder in ("Left", "Right")]
    with pytest.raises(AmbiguousError) as caught:
        driver.find_vms(["twin"])
    for twin in twins:
        assert any(twin.path in candidate for candidate in caught.value.candidates)
        assert find(driver, twin.path).id == twin.id


def test_clones_go_beside_their_source_by_default(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    target = target_of(driver, parent)
    assert target.folder_path == parent.path.rpartition("/")[0]
    assert parent.home is not None
    assert target.datastore == parent.home[0]
    assert target.datastore_name == parent.disks[0].top.store_name
    assert target.customization_spec == ""


def test_clones_of_a_template_get_a_resource_pool(rig: Rig, driver: Driver) -> None:
    usual = target_of(driver, find(driver, rig.parent))
    rig.mark_template(find(driver, rig.parent).name)
    assert bool(target_of(driver, find(driver, rig.parent)).pool) == bool(usual.pool)


def test_places_are_found_by_the_names_that_people_see(rig: Rig, driver: Driver) -> None:
    rig.add_folder("Desktops")
    parent = find(driver, rig.parent)
    usual = target_of(driver, parent)
    placement = Placement(datastore=usual.datastore_name, folder="Desktops")
    request = CloneRequest(parent="any", names=("any",), placement=placement)
    target = driver.resolve_target(parent, request)
    assert target.datastore == usual.datastore
    assert target.folder != usual.folder
    assert target.folder_path.endswith("/Desktops")


def test_a_folder_is_found_by_its_path(rig: Rig, driver: Driver) -> None:
    rig.add_folder("Desktops")
    parent = find(driver, rig.parent)
    by_name = target_of(driver, parent, folder="Desktops")
    assert target_of(driver, parent, folder=by_name.folder_path) == by_name


def test_a_stored_customization_is_found(rig: Rig, driver: Driver) -> None:
    request = replace(ANY, customization_spec=rig.customization)
    target = driver.resolve_target(find(driver, rig.parent), request)
    assert target.customization_spec == rig.customization


NOWHERE = {
    "placement.folder": replace(ANY, placement=Placement(folder="nowhere")),
    "placement.datastore": replace(ANY, placement=Placement(datastore="nowhere")),
    "placement.resource_pool": replace(ANY, placement=Placement(resource_pool="nowhere")),
    "customization_spec": replace(ANY, customization_spec="nowhere"),
}


@pytest.mark.parametrize("field", NOWHERE)
def test_places_that_are_not_there_are_not_found(rig: Rig, driver: Driver, field: str) -> None:
    refused = field in FIELDS and field not in driver.features.request_fields
    with pytest.raises(UnsupportedError if refused else NotFoundError) as caught:
        driver.resolve_target(find(driver, rig.parent), NOWHERE[field])
    assert (field if refused else "nowhere") in str(caught.value)
    assert refused or isinstance(caught.value, InputError)
