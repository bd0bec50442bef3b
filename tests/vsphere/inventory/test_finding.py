"""Finding VMs by what people call them."""

import re
from collections.abc import Iterator

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import AmbiguousError, NotFoundError
from tests import command, do
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


def test_a_path_to_another_kind_of_object_is_reported(driver: Driver) -> None:
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


def test_a_missing_datacenter_is_reported_with_the_existing_ones(simulator: Simulator) -> None:
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


@pytest.mark.parametrize(
    "args", [["list"], ["tree"], ["usage"], ["inventory", "--list", "--all"], ["show", "far"]]
)
def test_item_15_views_of_one_datacenter_show_no_other_and_a_wrong_one_is_refused(
    two_datacenters: tuple[Simulator, dict[str, str]], args: list[str]
) -> None:
    _, env = two_datacenters
    near = command.run(*args, env=env | {"GOVC_DATACENTER": "DC0"})
    assert near.returncode == 0, near.stderr
    assert ("DC0_H0_VM0" if args == ["usage"] else "far") in near.stdout
    other = command.run(*args, env=env | {"GOVC_DATACENTER": "DC1"})
    assert "far" not in other.stdout
    assert "DC0" not in other.stdout
    wrong = command.run(*args, env=env | {"GOVC_DATACENTER": "DC7"})
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "there is no datacenter 'DC7'" in wrong.stderr
    assert "/DC0, /DC1" in wrong.stderr


def test_item_15_a_vm_of_another_datacenter_is_not_found_by_path_or_uuid(
    two_datacenters: tuple[Simulator, dict[str, str]],
) -> None:
    simulator, _ = two_datacenters
    with opened(simulator) as driver:
        uuid = find(driver, "far").uuid
    with opened(simulator, datacenter="DC1") as driver:
        for ref in ("/DC0/vm/far", "DC0/vm/far", uuid):
            with pytest.raises(NotFoundError, match="not in the datacenter DC1") as caught:
                find(driver, ref)
            assert not caught.value.missing  # it is there, so its deletion is not done
        assert "far" in {vm.name for vm in driver.observe().vms}  # for guards


@pytest.fixture(scope="module")
def two_datacenters(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Simulator, dict[str, str]]]:
    """A clone called ``far`` in the first of two datacenters."""
    with Simulator.start("-dc", "2", "-host", "1", "-vm", "1") as simulator:
        env = command.environment(simulator, tmp_path_factory.mktemp("home"))
        with opened(simulator) as driver:
            make(driver, step_for(driver, prepare(driver), "far"))
        yield simulator, env


@pytest.mark.parametrize("name", ["a/b", "50% off", "back\\slash", "%2f"])
def test_item_14_a_vm_with_any_name_is_found_as_it_is_shown_and_as_it_is_kept(
    driver: Driver, name: str
) -> None:
    vm = find(driver, PARENT)
    kept = name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
    driver.wait([driver.start(do.rename_vm(vm, kept))], 60)
    (seen,) = [one for one in driver.observe().vms if one.id == vm.id]
    assert seen.name == name
    for ref in (seen.name, kept, seen.path, f"/DC0/vm/{name}", f"DC0/vm/{kept}"):
        assert find(driver, ref).id == vm.id
    with pytest.raises(NotFoundError):
        find(driver, f"/DC1/vm/{kept}")
