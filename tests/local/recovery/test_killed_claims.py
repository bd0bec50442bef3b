"""What a killed command leaves of a spare that it was making a clone of, or making."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import LEFT_FAILED, PoolState, Power, Vm
from tests import do
from tests.contract.acts import error_of, find, result_of, set_power, step_for
from tests.contract.rigs.local import LocalRig, StormyMachine, Weather, open_warm_rig
from tests.local.victim import run_killed

EVERY = 4
"""Which of the steps a kill comes before; QEMU has to be loaded for each."""


def connect(root: Path) -> LocalDriver:
    """Open a state folder whose guests do as they are told."""
    weather = Weather()
    state = open_state(root, immutable=False)
    return LocalDriver(state, machines=lambda vm: StormyMachine(vm, weather))


def fork_of(driver: LocalDriver, name: str, *, spare: bool = False) -> CreateClone:
    step = step_for(driver, find(driver, "golden"), name)
    pool = PoolState(slot=name, spare=spare)
    mark = replace(step.mark, instant=True, spec="shape", pool=pool)
    return replace(step, instant=True, mark=mark)


def make_spare(root: Path) -> None:
    with closing(connect(root)) as driver:
        result_of(driver, driver.start(fork_of(driver, "spare-1", spare=True)))


def claim_spare(root: Path) -> None:
    with closing(connect(root)) as driver:
        spare = find(driver, "spare-1").id
        result_of(driver, driver.start(replace(fork_of(driver, "ci-1"), spare=spare)))


def list_forks(driver: LocalDriver) -> list[Vm]:
    return [vm for vm in driver.observe().vms if vm.name in {"spare-1", "ci-1"}]


def remove(driver: LocalDriver, vm: Vm) -> None:
    set_power(driver, vm, Power.OFF)
    result_of(driver, driver.start(do.delete_vm(vm)))


def is_finished(vm: Vm) -> bool:
    return vm.valid_mark is not None and not vm.valid_mark.unconfirmed


def test_a_killed_claim_leaves_a_spare_or_a_clone_that_is_not_finished() -> None:
    with open_warm_rig() as rig:
        assert isinstance(rig, LocalRig)
        root = rig.state.root
        with closing(connect(root)) as driver:
            make_spare(root)
            steps = run_killed(claim_spare, (root,), 0)
            (whole,) = list_forks(driver)
            assert (whole.name, whole.power, is_finished(whole)) == ("ci-1", Power.ON, True)
            remove(driver, whole)
            seen = set()
            for kill_at in range(1, steps + 1, EVERY):
                seen.add(_kill_claim(driver, root, kill_at))
            assert {"spare", "unfinished"} <= seen
            # Nothing is left of all that.
            assert list_forks(driver) == []
            assert {path.name for path in rig.state.vms.iterdir()} == {
                vm.id for vm in driver.observe().vms
            }


def _kill_claim(driver: LocalDriver, root: Path, kill_at: int) -> str:
    """Kill a claim before a step; say what it left."""
    make_spare(root)
    run_killed(claim_spare, (root,), kill_at)
    (left,) = list_forks(driver)
    mark = left.mark
    assert mark is not None
    if mark.spare:
        assert (left.name, left.power) == ("spare-1", Power.PAUSED)
        claim_spare(root)  # as if nothing had been
        (left,) = list_forks(driver)
        assert is_finished(left)
        remove(driver, left)
        return "spare"
    if is_finished(left):
        assert (left.name, left.power) == ("ci-1", Power.ON)
        remove(driver, left)
        return "finished"
    assert mark.spec == LEFT_FAILED
    if left.power is Power.PAUSED:
        refused = error_of(driver, lambda: driver.start(do.set_power(left, Power.ON)))
        assert "was not finished" in refused.brief
    # No later claim takes it for a spare.
    other = driver.start(replace(fork_of(driver, "ci-2"), spare=left.id))
    made = VmId(str(result_of(driver, other)))
    assert made != left.id
    for vm in (made, left.id):
        (gone,) = driver.observe_vms([vm])
        remove(driver, gone)
    return "unfinished"


def test_a_killed_command_leaves_no_spare_that_only_looks_ready() -> None:
    """One whose cards are up, or whose memory is not all there, would be a twin of its parent."""
    with open_warm_rig() as rig:
        assert isinstance(rig, LocalRig)
        root = rig.state.root
        with closing(connect(root)) as driver:
            steps = run_killed(make_spare, (root,), 0)
            (whole,) = list_forks(driver)
            assert whole.power is Power.PAUSED
            assert load_vm(driver.state, whole.id).record.spare
            refused = error_of(driver, lambda: driver.start(do.set_power(whole, Power.ON)))
            assert "is a spare" in refused.brief
            assert whole.trouble == ""
            remove(driver, whole)
            found = []
            for kill_at in range(steps - 11, steps + 1, 2):
                run_killed(make_spare, (root,), kill_at)
                (left,) = list_forks(driver)
                found.append(load_vm(driver.state, left.id).record.spare)
                if found[-1]:
                    assert left.power is Power.PAUSED
                remove(driver, left)
            assert found == sorted(found)
            assert not found[0]


def test_a_spare_of_other_hardware_or_of_another_snapshot_is_not_taken_over() -> None:
    with open_warm_rig() as rig:
        assert isinstance(rig, LocalRig)
        root = rig.state.root
        with closing(connect(root)) as driver:
            make_spare(root)
            (spare,) = list_forks(driver)
            step = replace(fork_of(driver, "ci-1"), spare=spare.id)
            others = (
                replace(step, macs=("02:00:00:00:00:07",)),
                replace(step, mark=replace(step.mark, snapshot="another")),
                replace(step, mark=replace(step.mark, parent_uuid=spare.uuid)),
            )
            for other in others:
                made = VmId(str(result_of(driver, driver.start(other))))
                assert made != spare.id
                (gone,) = driver.observe_vms([made])
                remove(driver, gone)
            set_power(driver, spare, Power.OFF)
            made = VmId(str(result_of(driver, driver.start(step))))
            assert made != spare.id
            assert open_machine(load_vm(driver.state, made)).observe(guest=False).power is Power.ON
