"""A VM that cannot be read is there, and says why; what it shows is never taken for all."""

from linkedclone.drivers.contract import Driver
from tests.contract.acts import clone, find
from tests.contract.rigs.base import Rig


def test_a_vm_that_cannot_be_read_is_there_with_its_reason(rig: Rig, driver: Driver) -> None:
    made, other = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    rig.make_unreadable("desk-001")
    inventory = driver.observe()
    seen = {vm.name: vm for vm in inventory.vms}
    assert [vm.name for vm in inventory.unreadable] == ["desk-001"]
    assert seen["desk-001"].id == made.id
    assert all("desk-001" in told for told in inventory.not_seen if "cannot be read" in told)
    assert (seen["desk-002"].disks, seen["desk-002"].unreadable) == (other.disks, "")
    assert find(driver, "desk-001").unreadable
    (direct,) = driver.observe_vms([made.id])
    assert direct.unreadable
