"""Where clones go: defaults, names, paths, and what is refused."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import AmbiguousError, InputError, NotFoundError, RefusedError
from linkedclone.model.request import CloneRequest, Hardware, Placement
from tests import do
from tests.contract.acts import find, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import (
    PARENT,
    Start,
    add_folder,
    make_all,
    opened,
    prepare,
    steps_for,
    target_for,
)

CLUSTER_VM = "/DC0/vm/DC0_C0_RP0_VM0"


def test_the_default_is_the_sources_own_place(driver: Driver) -> None:
    target = target_for(driver, find(driver, PARENT))
    assert target.folder_path == "/DC0/vm"
    assert target.datastore_name == "LocalDS_0"
    assert target.pool_name == "/DC0/host/DC0_H0/Resources"


def test_the_default_costs_no_call_for_the_parent_that_was_found_last(
    simulator: Simulator, driver: Driver
) -> None:
    first, last = find(driver, PARENT), find(driver, CLUSTER_VM)
    simulator.reset_calls()
    assert target_for(driver, last).pool_name == "/DC0/host/DC0_C0/Resources"
    assert simulator.calls() == {}
    assert target_for(driver, first).pool_name == "/DC0/host/DC0_H0/Resources"
    assert simulator.calls() == {"RetrievePropertiesEx": 1}


@pytest.mark.parametrize(
    ("placement", "reads"),
    [
        (Placement(datastore="LocalDS_0"), 0),
        (Placement(datastore="/DC0/datastore/LocalDS_0"), 1),
        (Placement(folder="/DC0/vm"), 1),
        (Placement(resource_pool="DC0_C0/Resources", folder="/DC0/vm"), 1),
        (Placement(datacenter="DC0", host="DC0_H0"), 2),
    ],
    ids=["datastore nearby", "datastore by path", "folder", "pool and folder", "datacenter"],
)
def test_all_that_is_named_is_looked_up_in_one_read(
    simulator: Simulator, driver: Driver, placement: Placement, reads: int
) -> None:
    parent = find(driver, PARENT)
    simulator.reset_calls()
    target_for(driver, parent, placement)
    assert simulator.calls().get("RetrievePropertiesEx", 0) == reads


def test_a_refreshed_parent_is_placed_in_its_current_state(driver: Driver) -> None:
    before = find(driver, PARENT)
    add_folder(driver, "elsewhere")
    assert isinstance(driver, VsphereDriver)
    folder = target_for(driver, before, Placement(folder="elsewhere")).folder
    vm = driver._session.managed("VirtualMachine", before.id)
    driver._session.managed("Folder", folder).MoveIntoFolder_Task([vm])
    after = find(driver, "DC0_H0_VM0")
    for source in (after, before):
        assert target_for(driver, source).folder_path == "/DC0/vm/elsewhere"


@pytest.mark.parametrize("name", ["elsewhere", "/DC0/vm/elsewhere", "vm/elsewhere"])
def test_a_folder_by_name_or_path(driver: Driver, name: str) -> None:
    add_folder(driver, "elsewhere")
    target = target_for(driver, find(driver, PARENT), Placement(folder=name))
    assert target.folder_path == "/DC0/vm/elsewhere"


@pytest.mark.parametrize("name", ["DC0_C0/Resources", "/DC0/host/DC0_C0/Resources"])
def test_a_resource_pool_by_path(driver: Driver, name: str) -> None:
    target = target_for(driver, find(driver, PARENT), Placement(resource_pool=name))
    assert target.pool_name == "/DC0/host/DC0_C0/Resources"


def test_a_pool_name_of_every_cluster_is_ambiguous(driver: Driver) -> None:
    with pytest.raises(AmbiguousError) as caught:
        target_for(driver, find(driver, PARENT), Placement(resource_pool="Resources"))
    assert caught.value.candidates == ("/DC0/host/DC0_C0/Resources", "/DC0/host/DC0_H0/Resources")


def test_a_datastore_by_name_or_path(start_simulator: Start) -> None:
    with opened(start_simulator("-ds", "2")) as driver:
        parent = prepare(driver)
        target = target_for(driver, parent, Placement(datastore="LocalDS_1"))
        path = Placement(datastore="/DC0/datastore/LocalDS_1")
        assert target_for(driver, parent, path) == target
        assert target.datastore_name == "LocalDS_1"
        (clone,) = make_all(driver, steps_for(parent, target, ["desk-1"]))
        (disk,) = clone.disks
        assert [layer.store_name for layer in disk.chain] == ["LocalDS_0", "LocalDS_1"]


@pytest.mark.parametrize(
    ("placement", "what"),
    [
        (Placement(folder="nowhere"), "/DC0/vm"),
        (Placement(resource_pool="nowhere"), "/DC0/host/DC0_C0/Resources"),
        (Placement(datastore="nowhere"), "/DC0/datastore/LocalDS_0"),
    ],
    ids=["folder", "resource pool", "datastore"],
)
def test_a_missing_object_is_reported_with_the_existing_ones(
    driver: Driver, placement: Placement, what: str
) -> None:
    with pytest.raises(NotFoundError, match="nowhere") as caught:
        target_for(driver, find(driver, PARENT), placement)
    assert what in caught.value.hint


def test_a_template_gets_the_root_pool_of_its_cluster(simulator: Simulator, driver: Driver) -> None:
    prepare(driver, CLUSTER_VM)
    simulator.mark_template("DC0_C0_RP0_VM0")
    template = find(driver, CLUSTER_VM)
    assert template.template
    target = target_for(driver, template)
    assert target.pool_name == "/DC0/host/DC0_C0/Resources"
    (clone,) = make_all(driver, steps_for(template, target, ["desk-1"]))
    assert not clone.template
    assert len(clone.disks[0].chain) > 1


def test_memory_that_vcenter_does_not_take_is_refused_before_anything_is_sent(
    driver: Driver,
) -> None:
    request = CloneRequest(
        parent=PARENT, names=("desk-1",), hardware=Hardware(memory_bytes=(1 << 30) + 1)
    )
    with pytest.raises(InputError, match="multiple of 4 MiB"):
        driver.resolve_target(find(driver, PARENT), request)


def test_a_missing_customization_is_reported_with_the_existing_ones(driver: Driver) -> None:
    request = CloneRequest(parent=PARENT, names=("desk-1",), customization_spec="nope")
    with pytest.raises(NotFoundError, match="'nope'") as caught:
        driver.resolve_target(find(driver, PARENT), request)
    assert "vcsim-linux" in caught.value.hint


def test_a_datastore_that_the_hosts_do_not_see_is_refused(start_simulator: Start) -> None:
    simulator = start_simulator("-ds", "2")
    simulator.control("POST", "datastore", {"name": "LocalDS_1", "unseen_by": ["DC0_H0"]})
    with opened(simulator) as driver:
        parent = find(driver, PARENT)
        with pytest.raises(RefusedError, match="do not see LocalDS_1"):
            target_for(driver, parent, Placement(datastore="LocalDS_1"))


def test_the_customization_goes_into_the_request(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    request = CloneRequest(parent=PARENT, names=("desk-1",), customization_spec="vcsim-linux")
    target = driver.resolve_target(parent, request)
    make_all(driver, steps_for(parent, target, ["desk-1", "desk-2"]))
    assert simulator.calls()["GetCustomizationSpec"] == 1
    assert "CustomizationLinuxPrep" in simulator.requests("CloneVM_Task")[-1]


@pytest.mark.parametrize("ref", ["DC0_C0_APP0", "/DC0/host/DC0_C0/Resources/DC0_C0_APP0"])
def test_item_19_a_vapp_as_resource_pool_is_sent_as_what_it_is(
    start_simulator: Start, ref: str
) -> None:
    simulator = start_simulator("-app", "1")
    with opened(simulator) as driver:
        parent = prepare(driver)
        target = target_for(driver, parent, Placement(resource_pool=ref, datastore="LocalDS_0"))
        (step,) = steps_for(parent, target, ["desk-1"])
        make_all(driver, [step])
        (request,) = simulator.requests("CloneVM_Task")
        assert '<pool type="VirtualApp">' in request
        # A VM of the vApp stands in no folder: a second run finds it all the same.
        inside = ["dc0_c0_app0_vm1", "desk-1", "none"]
        found = {vm.name for vm in driver.observe_names(target, inside)}
        assert found == {"DC0_C0_APP0_VM1", "desk-1"}
        plain = target_for(driver, parent)
        assert {vm.name for vm in driver.observe_names(plain, inside)} == {"desk-1"}
        # A run that finds its name taken there follows the clone that another run makes.
        (taken,) = steps_for(parent, target, ["DC0_C0_APP0_VM1"])
        made = result_of(driver, driver.start(do.attach(taken)))
        assert made == find(driver, "DC0_C0_APP0_VM1").id


@pytest.mark.parametrize("ref", ["/DC0/datastore/x/LocalDS_0", "/DC1/datastore/LocalDS_0"])
def test_item_14_a_datastore_by_a_wrong_path_is_refused(driver: Driver, ref: str) -> None:
    parent = find(driver, PARENT)
    for placement in (Placement(datastore=ref), Placement(datastore=ref, host="DC0_H0")):
        with pytest.raises(NotFoundError, match="there is no datastore"):
            target_for(driver, parent, placement)
        assert isinstance(driver, VsphereDriver)
        with pytest.raises(NotFoundError, match="there is no datastore"):
            driver.resolve_relocation(parent, placement)
