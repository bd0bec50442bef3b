"""Places and sources on the hypervisor in memory: what is modelled, and what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.clone.job import CloneJob, prepare
from linkedclone.app.proposal import Acting
from linkedclone.app.vms.golden_images import Parents
from linkedclone.drivers.local.placement import REFUSED as LOCAL_REFUSED
from linkedclone.drivers.local.placement import find_target
from linkedclone.drivers.local.state.folder import StateFolder, open_state
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.drivers.memory.target import REFUSED as MEMORY_REFUSED
from linkedclone.drivers.rules.refusals import ASKED
from linkedclone.errors import (
    HypervisorError,
    InputError,
    InterruptedByUserError,
    NoSnapshotError,
    UnsupportedError,
)
from linkedclone.execution.progress import Silent
from linkedclone.model.findings import Verdict
from linkedclone.model.report import CloneReport, Status
from linkedclone.model.request import (
    CloneRequest,
    DiskMove,
    Hardware,
    Mending,
    NewDisk,
    Nic,
    Placement,
    SnapshotChoice,
)
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm

PLAIN = CloneRequest(parent="golden", names=("desk-1",))
NEW = SnapshotChoice(kind="new")

REQUESTS = {
    "--quiesce": replace(PLAIN, snapshot=replace(NEW, quiesce=True)),
    "--snapshot-memory": replace(PLAIN, snapshot=replace(NEW, memory=True)),
    "--prepare-template": replace(PLAIN, snapshot=replace(NEW, prepare_template=True)),
    "--datacenter": replace(PLAIN, placement=Placement(datacenter="DC0")),
    "--datastore-cluster": replace(PLAIN, placement=Placement(datastore_cluster="pod")),
    "--cluster": replace(PLAIN, placement=Placement(cluster="C0")),
    "--host": replace(PLAIN, placement=Placement(host="H0")),
    "--create-folder": replace(PLAIN, placement=Placement(folder="a", create_folder=True)),
    "--spread datastore": replace(PLAIN, placement=Placement(spread="datastore")),
    "--spread host": replace(PLAIN, placement=Placement(spread="host")),
    "--full": replace(PLAIN, disk_move=DiskMove.SHARED),
    "--disk-move-type": replace(PLAIN, disk_move=DiskMove.CONSOLIDATED),
    "--cores-per-socket": replace(PLAIN, hardware=Hardware(cpus=4, cores_per_socket=2)),
    "--cpu-hot-add": replace(PLAIN, hardware=Hardware(cpu_hot_add=True)),
    "--memory-hot-add": replace(PLAIN, hardware=Hardware(memory_hot_add=False)),
    "--extra-config": replace(PLAIN, hardware=Hardware(extra_config=(("a", "b"),))),
    "--add-disk": replace(PLAIN, hardware=Hardware(disks=(NewDisk(capacity_bytes=1 << 30),))),
    "--disk": replace(PLAIN, hardware=Hardware(disk_bytes=1 << 40)),
    "--network": replace(PLAIN, hardware=Hardware(nics=(Nic(action="remap", network="n"),))),
    "--add-nic": replace(PLAIN, hardware=Hardware(nics=(Nic(action="add", network="n"),))),
    "--remove-nic": replace(PLAIN, hardware=Hardware(nics=(Nic(action="remove"),))),
    "--mac": replace(PLAIN, macs={"desk-1": ("02:00:00:00:00:07",)}),
    "--firmware": replace(PLAIN, hardware=Hardware(firmware="uefi")),
    "--display": replace(PLAIN, hardware=Hardware(display=True)),
    "--add-disk SIZE,thick": replace(
        PLAIN, hardware=Hardware(disks=(NewDisk(capacity_bytes=1 << 30, thin=False),))
    ),
    "--keep-tpm": replace(PLAIN, hardware=Hardware(keep_tpm=True)),
}
"""A request for each option that some driver has no counterpart for."""


@pytest.fixture
def hypervisor() -> MemoryHypervisor:
    made = MemoryHypervisor()
    made.add_snapshot(made.add_vm("golden"), "base")
    made.add_vm("bare")
    return made


@pytest.fixture
def driver(hypervisor: MemoryHypervisor) -> MemoryDriver:
    return MemoryDriver(hypervisor)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return open_state(tmp_path / "state", immutable=False)


def run(driver: MemoryDriver, request: CloneRequest) -> CloneReport:
    return CloneJob(driver, prepare(driver, request), Silent()).run("memory:")


def vm(hypervisor: MemoryHypervisor, name: str) -> Vm:
    (found,) = [vm for vm in hypervisor.vms if vm.name == name]
    return found


# -- what is refused ----------------------------------------------------------------------


def test_every_option_that_may_be_refused_has_a_request_here() -> None:
    assert set(REQUESTS) == set(ASKED)


def test_what_is_not_refused_is_modelled() -> None:
    disks = {"--full", "--disk-move-type", "--add-disk", "--disk", "--mac"}
    disks |= {"--add-disk SIZE,thick"}
    places = {"--prepare-template", "--create-folder", "--spread datastore"}
    assert set(ASKED) - set(MEMORY_REFUSED) == disks | places
    cards = {"--network", "--add-nic", "--remove-nic", "--mac"}
    assert set(ASKED) - set(LOCAL_REFUSED) == cards | {
        "--add-disk",
        "--firmware",
        "--display",
        "--quiesce",
    }


@pytest.mark.parametrize("option", sorted(MEMORY_REFUSED))
def test_memory_refuses_by_name(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, option: str
) -> None:
    with pytest.raises(UnsupportedError, match=f"^{option} means nothing to memory:") as caught:
        run(driver, REQUESTS[option])
    assert caught.value.hint == MEMORY_REFUSED[option]
    assert hypervisor.calls["create_clone"] == hypervisor.calls["create_snapshot"] == 0


@pytest.mark.parametrize("option", sorted(LOCAL_REFUSED))
def test_local_refuses_by_name(state: StateFolder, option: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^{option} means nothing to local:") as caught:
        find_target(state, REQUESTS[option])
    assert caught.value.hint == LOCAL_REFUSED[option]


@pytest.mark.parametrize("option", ["quiesce", "memory"])
def test_memory_takes_no_such_snapshot_either(driver: MemoryDriver, option: str) -> None:
    (golden,) = driver.find_vms(["golden"])
    with pytest.raises(UnsupportedError):
        driver.create_snapshot(golden.id, "s", "", **{option: True})


# -- what is modelled ---------------------------------------------------------------------


def test_a_missing_folder_is_made_and_the_second_run_finds_the_clones(driver: MemoryDriver) -> None:
    request = replace(PLAIN, placement=Placement(folder="VDI/a", create_folder=True))
    first, second = run(driver, request), run(driver, request)
    assert driver.find_vms(["desk-1"])[0].path == "/vm/VDI/a/desk-1"
    assert [c.status for c in first.clones + second.clones] == [Status.CREATED, Status.EXISTING]
    assert first.clones[0].uuid == second.clones[0].uuid


def test_a_batch_is_spread_over_datastores(driver: MemoryDriver) -> None:
    request = replace(PLAIN, names=("d-{1..4}",), placement=Placement(spread="datastore"))
    run(driver, request)
    made = driver.find_vms(["d-1", "d-2", "d-3", "d-4"])
    assert Counter(one.disks[0].top.store_name for one in made) == {"ssd1": 2, "ssd2": 2}
    with pytest.raises(InputError):
        run(driver, replace(PLAIN, placement=Placement(spread="datastore", datastore="ssd1")))


# -- templates ----------------------------------------------------------------------------

PREPARED = CloneRequest(
    parent="bare", names=("desk-1",), snapshot=SnapshotChoice(prepare_template=True)
)


@pytest.fixture
def template(hypervisor: MemoryHypervisor) -> Vm:
    hypervisor.mark_template(vm(hypervisor, "bare").id)
    return vm(hypervisor, "bare")


def test_a_template_is_prepared_once(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, template: Vm
) -> None:
    assert run(driver, PREPARED).clones[0].linked is True
    assert vm(hypervisor, "bare").template
    assert run(driver, replace(PREPARED, names=("desk-2",))).clones[0].linked is True
    assert len(vm(hypervisor, "bare").snapshots) == 1


@pytest.mark.parametrize("at", ["submit", "job"])
def test_a_template_is_one_again_when_its_snapshot_fails(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, template: Vm, at: str
) -> None:
    hypervisor.fail("snapshot", at="submit" if at == "submit" else "job")
    with pytest.raises(HypervisorError):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template


def test_a_template_is_one_again_after_an_interrupt(
    hypervisor: MemoryHypervisor,
    driver: MemoryDriver,
    template: Vm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, interrupts = driver.wait, iter((KeyboardInterrupt,))

    def wait(*given: object, **named: object) -> object:
        for interrupt in interrupts:
            raise interrupt
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "wait", wait)
    with pytest.raises(InterruptedByUserError, match="a template as before, with the snapshot"):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template
    assert hypervisor.calls["create_clone"] == 0


def test_a_template_is_one_again_after_an_interrupt_of_its_unmarking(
    hypervisor: MemoryHypervisor,
    driver: MemoryDriver,
    template: Vm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = driver.set_template

    def set_template(of: VmId, *, template: bool, pool: str = "") -> None:
        real(of, template=template, pool=pool)
        if not template:
            raise KeyboardInterrupt

    monkeypatch.setattr(driver, "set_template", set_template)
    with pytest.raises(InterruptedByUserError, match=r"a template as before$"):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template
    assert vm(hypervisor, "bare").snapshots == ()


def test_a_vm_that_was_left_by_a_kill_is_told_of(driver: MemoryDriver) -> None:
    with pytest.raises(NoSnapshotError, match="is not a template") as caught:
        run(driver, PREPARED)
    assert "template again" in caught.value.hint


# -- golden images ------------------------------------------------------------------------


def test_a_golden_image_is_checked_and_mended(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    bare = vm(hypervisor, "bare")
    hypervisor.insert_media(bare.id)
    driver.wait([driver.set_power(bare.id, Power.ON)], 5)
    parents = Parents(Acting(driver, address="memory:", log_folder=None))
    before = parents.prepare("bare", Mending())
    verdicts = {one.check: one.verdict for one in before.findings}
    assert (verdicts["snapshot"], verdicts["media"]) == (Verdict.FAILED, Verdict.WARNING)
    assert (before.exit_code, before.mended) == (1, ())
    mending = Mending(power_off=True, disconnect_media=True, snapshot="2026-11")
    after = parents.prepare("bare", mending)
    assert [one.action for one in after.mended] == ["power-off", "disconnect-media", "snapshot"]
    assert {one.verdict for one in after.findings} == {Verdict.OK}
    assert after.exit_code == 0
