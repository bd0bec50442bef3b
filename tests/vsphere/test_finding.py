"""Finding VMs by what people call them."""

import re

import pytest

from linkedclone.drivers.base import Driver
from linkedclone.errors import AmbiguousError, NotFoundError
from tests.contract.acts import find, make, step_for
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, Start, add_folder, opened, prepare


@pytest.mark.parametrize(
    "ref",
    [PARENT, "DC0/vm/DC0_H0_VM0", "DC0_H0_VM0", "dc0_h0_vm0"],
    ids=["path", "path without slash", "name", "name in other case"],
)
def test_a_vm_by(driver: Driver, ref: str) -> None:
    vm = find(driver, ref)
    assert (vm.name, vm.path) == ("DC0_H0_VM0", PARENT)


def test_a_vm_by_its_uuid_or_id(driver: Driver) -> None:
    vm = find(driver, PARENT)
    assert find(driver, vm.uuid).id == vm.id
    assert find(driver, vm.uuid.upper()).id == vm.id
    assert find(driver, vm.id).id == vm.id


def test_a_path_may_start_below_the_vm_folder_as_with_govc(driver: Driver) -> None:
    with pytest.raises(NotFoundError):
        find(driver, "Desktops/DC0_H0_VM0")
    assert find(driver, "./DC0_H0_VM0").name == "DC0_H0_VM0"


def test_many_names_cost_one_read_of_names(simulator: Simulator, driver: Driver) -> None:
    names = ["DC0_H0_VM1", "DC0_H0_VM0", "DC0_C0_RP0_VM0"]
    simulator.reset_calls()
    assert [vm.name for vm in driver.find_vms(names)] == names
    assert simulator.calls() == {"RetrievePropertiesEx": 2}


def test_a_misspelt_name_is_met_with_the_nearest(driver: Driver) -> None:
    with pytest.raises(NotFoundError, match="there is no VM 'DC0_H0_VM7'") as caught:
        find(driver, "DC0_H0_VM7")
    assert "did you mean DC0_H0_VM" in caught.value.hint


def test_a_path_to_something_else_is_told(driver: Driver) -> None:
    with pytest.raises(NotFoundError, match="is not a VM but a Folder"):
        find(driver, "/DC0/vm")


def test_a_name_in_two_datacenters_is_ambiguous(start_simulator: Start) -> None:
    simulator = start_simulator("-dc", "2")
    with opened(simulator) as driver:
        twin = "/DC1/vm/DC1_H0_VM0"
        find(driver, twin)
    with opened(simulator, datacenter="DC1") as driver:
        assert find(driver, "DC1_H0_VM0").path == twin
        assert find(driver, "./DC1_H0_VM0").path == twin
        with pytest.raises(NotFoundError):
            find(driver, "DC0_H0_VM0")


def test_the_candidates_of_an_ambiguous_name_are_listed(driver: Driver) -> None:
    add_folder(driver, "elsewhere")
    make(driver, step_for(driver, prepare(driver), "DC0_H0_VM1", folder="elsewhere"))
    with pytest.raises(AmbiguousError) as caught:
        find(driver, "DC0_H0_VM1")
    paths, dates = zip(*(line.split("  ")[:2] for line in caught.value.candidates), strict=True)
    assert paths == ("/DC0/vm/DC0_H0_VM1", "/DC0/vm/elsewhere/DC0_H0_VM1")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", date) for date in dates), dates
    assert find(driver, "elsewhere/DC0_H0_VM1").path == "/DC0/vm/elsewhere/DC0_H0_VM1"


def test_a_datacenter_that_does_not_exist_is_told_with_those_that_do(simulator: Simulator) -> None:
    with opened(simulator, datacenter="DC9") as driver, pytest.raises(NotFoundError) as caught:
        find(driver, "DC0_H0_VM0")
    assert "/DC0" in caught.value.hint


def test_all_pages_are_read(start_simulator: Start) -> None:
    simulator = start_simulator("-vm", "130")
    with opened(simulator) as driver:
        simulator.reset_calls()
        assert find(driver, "dc0_c0_rp0_vm129").name == "DC0_C0_RP0_VM129"
        assert simulator.calls()["ContinueRetrievePropertiesEx"] == 2
        assert len(driver.observe().vms) == 260
        vms = driver.find_vms([f"DC0_H0_VM{n}" for n in range(130)])
        assert len({vm.id for vm in vms}) == 130
        assert {vm.path.rpartition("/")[0] for vm in vms} == {"/DC0/vm"}


def test_a_bare_name_among_many_is_asked_of_the_folders(start_simulator: Start) -> None:
    simulator = start_simulator("-vm", "130")
    with opened(simulator) as driver:
        simulator.reset_calls()
        assert find(driver, "DC0_C0_RP0_VM129").name == "DC0_C0_RP0_VM129"
        calls = simulator.calls()
        assert "ContinueRetrievePropertiesEx" not in calls
        assert calls["RetrievePropertiesEx"] == 4  # a page, the folders, the name, the VM
        add_folder(driver, "elsewhere")
        make(driver, step_for(driver, prepare(driver), "DC0_C0_RP0_VM129", folder="elsewhere"))
        with pytest.raises(AmbiguousError) as caught:
            find(driver, "DC0_C0_RP0_VM129")
        assert len(caught.value.candidates) == 2
        with pytest.raises(NotFoundError, match="there is no VM") as missing:
            find(driver, "DC0_C0_RP0_VM131")
        assert "did you mean DC0_C0_RP0_VM" in missing.value.hint
        vm = find(driver, "DC0_H0_VM77")
        assert find(driver, vm.id).id == vm.id


def test_vms_of_a_vapp_are_found_among_many(start_simulator: Start) -> None:
    simulator = start_simulator("-vm", "130", "-app", "1")
    with opened(simulator) as driver:
        (inside,) = [vm for vm in driver.observe().vms if vm.name == "DC0_C0_APP0_VM3"]
        assert find(driver, "DC0_C0_APP0_VM3").id == inside.id
