"""What is said of clones that an interrupt left unfinished."""

from dataclasses import replace

from linkedclone.app.clone.report import describe_unsent
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.execution.progress import Silent
from linkedclone.execution.runner import Runner
from tests.contract.acts import find, step_for, take_snapshot
from tests.memory import MemoryHypervisor


def test_an_interrupted_fork_is_to_be_deleted_since_no_later_run_takes_it_up() -> None:
    hypervisor = MemoryHypervisor()
    hypervisor.add_vm("golden")
    driver = MemoryDriver(hypervisor)
    take_snapshot(driver, find(driver, "golden"), "base")
    step = step_for(driver, find(driver, "golden"), "web")
    runner = Runner(driver, Silent())
    runner.in_flight = frozenset({"web"})
    linked = describe_unsent(step, runner).error
    forked = describe_unsent(replace(step, instant=True), runner).error
    assert linked is not None
    assert "take it up" in linked.hint
    assert forked is not None
    assert forked.hint.startswith("``delete`` web ")
