"""Snapshots with memory of a guest that runs: taken, loaded, gone back to; killed, and cut short.

All tests share one guest, which is booted once.
"""

import hashlib
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.machine.process import find_processes
from linkedclone.drivers.local.qmp.session import with_session
from linkedclone.drivers.local.snapshots import with_memory
from linkedclone.drivers.local.state.record import MemoryRecord
from linkedclone.drivers.local.state.store import StoredVm, load_vm, locked, save_record
from linkedclone.drivers.local.storage.memory import prepare_loading
from linkedclone.errors import NoSpaceError, PowerOnError, RefusedError
from linkedclone.model.images import ImageImport
from linkedclone.model.plan import TakeSnapshot
from linkedclone.model.vm import Power, Snapshot
from linkedclone.system.locks import hold
from tests import do
from tests.contract.acts import (
    error_of,
    find,
    make,
    result_of,
    running,
    set_power,
    step_for,
)
from tests.local.machine.guest import BOOT_SECONDS, build_import
from tests.local.recovery.test_full_disk import as_root, small_filesystem
from tests.local.scenes import check_files, check_tidy, clean_up, connect, make_image
from tests.local.victim import run_killed

pytestmark = [pytest.mark.together("snapshots with memory"), pytest.mark.timeout(600)]

NONCE = "/run/nonce"
MOST_STEPS = 150


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDriver]:
    """A state folder with ``golden``, and ``desk``, which runs with an agent that answers."""
    folder = tmp_path_factory.mktemp("memory")
    with place(folder) as root, closing(connect(root, open_machine)) as opened:
        opened.images.import_image(build_import())
        try:
            make(opened, running(step_for(opened, find(opened, "golden"), "desk")))
            await_agent(machine_of(opened))
            yield opened
        finally:
            for vm in opened.observe().vms:
                machine_of(opened, vm.name).stop()
        check_tidy(root)


@contextmanager
def place(folder: Path) -> Iterator[Path]:
    """Give a place for a state folder, in a file system that can be filled if we may mount one."""
    if os.geteuid() != 0:
        yield folder / "state"
        return
    with small_filesystem(folder / "small", "1g") as small:
        yield small / "state"


@pytest.fixture(autouse=True)
def tidy(driver: LocalDriver) -> Iterator[None]:
    """End with ``desk`` alone, without snapshots, and with all as it should be."""
    yield
    assert find(driver, "desk").power is Power.ON
    for vm in driver.observe().vms:
        if vm.name not in {"golden", "desk"}:
            set_power(driver, vm, Power.OFF)
            result_of(driver, driver.start(do.delete_vm(vm)))
    for snapshot in find(driver, "desk").snapshots:
        result_of(driver, driver.start(do.delete_snapshot(find(driver, "desk"), snapshot.id)))
    check_files(driver.state.root)


def machine_of(driver: LocalDriver, name: str = "desk") -> Machine:
    return open_machine(load_vm(driver.state, find(driver, name).id))


def await_agent(machine: Machine) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not machine.observe().agent:
        assert time.monotonic() < deadline, machine.observe()
        time.sleep(0.1)


def take(driver: LocalDriver, name: str = "ready", vm: str = "desk") -> Snapshot:
    result_of(driver, driver.start(step_of(driver, name, vm)))
    (made,) = (s for s in find(driver, vm).snapshots if s.name == name)
    return made


def step_of(driver: LocalDriver, name: str, vm: str = "desk") -> TakeSnapshot:
    found = find(driver, vm)
    return TakeSnapshot(vm=found.id, vm_name=vm, name=name, memory=True)


def shell(machine: Machine, command: str) -> int:
    return machine.run_command(("sh", "-c", command), 60.0)


def read_file(machine: Machine, path: str) -> str:
    return machine.read_files({"it": path})["it"].strip()


def memory_of(driver: LocalDriver, vm: str = "desk") -> tuple[StoredVm, MemoryRecord]:
    stored = load_vm(driver.state, find(driver, vm).id)
    memory = stored.record.snapshots[-1].memory
    assert memory is not None
    return stored, memory


def hash_files(driver: LocalDriver) -> list[tuple[str, int]]:
    stored, _ = memory_of(driver)
    return [
        (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in (*stored.memory, stored.folder / stored.record.snapshots[-1].files[0])
    ]


def fork(driver: LocalDriver, name: str, source: str = "desk") -> Machine:
    """Load a new clone from the newest snapshot; it stands still."""
    found = find(driver, source)
    (newest,) = (s for s in found.snapshots if s.current)
    step = replace(step_for(driver, found, name), snapshot=newest, power_on=False)
    make(driver, step)
    stored, _ = memory_of(driver, source)
    machine = machine_of(driver, name)
    machine.load(prepare_loading(stored, stored.record.snapshots[-1]))
    return machine


def test_a_clone_goes_on_where_the_vm_stood_and_the_files_of_memory_stay_as_they_are(
    driver: LocalDriver,
) -> None:
    desk = machine_of(driver)
    assert shell(desk, f"echo kept >{NONCE}; ip link set eth0 up") == 0
    booted = read_file(desk, "/proc/sys/kernel/random/boot_id")
    take(driver)
    assert find(driver, "desk").power is Power.ON
    assert shell(desk, f"echo later >{NONCE}; echo later >/later; sync") == 0
    before = hash_files(driver)
    web = fork(driver, "web")
    check_paused(driver, "web")
    web.go_on()
    await_agent(web)
    assert read_file(web, NONCE) == "kept"
    assert read_file(web, "/proc/sys/kernel/random/boot_id") == booted
    assert shell(web, "test ! -e /later && echo web >/web && sync") == 0
    assert read_file(web, "/sys/class/net/eth0/carrier") == "0"
    web.plug_in()
    assert (
        shell(
            web,
            "for i in 1 2 3 4 5 6 7 8 9; do grep -q 1 /sys/class/net/eth0/carrier && "
            "exit 0; sleep 1; done; exit 1",
        )
        == 0
    )
    assert web.observe(guest=False).ssh is not None
    assert read_file(desk, NONCE) == "later"
    assert shell(desk, "test ! -e /web") == 0
    web.stop()
    assert hash_files(driver) == before


def check_paused(driver: LocalDriver, name: str) -> None:
    """Make sure that a VM is paused, and that whoever needs its guest is told so at once."""
    vm = find(driver, name)
    assert vm.power is Power.PAUSED
    for ask in (driver.access.build_ssh, driver.access.connect_ssh):
        with pytest.raises(RefusedError, match=f"{name} is paused"):
            ask(vm.id)
    error = error_of(driver, lambda: driver.start(step_of(driver, "ready", name)))
    assert error.brief == (
        f"{name} is paused: its guest cannot answer, so its memory cannot be kept"
    )


def test_a_fork_is_forked_again(driver: LocalDriver) -> None:
    desk = machine_of(driver)
    take(driver)
    web = fork(driver, "web")
    web.go_on()
    await_agent(web)
    assert shell(web, f"echo web >{NONCE}") == 0
    take(driver, "second", "web")
    grand = fork(driver, "grand", "web")
    grand.go_on()
    await_agent(grand)
    assert read_file(grand, NONCE) == "web"
    assert shell(desk, "true") == 0
    with machines_off(driver, "grand", "web"):
        result_of(driver, driver.start(do.delete_vm(find(driver, "grand"))))


@contextmanager
def machines_off(driver: LocalDriver, *names: str) -> Iterator[None]:
    for name in names:
        machine_of(driver, name).stop()
    yield


def test_a_revert_brings_the_vm_back_as_it_ran(driver: LocalDriver) -> None:
    desk = machine_of(driver)
    assert shell(desk, f"echo kept >{NONCE}") == 0
    ready = take(driver)
    assert shell(desk, f"rm {NONCE}; touch /afterwards; sync; date -s @1000000000") == 0
    result_of(driver, driver.start(do.revert_snapshot(find(driver, "desk"), ready.id)))
    assert find(driver, "desk").power is Power.ON
    assert read_file(desk, NONCE) == "kept"
    assert shell(desk, "test ! -e /afterwards") == 0
    assert shell(desk, f"test $(date +%s) -ge {int(time.time()) - 60}") == 0
    assert shell(desk, "grep -q 1 /sys/class/net/eth0/carrier") == 0


def test_a_revert_to_stale_memory_leaves_the_vm_off_with_its_disks(driver: LocalDriver) -> None:
    ready = take(driver)
    stored, memory = memory_of(driver)
    hidden = stored.folder / "hidden"
    (stored.folder / memory.state).rename(hidden)
    result_of(driver, driver.start(do.revert_snapshot(find(driver, "desk"), ready.id)))
    assert find(driver, "desk").power is Power.OFF
    hidden.rename(stored.folder / memory.state)
    result_of(driver, driver.start(do.revert_snapshot(find(driver, "desk"), ready.id)))
    assert find(driver, "desk").power is Power.ON


def test_memory_that_qemu_refuses_ends_in_its_words_and_no_machine_is_left(
    driver: LocalDriver, tmp_path: Path
) -> None:
    take(driver)
    stored, memory = memory_of(driver)
    sound = prepare_loading(stored, stored.record.snapshots[-1])
    desk = find(driver, "desk")
    step = replace(step_for(driver, desk, "web"), snapshot=desk.snapshots[-1], power_on=False)
    make(driver, step)
    web = machine_of(driver, "web")
    cut = tmp_path / "cut"
    shutil.copyfile(stored.folder / memory.state, cut)
    os.truncate(cut, cut.stat().st_size // 2)
    wrong = (replace(sound, state=cut), replace(sound, machine="pc-q35-6.2"))
    for loading in wrong:
        with pytest.raises(PowerOnError, match="could not load the memory") as caught:
            web.load(loading)
        assert caught.value.details
        assert web.observe().power is Power.OFF
        assert not list(find_processes(web.folder))
    with pytest.raises(RefusedError, match="other hardware"):
        web.load(replace(sound, shape="0123456789abcdef"))
    web.load(sound)
    with pytest.raises(RefusedError, match="runs already"):
        web.load(sound)


def test_memory_is_kept_only_of_a_vm_that_runs_as_it_would_be_started_now(
    driver: LocalDriver,
) -> None:
    desk = find(driver, "desk")
    with locked(driver.state, desk.id) as stored:
        machine = replace(stored.record.machine, cpus=2)
        changed = save_record(driver.state, stored, replace(stored.record, machine=machine))
    error = error_of(driver, lambda: driver.start(step_of(driver, "ready")))
    with locked(driver.state, desk.id) as stored:
        save_record(driver.state, changed, replace(stored.record, machine=stored.record.machine))
        cpus = replace(stored.record.machine, cpus=1)
        save_record(driver.state, changed, replace(changed.record, machine=cpus))
    assert isinstance(error, RefusedError)
    assert "would be started with now" in error.brief
    golden = error_of(driver, lambda: driver.start(step_of(driver, "ready", "golden")))
    assert isinstance(golden, RefusedError)
    assert "does not run" in golden.brief


def test_a_guest_without_an_agent_is_refused_and_goes_on_as_it_was(
    driver: LocalDriver, tmp_path: Path
) -> None:
    image = make_image(tmp_path / "image.qcow2")
    driver.images.import_image(ImageImport(file=image, name="mute", memory_bytes=64 << 20))
    make(driver, running(step_for(driver, find(driver, "mute"), "blank")))
    before = load_vm(driver.state, find(driver, "blank").id).record
    error = error_of(driver, lambda: driver.start(step_of(driver, "ready", "blank")))
    assert isinstance(error, RefusedError)
    assert "no agent answers" in error.brief
    after = load_vm(driver.state, find(driver, "blank").id).record
    assert replace(after, serial=before.serial) == before
    assert machine_of(driver, "blank").observe(guest=False).power is Power.ON


# -- kills ------------------------------------------------------------------------------


def carry_out(root: Path) -> None:
    with closing(connect(root, open_machine)) as driver:
        take(driver)


def check_kill(driver: LocalDriver, step: int) -> int:
    """Kill the command at a step: the guest goes on, and a repeated command takes the snapshot."""
    desk = machine_of(driver)
    assert shell(desk, f"echo {step} >{NONCE}") == 0
    passed = run_killed(carry_out, (driver.state.root,), step)
    clean_up(driver.state.root)
    stored = load_vm(driver.state, find(driver, "desk").id)
    assert not stored.record.unsettled
    assert find(driver, "desk").power is Power.ON
    assert read_file(desk, NONCE) == str(step)
    assert shell(desk, "echo x >>/log && sync") == 0
    check_files(driver.state.root)
    assert not list(driver.state.staging.iterdir())
    if not stored.record.snapshots:
        take(driver)
    (snapshot,) = find(driver, "desk").snapshots
    assert snapshot.memory is not None
    assert snapshot.memory.stale == ""
    stored = load_vm(driver.state, stored.id)
    prepare_loading(stored, stored.record.snapshots[-1])
    result_of(driver, driver.start(do.delete_snapshot(find(driver, "desk"), snapshot.id)))
    return passed


def test_a_killed_command_leaves_no_snapshot_or_a_whole_one_and_the_guest_running(
    driver: LocalDriver,
) -> None:
    steps = check_kill(driver, 0)
    assert 10 < steps < MOST_STEPS
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"{steps} steps, seed {seed}")
    for step in sorted(random.Random(seed).sample(range(1, steps + 1), 2)):
        print(f"killed at {step}")
        check_kill(driver, step)


def test_a_guest_that_a_killed_command_left_paused_goes_on_with_the_next_look(
    driver: LocalDriver,
) -> None:
    """Also while others are at work, so that what the command left cannot be removed yet."""
    desk = machine_of(driver)
    with locked(driver.state, find(driver, "desk").id) as stored:
        save_record(driver.state, stored, replace(stored.record, halted=True))
    entry = driver.state.staging / "0badcafe.snapshot.desk"
    entry.mkdir()
    with_session(desk.folder, desk.config.uuid, lambda session: session.monitor.execute("stop"))
    assert find(driver, "desk").power is Power.PAUSED
    with hold(driver.state.family_lock, shared=True):
        clean_up(driver.state.root)
    assert entry.exists()
    assert find(driver, "desk").power is Power.ON
    clean_up(driver.state.root)
    assert not load_vm(driver.state, find(driver, "desk").id).record.unsettled


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_command_that_is_killed_at_any_step_does_so(driver: LocalDriver) -> None:
    for step in range(1, MOST_STEPS):
        print(f"killed at {step}")
        if check_kill(driver, step) != step:
            return
    raise AssertionError("it has no end")


# -- a full disk ------------------------------------------------------------------------


@contextmanager
def filled(folder: Path, left_bytes: int) -> Iterator[None]:
    """Leave no more room than that in a file system."""
    seen, filler = os.statvfs(folder), folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, seen.f_bavail * seen.f_frsize - left_bytes)
    try:
        yield
    finally:
        filler.unlink()


@as_root
@pytest.mark.parametrize("looked", [True, False], ids=["at the look", "later"])
@pytest.mark.parametrize("left_mib", [24, 120], ids=["for the stream", "for the files"])
def test_where_there_is_no_room_for_memory_the_guest_goes_on_and_nothing_is_left(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch, looked: bool, left_mib: int
) -> None:
    """Room may be there when it is looked at, and taken by others before it is needed."""
    desk = machine_of(driver)
    assert shell(desk, f"echo {left_mib} >{NONCE}; sync") == 0
    if not looked:
        monkeypatch.setattr(with_memory, "refuse_full", lambda *_: None)
    with filled(driver.state.root.parent, left_mib << 20):
        error = error_of(driver, lambda: driver.start(step_of(driver, "ready")))
    assert isinstance(error, NoSpaceError), error
    assert error.hint
    assert find(driver, "desk").snapshots == ()
    set_power(driver, find(driver, "desk"), Power.ON)  # it may have met the full disk, too
    assert read_file(desk, NONCE) == str(left_mib)
    assert not load_vm(driver.state, find(driver, "desk").id).record.unsettled
    take(driver)
