"""What goes over the wire, counted at the server."""

import time

from linkedclone.lineage.proof import prove_linked
from tests.contract.acts import current, find
from tests.simulator import Simulator
from tests.vsphere.acts import (
    PARENT,
    Start,
    main_job,
    make_all,
    most_polls,
    opened,
    prepare,
    steps_for,
    target_for,
)

READS = {
    "RetrievePropertiesEx",
    "ContinueRetrievePropertiesEx",
    "RetrieveServiceContent",
    "FindByInventoryPath",
    "FindAllByUuid",
    "FindChild",
    "GetCustomizationSpec",
}


def counted(simulator: Simulator) -> tuple[int, int, int]:
    """Return clone calls, reads, and all other calls."""
    calls = simulator.calls()
    clones = calls.pop("CloneVM_Task", 0)
    reads = sum(calls.pop(method, 0) for method in READS)
    return clones, reads, sum(calls.values())


def before_the_first_clone(simulator: Simulator) -> list[str]:
    methods = [entry["method"] for entry in simulator.log()]
    return methods[: methods.index("CloneVM_Task")]


def test_a_hundred_proven_clones(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        prepare(driver)
    simulator.reset_calls()
    begun = time.monotonic()
    with opened(simulator) as driver:
        names = [f"desk-{n:03}" for n in range(1, 101)]
        parent, clones = main_job(driver, "DC0_H0_VM0", names)
    disks = current(parent).disks
    assert disks is not None
    assert [prove_linked(clone.disks, disks).linked for clone in clones] == [True] * 100
    sent, reads, others = counted(simulator)
    assert sent == 100
    assert reads <= 20 + most_polls(begun)
    assert others == 2  # Login, Logout


def test_one_clone_by_path_or_name_is_sent_after_four_reads(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        prepare(driver)
    for name, ref in (("desk-1", PARENT), ("desk-2", "DC0_H0_VM0")):
        simulator.reset_calls()
        with opened(simulator) as driver:
            main_job(driver, ref, [name])
        before = before_the_first_clone(simulator)
        assert before.count("Login") == 1
        assert len(before) == 5
        assert set(before) - {"Login"} <= READS


def test_names_in_a_large_folder_are_found_one_by_one(start_simulator: Start) -> None:
    simulator = start_simulator("-vm", "700")
    with opened(simulator) as driver:
        prepare(driver)
        parent = find(driver, PARENT)
        target = target_for(driver, parent)
        simulator.reset_calls()
        found = driver.observe_names(target, ["DC0_H0_VM1", "absent", "DC0_H0_VM3", "none"])
        assert sorted(vm.name for vm in found) == ["DC0_H0_VM1", "DC0_H0_VM3"]
        assert simulator.calls()["FindChild"] == 4
        names = [f"desk-{n}" for n in range(400)] + ["DC0_H0_VM5"]
        simulator.reset_calls()
        assert [vm.name for vm in driver.observe_names(target, names)] == ["DC0_H0_VM5"]
        assert "FindChild" not in simulator.calls()


def test_a_new_snapshot_costs_one_more_read_for_all_clones(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        parent = prepare(driver)
    with opened(simulator) as driver:
        target = target_for(driver, parent)
        simulator.reset_calls()
        names = [f"desk-{n}" for n in range(8)]
        make_all(driver, steps_for(parent, target, names))
        assert before_the_first_clone(simulator) == ["RetrievePropertiesEx"]
