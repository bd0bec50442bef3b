"""Networks are looked up once for a batch: standard and distributed, by name, path or id."""

from collections.abc import Iterator

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import NotFoundError, RefusedError
from linkedclone.model.request import CloneRequest, Hardware, Network, Nic, Placement
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere import acts
from tests.vsphere.acts import Start, opened

PARENT = "/DC0/vm/DC0_C0_RP0_VM0"


@pytest.fixture
def simulator(start_simulator: Start) -> Simulator:
    return start_simulator("-pg", "2")


@pytest.fixture
def driver(simulator: Simulator) -> Iterator[Driver]:
    with opened(simulator) as driver:
        acts.prepare(driver, PARENT)
        yield driver


def look_up(driver: Driver, *names: str, placement: Placement | None = None) -> tuple[Network, ...]:
    nics = tuple(Nic(action="remap", index=n, network=name) for n, name in enumerate(names))
    request = CloneRequest(
        parent=PARENT,
        names=("desk-1",),
        hardware=Hardware(nics=nics),
        placement=placement or Placement(),
    )
    return driver.resolve_target(find(driver, PARENT), request).networks


@pytest.mark.parametrize("ref", ["VM Network", "/DC0/network/VM Network", "network/VM Network"])
def test_a_standard_network(driver: Driver, ref: str) -> None:
    (found,) = look_up(driver, ref)
    assert (found.wanted, found.name) == (ref, "VM Network")
    assert (found.switch_uuid, found.portgroup_key) == ("", "")
    assert look_up(driver, found.id)[0].id == found.id


@pytest.mark.parametrize("ref", ["DC0_DVPG0", "/DC0/network/DC0_DVPG0"])
def test_a_distributed_port_group_with_its_switch(driver: Driver, ref: str) -> None:
    (found,) = look_up(driver, ref)
    assert isinstance(driver, VsphereDriver)
    group = driver._session.managed("DistributedVirtualPortgroup", found.id)
    assert found.portgroup_key == group.config.key
    assert found.switch_uuid == group.config.distributedVirtualSwitch.uuid


def test_many_cost_one_read_more(simulator: Simulator, driver: Driver) -> None:
    simulator.reset_calls()
    found = look_up(driver, "VM Network", "DC0_DVPG0", "DC0_DVPG1", "VM Network")
    assert [one.wanted for one in found] == ["VM Network", "DC0_DVPG0", "DC0_DVPG1"]
    reads_of_parent = 2  # the name's path, and the VM with its surroundings
    assert sum(simulator.calls().values()) == reads_of_parent + 2


def test_a_missing_object_is_reported_with_the_existing_ones(driver: Driver) -> None:
    with pytest.raises(NotFoundError, match="nowhere") as caught:
        look_up(driver, "nowhere")
    assert "/DC0/network/DC0_DVPG0" in caught.value.hint


def test_a_network_that_the_hosts_do_not_have_is_refused(driver: Driver) -> None:
    assert isinstance(driver, VsphereDriver)
    request = CloneRequest(parent=PARENT, names=("a",), placement=Placement(spread="host"))
    hosts = driver.resolve_target(find(driver, PARENT), request).spots
    stranger = driver._session.managed("HostSystem", hosts[0].id)
    stranger.configManager.networkSystem.AddPortGroup(port_group("only here"))
    with pytest.raises(RefusedError, match=f"'only here' does not exist on {hosts[1].name}"):
        look_up(driver, "only here", placement=Placement(host=hosts[1].name))


def port_group(name: str) -> object:
    from pyVmomi import vim

    return vim.host.PortGroup.Specification(
        name=name, vlanId=0, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
