"""Where clones go: clusters, hosts, datastore clusters, new folders, other datacenters."""

from collections.abc import Iterator

import pytest

from linkedclone.app.clone.job import CloneJob, prepare
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import (
    AmbiguousError,
    InputError,
    NotFoundError,
    RefusedError,
)
from linkedclone.execution.progress import Silent
from linkedclone.model.report import CloneReport
from linkedclone.model.request import CloneRequest, DiskMove, Placement
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere import acts
from tests.vsphere.acts import Start, opened, target_for

PARENT = "/DC0/vm/DC0_C0_RP0_VM0"
"""A VM of the cluster, whose three hosts see all datastores."""

HOSTS = ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2")


@pytest.fixture
def simulator(start_simulator: Start) -> Simulator:
    return start_simulator("-ds", "3", "-pod", "1", "-pg", "1")


@pytest.fixture
def driver(simulator: Simulator) -> Iterator[Driver]:
    with opened(simulator) as driver:
        acts.prepare(driver, PARENT)
        yield driver


def shape_store(simulator: Simulator, name: str, **more: object) -> None:
    simulator.control("POST", "datastore", {"name": name, **more})


def shape_host(simulator: Simulator, name: str, **more: object) -> None:
    simulator.control("POST", "host", {"name": name, **more})


def base_store(driver: Driver) -> str:
    """The datastore that the parent's base stands on."""
    return find(driver, PARENT).disks[0].top.store_name


def clone(driver: Driver, placement: Placement, *names: str) -> CloneReport:
    request = CloneRequest(parent=PARENT, names=names or ("desk-1",), placement=placement)
    return CloneJob(driver, prepare(driver, request), Silent()).run("test")


def host_of(driver: Driver, name: str) -> str:
    assert isinstance(driver, VsphereDriver)
    vm = find(driver, name)
    native = driver._session.managed("VirtualMachine", vm.id)
    return str(native.runtime.host.name)


# -- clusters and hosts -------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["DC0_C0_H1", "/DC0/host/DC0_C0/DC0_C0_H1", "DC0_C0/DC0_C0_H1"])
def test_a_host_by_name_or_path_runs_the_clones(driver: Driver, ref: str) -> None:
    report = clone(driver, Placement(host=ref))
    assert [c.error for c in report.clones] == [None]
    assert host_of(driver, "desk-1") == "DC0_C0_H1"


def test_a_place_by_its_managed_object_id(driver: Driver) -> None:
    parent = find(driver, PARENT)
    by_name = target_for(
        driver, parent, Placement(host="DC0_C0_H2", datastore="LocalDS_1", folder="/DC0/vm")
    )
    by_id = Placement(
        host=by_name.host,
        datastore=by_name.datastore,
        folder=by_name.folder,
        resource_pool=by_name.pool,
    )
    assert target_for(driver, parent, by_id) == by_name
    plain = Placement(datastore=by_name.datastore, folder=by_name.folder)
    assert target_for(driver, parent, plain).datastore == by_name.datastore


def test_a_host_outside_of_the_named_cluster_is_refused(driver: Driver) -> None:
    with pytest.raises(RefusedError, match="does not belong to /DC0/host/DC0_C0") as caught:
        target_for(driver, find(driver, PARENT), Placement(cluster="DC0_C0", host="DC0_H0"))
    assert "DC0_C0_H0, DC0_C0_H1, DC0_C0_H2" in caught.value.hint


def test_a_pool_outside_of_the_named_hosts_cluster_is_refused(driver: Driver) -> None:
    placement = Placement(host="DC0_C0_H0", resource_pool="/DC0/host/DC0_H0/Resources")
    with pytest.raises(RefusedError, match="does not belong"):
        target_for(driver, find(driver, PARENT), placement)


def test_a_host_of_another_cluster_brings_its_root_pool(driver: Driver) -> None:
    target = target_for(driver, find(driver, PARENT), Placement(host="DC0_H0"))
    assert target.pool_name == "/DC0/host/DC0_H0/Resources"
    assert (target.host_name, target.hosts) == ("DC0_H0", 1)


def test_a_blind_host_is_found_before_the_call_and_named_with_those_that_see(
    simulator: Simulator, driver: Driver
) -> None:
    store = base_store(driver)
    shape_store(simulator, store, unseen_by=["DC0_C0_H0", "DC0_C0_H2"])
    simulator.reset_calls()
    with pytest.raises(RefusedError) as caught:
        clone(driver, Placement(host="DC0_C0_H0"))
    assert caught.value.brief == f"host DC0_C0_H0 does not see datastore {store}"
    assert caught.value.hint.endswith("name one that sees it with ``placement.host``: DC0_C0_H1")
    assert "CloneVM_Task" not in simulator.calls()


def test_a_blind_host_may_run_full_copies(simulator: Simulator, driver: Driver) -> None:
    shape_store(simulator, base_store(driver), unseen_by=["DC0_H0"])
    request = CloneRequest(
        parent=PARENT,
        names=("full",),
        disk_move=DiskMove.CONSOLIDATED,
        placement=Placement(host="DC0_H0", datastore="LocalDS_1"),
    )
    assert driver.resolve_target(find(driver, PARENT), request).host_name == "DC0_H0"


def test_blind_hosts_of_a_cluster_are_reported_and_not_counted(
    simulator: Simulator, driver: Driver
) -> None:
    store = base_store(driver)
    shape_store(simulator, store, unseen_by=["DC0_C0_H0"])
    shape_host(simulator, "DC0_C0_H1", state="maintenance")
    target = target_for(driver, find(driver, PARENT), Placement(cluster="DC0_C0"))
    assert target.hosts == 1
    assert target.notes[0] == (
        "2 of 3 hosts of /DC0/host/DC0_C0/Resources cannot run the clones: "
        f"host DC0_C0_H0 does not see {store}; host DC0_C0_H1 is in maintenance mode"
    )


def test_a_cluster_without_a_fitting_host_is_refused_with_each_reason(
    simulator: Simulator, driver: Driver
) -> None:
    shape_store(simulator, base_store(driver), unseen_by=["DC0_C0_H0", "DC0_C0_H1"])
    shape_host(simulator, "DC0_C0_H2", state="notResponding")
    with pytest.raises(RefusedError, match="no host of") as caught:
        target_for(driver, find(driver, PARENT), Placement(cluster="DC0_C0"))
    assert "host DC0_C0_H2 is not responding" in caught.value.details
    assert caught.value.details.count("does not see") == 2


def test_a_host_in_maintenance_is_refused(simulator: Simulator, driver: Driver) -> None:
    shape_host(simulator, "DC0_C0_H1", state="maintenance")
    with pytest.raises(RefusedError, match="DC0_C0_H1 is in maintenance mode") as caught:
        target_for(driver, find(driver, PARENT), Placement(host="DC0_C0_H1"))
    assert "DC0_C0_H0" in caught.value.hint


def test_a_cluster_advises_the_host_of_a_single_clone(simulator: Simulator, driver: Driver) -> None:
    for host, used in zip(HOSTS, (3000, 1000, 2000), strict=True):
        shape_host(simulator, host, used_mib=used)
    report = clone(driver, Placement(cluster="DC0_C0"))
    assert "host DC0_C0_H1, as the cluster advises" in report.notes
    assert host_of(driver, "desk-1") == "DC0_C0_H1"
    assert simulator.calls()["PlaceVm"] == 1
    (asked,) = simulator.requests("PlaceVm")
    assert "<placementType>clone</placementType>" in asked
    assert asked.count("<hosts ") == 3
    assert asked.count("<datastores ") == 1


def test_without_advice_the_host_is_left_to_vcenter_aloud(
    simulator: Simulator, driver: Driver
) -> None:
    simulator.fault("PlaceVm", "NotSupported", at="call")
    report = clone(driver, Placement(cluster="DC0_C0"))
    assert [c.error for c in report.clones] == [None]
    assert "cluster DC0_C0 gives no advice, so the host is left to vCenter" in report.notes[0]
    assert "<host " not in simulator.requests("CloneVM_Task")[-1]


def test_the_hosts_of_a_batch_are_left_to_the_cluster(simulator: Simulator, driver: Driver) -> None:
    report = clone(driver, Placement(cluster="DC0_C0"), "desk-1", "desk-2")
    assert [c.error for c in report.clones] == [None, None]
    assert "PlaceVm" not in simulator.calls()


def test_a_lone_host_as_cluster_gives_no_advice(driver: Driver) -> None:
    target = target_for(driver, find(driver, PARENT), Placement(cluster="DC0_H0"))
    assert target.pool_name == "/DC0/host/DC0_H0/Resources"
    assert "cluster DC0_H0 is a single host, which gives no advice" in target.notes


# -- datastore clusters -------------------------------------------------------------------


@pytest.fixture
def pod(simulator: Simulator, driver: Driver) -> str:
    """A datastore cluster of two members, neither of which holds the base."""
    first, second = sorted({"LocalDS_0", "LocalDS_1", "LocalDS_2"} - {base_store(driver)})
    shape_store(simulator, first, pod="DC0_POD0", free_bytes=5 << 30)
    shape_store(simulator, second, pod="DC0_POD0", free_bytes=9 << 30)
    return second


@pytest.mark.parametrize("ref", ["DC0_POD0", "/DC0/datastore/DC0_POD0"])
def test_the_freest_member_of_a_datastore_cluster_is_taken_aloud(
    driver: Driver, pod: str, ref: str
) -> None:
    report = clone(driver, Placement(datastore_cluster=ref))
    note = f"datastore {pod} of {ref}: 9.0 GiB free, the most of 2 that will do"
    assert report.notes == (note,)
    assert find(driver, "desk-1").disks[0].top.store_name == pod
    assert report.clones[0].linked is True


def test_a_member_that_a_host_does_not_see_is_left_out(
    simulator: Simulator, driver: Driver, pod: str
) -> None:
    shape_store(simulator, pod, unseen_by=["DC0_C0_H2"])
    placement = Placement(datastore_cluster="DC0_POD0")
    assert target_for(driver, find(driver, PARENT), placement).datastore_name != pod
    seeing = Placement(datastore_cluster="DC0_POD0", host="DC0_C0_H1")
    assert target_for(driver, find(driver, PARENT), seeing).datastore_name == pod


def test_a_cluster_without_a_suitable_member_is_refused_with_each_reason(
    simulator: Simulator, driver: Driver, pod: str
) -> None:
    for name in {"LocalDS_0", "LocalDS_1", "LocalDS_2"} - {base_store(driver)}:
        shape_store(simulator, name, unseen_by=["DC0_C0_H2"])
    with pytest.raises(RefusedError, match="no member of datastore cluster") as caught:
        target_for(driver, find(driver, PARENT), Placement(datastore_cluster="DC0_POD0"))
    assert f"{pod} is not seen by DC0_C0_H2" in caught.value.details


def test_a_cluster_advises_the_member_too(simulator: Simulator, driver: Driver, pod: str) -> None:
    placement = Placement(cluster="DC0_C0", datastore_cluster="DC0_POD0")
    report = clone(driver, placement)
    (asked,) = simulator.requests("PlaceVm")
    assert asked.count("<datastores ") == 2
    assert find(driver, "desk-1").disks[0].top.store_name == pod
    assert report.clones[0].linked is True


# -- folders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("VDI", "/DC0/vm/VDI"),
        ("VDI/Team A/50%", "/DC0/vm/VDI/Team A/50%25"),
        ("/DC0/vm/a%2fb", "/DC0/vm/a%2fb"),
        ("vm/Ünïcode ☃", "/DC0/vm/Ünïcode ☃"),
        ("x" * 80, "/DC0/vm/" + "x" * 80),
    ],
    ids=["one level", "levels, a space, a percent", "a slash", "unicode", "80 characters"],
)
def test_a_missing_folder_is_made(driver: Driver, ref: str, path: str) -> None:
    placement = Placement(folder=ref, create_folder=True)
    report = clone(driver, placement)
    assert [c.error for c in report.clones] == [None]
    vm = find(driver, "desk-1")
    assert vm.path.rpartition("/")[0] == path
    again = clone(driver, placement)
    assert [c.status for c in again.clones] == ["existing"]
    assert [c.uuid for c in again.clones] == [vm.uuid]


def test_an_existing_folder_is_not_created_again(simulator: Simulator, driver: Driver) -> None:
    clone(driver, Placement(folder="VDI", create_folder=True))
    simulator.reset_calls()
    clone(driver, Placement(folder="VDI/more", create_folder=True), "desk-2")
    assert simulator.calls()["CreateFolder"] == 1
    assert find(driver, "desk-2").path == "/DC0/vm/VDI/more/desk-2"


def test_a_folder_created_meanwhile_is_used(driver: Driver) -> None:
    request = CloneRequest(
        parent=PARENT, names=("desk-1",), placement=Placement(folder="VDI/a", create_folder=True)
    )
    prepared = prepare(driver, request)
    acts.add_folder(driver, "VDI")
    report = CloneJob(driver, prepared, Silent()).run("test")
    assert [c.error for c in report.clones] == [None]
    assert find(driver, "desk-1").path == "/DC0/vm/VDI/a/desk-1"


def test_a_dry_run_makes_no_folder_and_tells_of_it(simulator: Simulator, driver: Driver) -> None:
    request = CloneRequest(
        parent=PARENT, names=("desk-1",), placement=Placement(folder="VDI/a", create_folder=True)
    )
    prepared = prepare(driver, request)
    (step,) = prepared.creates
    assert str(driver.preview_clone(step)["folder"]).endswith("/VDI/a")
    assert prepared.scene.target.folder_path == "/DC0/vm/VDI/a"
    assert "CreateFolder" not in simulator.calls()


@pytest.mark.parametrize(
    "ref",
    ["x" * 81, "/DC7/vm/a", "a/b\x9bc", "./", "/"],
    ids=["81 characters", "elsewhere", "unseen", "here", "top"],
)
def test_a_folder_that_cannot_be_made_is_refused_by_name(driver: Driver, ref: str) -> None:
    with pytest.raises(InputError, match="cannot be made"):
        clone(driver, Placement(folder=ref, create_folder=True))


def test_a_path_with_a_step_upward_makes_no_folder(simulator: Simulator, driver: Driver) -> None:
    with pytest.raises(InputError, match="not a name"):
        clone(driver, Placement(folder="x/../y", create_folder=True))
    assert "CreateFolder" not in simulator.calls()


def test_a_missing_folder_is_not_made_unasked(driver: Driver) -> None:
    with pytest.raises(NotFoundError):
        clone(driver, Placement(folder="VDI"))
    with pytest.raises(NotFoundError):
        clone(driver, Placement(folder="group-v987", create_folder=True))


def test_looking_for_a_folder_reads_no_vms(start_simulator: Start) -> None:
    simulator = start_simulator("-vm", "200")
    with opened(simulator) as driver:
        parent = acts.prepare(driver)
        acts.add_folder(driver, "elsewhere")
        simulator.reset_calls()
        target_for(driver, parent, Placement(folder="elsewhere"))
        assert simulator.calls() == {"RetrievePropertiesEx": 2}


# -- datacenters --------------------------------------------------------------------------


def test_names_are_looked_up_in_the_named_datacenter(start_simulator: Start) -> None:
    with opened(start_simulator("-dc", "2")) as driver:
        parent = acts.prepare(driver)
        same = target_for(driver, parent, Placement(datacenter="DC0", cluster="DC0_C0"))
        assert same.folder_path == "/DC0/vm"
        with pytest.raises(RefusedError, match="LocalDS_0 does not exist in /DC1") as caught:
            target_for(driver, parent, Placement(datacenter="DC1", cluster="DC1_C0"))
        assert "``placement.datastore``" in caught.value.hint
        far = Placement(datacenter="DC1", cluster="DC1_C0", datastore="LocalDS_0")
        with pytest.raises(RefusedError, match="no host of /DC1/host/DC1_C0"):
            target_for(driver, parent, far)
        request = CloneRequest(
            parent=parent.name,
            names=("full-1", "full-2"),
            disk_move=DiskMove.CONSOLIDATED,
            placement=far,
        )
        target = driver.resolve_target(parent, request)
        assert target.folder_path == "/DC1/vm"
        assert target.hosts == 3
        with pytest.raises(NotFoundError, match="DC7"):
            target_for(driver, parent, Placement(datacenter="DC7"))


# -- all of it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "what"),
    [
        (Placement(host="nowhere"), "/DC0/host/DC0_C0/DC0_C0_H0"),
        (Placement(cluster="nowhere"), "/DC0/host/DC0_C0"),
        (Placement(datastore_cluster="nowhere"), "/DC0/datastore/DC0_POD0"),
        (Placement(cluster="DC0_C0", datastore="nowhere"), "/DC0/datastore/LocalDS_0"),
        (Placement(cluster="DC0_C0", resource_pool="nowhere"), "/DC0/host/DC0_C0/Resources"),
    ],
    ids=["host", "cluster", "datastore cluster", "datastore", "pool"],
)
def test_a_missing_object_is_reported_with_the_existing_ones(
    driver: Driver, placement: Placement, what: str
) -> None:
    with pytest.raises(NotFoundError, match="nowhere") as caught:
        target_for(driver, find(driver, PARENT), placement)
    assert what in caught.value.hint


def test_an_ambiguous_name_is_listed(driver: Driver) -> None:
    clone(driver, Placement(folder="a/twin", create_folder=True))
    clone(driver, Placement(folder="b/twin", create_folder=True), "desk-2")
    with pytest.raises(AmbiguousError) as caught:
        target_for(driver, find(driver, PARENT), Placement(folder="twin", host="DC0_C0_H0"))
    assert caught.value.candidates == ("/DC0/vm/a/twin", "/DC0/vm/b/twin")


@pytest.mark.parametrize(
    "placement",
    [
        Placement(datastore="LocalDS_0", datastore_cluster="DC0_POD0"),
        Placement(datastore="LocalDS_0", spread="datastore"),
        Placement(host="DC0_C0_H0", spread="host"),
        Placement(create_folder=True),
    ],
    ids=["store and cluster", "store and spread", "host and spread", "folder without name"],
)
def test_contradictions_are_refused(driver: Driver, placement: Placement) -> None:
    with pytest.raises(InputError):
        target_for(driver, find(driver, PARENT), placement)


def test_all_options_together_cost_one_read_and_one_question(
    simulator: Simulator, driver: Driver, pod: str
) -> None:
    parent = find(driver, PARENT)
    placement = Placement(
        cluster="DC0_C0",
        datastore_cluster="DC0_POD0",
        folder="VDI",
        create_folder=True,
    )
    simulator.reset_calls()
    target = target_for(driver, parent, placement)
    assert target.datastore_name == pod
    assert simulator.calls() == {"RetrievePropertiesEx": 1, "PlaceVm": 1}


@pytest.mark.parametrize(
    ("move", "placement", "parallel", "in_flight"),
    [
        (DiskMove.LINKED, Placement(), None, 128),
        (DiskMove.LINKED, Placement(cluster="DC0_C0"), None, 48),
        (DiskMove.LINKED, Placement(host="DC0_C0_H0"), None, 16),
        (DiskMove.CONSOLIDATED, Placement(), None, 12),
        (DiskMove.CONSOLIDATED, Placement(host="DC0_C0_H0"), None, 4),
        (DiskMove.CONSOLIDATED, Placement(host="DC0_C0_H0"), 9, 9),
    ],
)
def test_clones_in_flight_are_bounded_by_the_suitable_hosts(
    driver: Driver,
    move: DiskMove,
    placement: Placement,
    parallel: int | None,
    in_flight: int,
) -> None:
    request = CloneRequest(
        parent=PARENT,
        names=("desk-1", "desk-2"),
        disk_move=move,
        placement=placement,
        parallel=parallel,
    )
    job = CloneJob(driver, prepare(driver, request), Silent())
    assert job._runner.parallel == in_flight


def test_the_plain_place_was_read_with_the_parent(simulator: Simulator, driver: Driver) -> None:
    parent = find(driver, PARENT)
    simulator.reset_calls()
    target = target_for(driver, parent)
    assert simulator.calls() == {}
    assert (target.host, target.hosts, target.spots, target.notes) == ("", 0, (), ())
