from linkedclone.model.plan import DeleteVm, Plan, SetPower
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests.unit.building import vm

STOP = SetPower(vm=VmId("vm-1"), vm_name="desk", power=Power.OFF)
DELETE = DeleteVm(vm=VmId("vm-1"), vm_name="desk")


def test_a_plan_without_steps_is_empty() -> None:
    assert Plan().empty
    assert Plan(stages=((), ())).empty
    assert Plan(existing=(vm("desk"),)).empty


def test_the_steps_of_a_plan_are_those_of_its_stages_in_order() -> None:
    plan = Plan(stages=((STOP,), (DELETE,)))
    assert plan.steps == (STOP, DELETE)
    assert not plan.empty
