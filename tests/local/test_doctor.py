"""What ``doctor`` finds on this machine, and the one command that mends it."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linkedclone.cli.main import main
from linkedclone.cli.references import render_references
from linkedclone.cli.views.usage import render_usage
from linkedclone.cli.views.vms import render_vm
from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.diagnosis import host, state_checks
from linkedclone.drivers.local.diagnosis.doctor import diagnose, examine
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine import accelerator
from linkedclone.drivers.local.machine.accelerator import Accelerator
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.settings import ACCEL_VARIABLE
from linkedclone.drivers.local.state.store import StoredVm, load_vm, save_record
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.lineage.usage import measure
from linkedclone.lineage.vm_rows import VmRow
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.images import DiskExport, ImageImport
from linkedclone.model.report import Mode
from linkedclone.model.vm import Power
from linkedclone.system.locks import hold
from tests import do
from tests.command import FORKED
from tests.contract.acts import error_of, find, make, step_for
from tests.local.pretend import PretendMachine, open_pretend_machine
from tests.local.recovery.test_full_disk import as_root, small_filesystem
from tests.local.scenes import (
    check_tidy,
    clean_up,
    connect,
    make_image,
    overlay_by_hand,
    top_of,
    write,
)
from tests.local.state.test_unprivileged import NOBODY

KVM_WORKS = Accelerator(name="kvm", reason="a kernel boots with KVM")
KVM_HANGS = Accelerator(name="tcg", reason="KVM is there, but a kernel hangs with it")
KVM_CLOSED = Accelerator(name="tcg", reason="/dev/kvm may not be opened", remedy="sudo usermod …")


@pytest.fixture(autouse=True)
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ACCEL_VARIABLE, raising=False)
    monkeypatch.setattr(host, "choose_accelerator", lambda _: KVM_HANGS)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    """A state folder with a parent and a clone."""
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden"))
        make(opened, step_for(opened, find(opened, "golden"), "desk"))
        yield opened


def only(found: Sequence[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in found if finding.check == check]
    return finding


def look(driver: LocalDriver, check: str) -> Finding:
    return only(diagnose(driver.state.root, open_pretend_machine), check)


# -- the whole ------------------------------------------------------------------------


def test_all_is_well_on_a_machine_that_is_used(driver: LocalDriver) -> None:
    found = diagnose(driver.state.root, open_pretend_machine)
    checks = ("programs", "accelerator", "permissions", "disk space")
    contained = ("links", "leftovers", "machines", "networks", "identities", "layers")
    assert [one.check for one in found] == [*checks, *contained]
    assert {one.verdict for one in found if one.check != "disk space"} == {Verdict.OK}
    assert not [one for one in found if one.verdict is Verdict.OK and one.remedy]


def test_a_machine_that_was_never_used_is_looked_at_without_making_anything(
    tmp_path: Path,
) -> None:
    seen = examine(Endpoint(kind="local", path=str(tmp_path / "a" / "state")))
    assert seen.inventory is None
    assert only(seen.findings, "permissions").text.endswith("is made when it is first needed")
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_what_it_finds_and_cleans_nothing_up(
    driver: LocalDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    dead = driver.state.staging / "0a1b2c3d.clone.web"
    dead.mkdir()
    assert main(["doctor", "--endpoint", f"local:{driver.state.root}"]) == 0
    assert "commands were killed midway: 1 clone" in capsys.readouterr().out
    assert dead.exists()


def test_the_families_are_looked_at_and_nothing_is_changed(
    driver: LocalDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    desk = find(driver, "desk")
    base = driver.state.root / desk.disks[0].chain[0].path
    overlay_by_hand(driver.state.folder(desk.id) / "hand.qcow2", base)
    write(top_of(driver.state, desk), at=0, length=1 << 20, fill=5)
    twin = load_vm(driver.state, find(driver, "golden").id)
    machine = replace(twin.record.machine, cards=(CardRecord(mac=desk.macs[0]),))
    save_record(driver.state, twin, replace(twin.record, machine=machine))
    command = ["-o", "json", "doctor", "--endpoint", f"local:{driver.state.root}"]
    before = {path: path.lstat().st_mtime_ns for path in driver.state.root.rglob("*")}

    assert main(command) == 0
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert found["chain depth"]["verdict"] == found["chain files"]["verdict"] == "ok"
    assert "desk" in found["delta size"]["text"]
    assert "1 disk file belongs to no VM" in found["stray files"]["text"]
    assert f"MAC address {desk.macs[0]}: desk, golden" in found["identity"]["text"]

    base.rename(base.with_suffix(".away"))
    assert main(command) == 1
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert found["chain files"]["verdict"] == "failed"
    base.with_suffix(".away").rename(base)
    after = {path: path.lstat().st_mtime_ns for path in driver.state.root.rglob("*")}
    assert {path for path in after if after[path] != before.get(path)} <= {base.parent}


# -- programs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "packages"),
    [
        (["qemu-system-x86_64"], "qemu-system-x86"),
        (["qemu-img"], "qemu-utils"),
        (["ssh", "ssh-keygen"], "openssh-client"),
        (["ssh", "qemu-img"], "qemu-utils openssh-client"),
    ],
)
def test_missing_programs_are_named_with_their_packages(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], packages: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in missing else f"/bin/{name}")
    (found,) = host.check_programs()
    assert found.verdict is Verdict.FAILED
    assert all(name in found.text for name in missing)
    assert found.remedy.removeprefix("sudo ") == f"apt install {packages}"


# -- accelerator ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "chosen", "verdict", "text", "remedy"),
    [
        (("", ""), KVM_WORKS, "ok", "kvm, because a kernel boots with KVM", ""),
        (("", ""), KVM_HANGS, "ok", "tcg, because KVM is there, but a kernel hangs with it", ""),
        (("", ""), KVM_CLOSED, "warning", "tcg, because /dev/kvm may not", "sudo usermod"),
        (("", "auto"), KVM_WORKS, "ok", "kvm, because a kernel boots", ""),
        (("", "tcg"), KVM_WORKS, "ok", "tcg, because LINKEDCLONE_ACCEL asks for it", ""),
        (("", "TCG"), KVM_WORKS, "ok", "tcg, because LINKEDCLONE_ACCEL asks for it", ""),
        (("", "kvm"), KVM_WORKS, "ok", "kvm, because a kernel boots", ""),
        (("", "kvm"), KVM_HANGS, "warning", "asks for kvm, which does not work", "unset LINKEDC"),
        (("", "kvm"), KVM_CLOSED, "warning", "asks for kvm, which does not work", "sudo usermod"),
        (
            ("", "xen"),
            KVM_WORKS,
            "failed",
            "'xen', which is not an accelerator",
            "unset LINKEDCLONE",
        ),
        (("tcg", "kvm"), KVM_WORKS, "ok", "tcg, because ``accel`` asks for it", ""),
        (("auto", "tcg"), KVM_WORKS, "ok", "kvm, because a kernel boots", ""),
    ],
)
def test_the_accelerator_is_reported_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, str],
    chosen: Accelerator,
    verdict: str,
    text: str,
    remedy: str,
) -> None:
    option, environment = asked
    monkeypatch.setenv(ACCEL_VARIABLE, environment)
    monkeypatch.setattr(host, "choose_accelerator", lambda _: chosen)
    (found,) = host.check_accelerator(option, ())
    assert found.verdict.value == verdict
    assert text in found.text
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) == bool(remedy)


def test_kvm_is_tried_with_the_kernel_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path | None] = []

    def choose(kernel: Path | None) -> Accelerator:
        tried.append(kernel)
        return KVM_WORKS

    monkeypatch.setattr(host, "choose_accelerator", choose)
    kernel, image = tmp_path / "kernel", make_image(tmp_path / "image.qcow2")
    kernel.write_text("a kernel")
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden", kernel=kernel))
        look(driver, "accelerator")
    assert [path and path.read_text() for path in tried] == ["a kernel"]


@pytest.mark.parametrize(
    ("mode", "gid", "remedy"),
    [
        (0o660, os.getgid() or 1, "sudo usermod --append --groups "),
        (0o600, os.getgid() or 1, ""),
        (0o660, 0, ""),
    ],
)
def test_a_user_without_access_to_kvm_is_told_the_group(
    monkeypatch: pytest.MonkeyPatch, mode: int, gid: int, remedy: str
) -> None:
    device = SimpleNamespace(stat=lambda: SimpleNamespace(st_gid=gid, st_mode=mode))
    monkeypatch.setattr(accelerator, "KVM_DEVICE", device)
    assert accelerator._build_remedy().startswith(remedy)
    assert bool(accelerator._build_remedy()) == bool(remedy)


# -- permissions ----------------------------------------------------------------------


@as_root
def test_a_read_only_state_folder_is_reported(driver: LocalDriver) -> None:
    root = driver.state.root
    with small_filesystem(root.parent / "small", "8m") as folder:
        shutil.copytree(root, folder / "state", symlinks=True)
        (folder / "state/staging/0badcafe.clone.killed").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        clean_up(folder / "state")  # as all commands begin: what is there can be looked at
        with closing(connect(folder / "state")) as there:
            desk = find(there, "desk")
            error = error_of(there, lambda: there.start(do.delete_vm(desk)))
            rescued = DiskExport(vm=desk.id, file=root.parent / "rescued.qcow2", format="qcow2")
            there.folder.export_disk(rescued)
            assert rescued.file.exists()
        (found,) = host.check_permissions(folder / "state")
    assert error.hint.startswith("its file system is mounted read-only")
    assert found.verdict is Verdict.FAILED
    assert "read-only" in found.text
    assert found.remedy == f"mount -o remount,rw {folder}"


@dataclass(frozen=True)
class Closed:
    """A folder on the way that is not as it has to be, and what mends it."""

    path: str
    spoil: Callable[[Path], object]
    text: str
    remedy: str


def give_to_root(path: Path) -> None:
    os.chown(path, 0, 0)
    path.chmod(0o755)


def put_file_there(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def close_to_others(path: Path) -> None:
    os.chown(path, 0, 0)
    path.chmod(0o700)


CLOSED = [
    Closed("home", lambda path: path.chmod(0o600), "is closed to", "chmod a+x {path}"),
    Closed("home", close_to_others, "is closed to", "sudo chmod a+x {path}"),
    Closed("home/my-files", lambda path: path.chmod(0o644), "is closed", "chmod a+x {path}"),
    Closed("home/my-files/state", close_to_others, "cannot be read and written", "sudo chattr"),
    Closed("home/my-files/state", put_file_there, "not a folder", "mv {path} {path}.old"),
    Closed("home/my-files/state", shutil.rmtree, "is made when it is first needed", ""),
    Closed("home/my-files/state/vms", give_to_root, "cannot be read and written", "sudo chattr"),
    Closed("home/my-files/state/names", lambda path: path.chmod(0o500), "cannot", "chmod u+rwx"),
    Closed("home/my-files/state/vms/desk.1", give_to_root, "cannot be", "sudo chattr -R -f -i"),
    Closed("home/my-files/state/staging/1.clone.x", give_to_root, "cannot be", "sudo chattr"),
    Closed("home/my-files/state/id_ed25519", lambda path: path.chmod(0o644), "ssh", "chmod 600"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to give folders away")
@pytest.mark.parametrize("case", CLOSED, ids=lambda case: f"{case.path}: {case.text}")
@pytest.mark.parametrize("linked", [False, True], ids=["", "behind a link"])
def test_every_folder_on_the_way_is_looked_at(case: Closed, linked: bool) -> None:
    with closing_folder() as base:
        state = base / "home/my-files/state"
        for name in ("names", "uuids", "vms/desk.1", "staging/1.clone.x"):
            (state / name).mkdir(parents=True)
        (state / "id_ed25519").touch(mode=0o600)
        for path in base.rglob("*"):
            os.chown(path, NOBODY, NOBODY)
        (base / "link").symlink_to(base / "home/my-files")
        case.spoil(base / case.path)
        way = base / "link/state" if linked else state
        verdict, text, remedy = look_as_nobody(way, home=base)
        assert verdict == ("failed" if case.remedy else "ok")
        assert case.text in text
        assert remedy.startswith(case.remedy.format(path=base / case.path))
        subprocess.run(["bash", "-c", f'sudo() {{ "$@"; }}; {remedy}'], check=True)
        assert look_as_nobody(way, home=base)[0] == "ok"


def look_as_nobody(state: Path, *, home: Path) -> list[str]:
    """Check permissions as a user without any rights; return verdict, text and remedy."""
    told = FORKED.SimpleQueue()
    process = FORKED.Process(target=check_as_nobody, args=(state, home, told))
    process.start()
    process.join()
    assert process.exitcode == 0
    found: list[str] = told.get()
    return found


def check_as_nobody(state: Path, home: Path, told: Any) -> None:
    os.environ["HOME"] = str(home)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    (found,) = host.check_permissions(state)
    told.put([found.verdict.value, found.text, found.remedy])


def test_where_no_folder_can_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    (found,) = host.check_permissions(tmp_path / "a" / "state")
    assert found.verdict is Verdict.FAILED
    assert found.text.startswith(f"{tmp_path} lets ")
    assert f"install -d -o {host._user()} {tmp_path}/a/state" in found.remedy


class closing_folder:  # noqa: N801 - reads as a function
    """A folder that every user can reach, unlike pytest's own."""

    def __enter__(self) -> Path:
        made = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True)
        self._path = Path(made.stdout.strip())
        os.chown(self._path, NOBODY, NOBODY)
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)


# -- disk space -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "total", "verdict"),
    [
        (50 << 30, 100 << 30, "ok"),
        ((1 << 30) - 1, 4 << 30, "warning"),
        (1 << 30, 4 << 30, "ok"),
        (49 << 30, 1000 << 30, "warning"),
        (50 << 30, 1000 << 30, "ok"),
        (0, 0, "warning"),
    ],
)
def test_little_space_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, total: int, verdict: str
) -> None:
    usage = SimpleNamespace(free=free, total=total)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (found,) = host.check_space(tmp_path / "not" / "there" / "yet")
    assert found.verdict.value == verdict
    assert found.remedy.startswith("du -xh " if verdict == "warning" else "")
    assert bool(found.remedy) == (verdict == "warning")


# -- leftovers ------------------------------------------------------------------------


def test_entries_of_dead_commands_go_with_the_next_command(driver: LocalDriver) -> None:
    for name in ("00000001.clone.web-1", "00000002.clone.web-2", "00000003.snapshot.desk"):
        (driver.state.staging / name).mkdir()
    found = look(driver, "leftovers")
    assert found.verdict is Verdict.WARNING
    assert found.text == "commands were killed midway: 2 clone, 1 snapshot"
    carry_out(found.remedy)
    assert look(driver, "leftovers").verdict is Verdict.OK
    check_tidy(driver.state.root)


def test_a_running_command_is_not_a_leftover(driver: LocalDriver) -> None:
    entry = driver.state.staging / "00000001.delete.web"
    entry.mkdir()
    stray = driver.state.folder(find(driver, "desk").id) / "disk-00000000.qcow2"
    stray.touch()
    with hold(entry / "lock"):
        assert look(driver, "leftovers").verdict is Verdict.OK
    assert look(driver, "leftovers").verdict is Verdict.WARNING


def test_a_folder_that_is_locked_for_long_is_not_looked_into(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_checks, "_LOOK_SECONDS", 0.05)
    with hold(driver.state.family_lock, shared=True):
        assert "at work" in look(driver, "leftovers").text


def test_files_that_nothing_reaches_go_with_the_command_that_is_named(driver: LocalDriver) -> None:
    stray = driver.state.folder(find(driver, "desk").id) / "disk-00000000.qcow2"
    stray.write_bytes(bytes(8192))
    gone = driver.state.vms / "gone.0a1b2c3d"
    gone.mkdir()
    (gone / "disk-00000001.qcow2").touch()
    found = look(driver, "leftovers")
    assert found.verdict is Verdict.WARNING
    assert found.text.startswith("nothing reads 2 files (8.0 KiB), as ")
    carry_out(found.remedy)
    assert stray.exists()
    carry_out(f"{found.remedy} --yes")
    assert not stray.exists()
    assert not gone.exists()
    assert look(driver, "leftovers").verdict is Verdict.OK
    check_tidy(driver.state.root)


def test_while_a_layer_is_missing_nothing_counts_as_unreached(driver: LocalDriver) -> None:
    (driver.state.folder(find(driver, "desk").id) / "disk-00000000.qcow2").touch()
    base = driver.state.root / find(driver, "desk").disks[0].chain[0].path
    base.rename(base.with_suffix(".away"))
    assert look(driver, "leftovers").verdict is Verdict.OK
    layers = [
        one for one in diagnose(driver.state.root, open_pretend_machine) if one.check == "layers"
    ]
    assert layers[0].verdict is Verdict.FAILED
    assert "missing" in layers[0].text
    assert layers[0].remedy


# -- machines -------------------------------------------------------------------------


class Stuck(PretendMachine):
    """A machine that is seen as the test wants it."""

    def __init__(self, vm: StoredVm, states: dict[str, MachineState]) -> None:
        super().__init__(vm.folder)
        self._state = states.get(vm.record.name, MachineState(power=Power.OFF))

    def observe(self, *, guest: bool = True) -> MachineState:  # noqa: ARG002
        return self._state


FULL = MachineState(power=Power.PAUSED, reason="the disk's file system is full")
BROKEN = MachineState(power=Power.PAUSED, reason="a disk error")
MUTE = MachineState(power=Power.UNKNOWN, reason="QEMU does not answer")
ON = MachineState(power=Power.ON)


@pytest.mark.parametrize(
    ("states", "text", "remedy"),
    [
        ({}, "0 of 2 run", ""),
        ({"desk": ON}, "1 of 2 run", ""),
        ({"desk": FULL}, "paused: desk (the disk's file system is full)", "``start`` desk"),
        (
            {"desk": FULL, "golden": FULL},
            "paused: desk, golden (the disk's",
            "``start`` desk golden",
        ),
        ({"desk": BROKEN}, "paused: desk (a disk error)", "``start`` desk"),
        ({"desk": MUTE}, "desk does not answer: QEMU does not answer", ""),
    ],
)
def test_a_stuck_machine_is_reported(
    driver: LocalDriver, states: dict[str, MachineState], text: str, remedy: str
) -> None:
    found = only(diagnose(driver.state.root, lambda vm: Stuck(vm, states)), "machines")
    assert text in found.text
    if remedy:
        assert found.verdict is Verdict.WARNING
        assert found.remedy == f"{remedy} ``endpoint`` local:{driver.state.root}"
    else:
        assert not found.remedy


def test_the_socket_of_a_killed_machine_is_reported(driver: LocalDriver) -> None:
    run = driver.state.folder(find(driver, "desk").id) / "run"
    run.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        descriptor = os.open(run, os.O_PATH)
        server.bind(f"/proc/self/fd/{descriptor}/qmp.sock")
        os.close(descriptor)
    found = look(driver, "machines")
    assert found.verdict is Verdict.WARNING
    assert found.text.startswith("ended without having been stopped: desk")
    assert "``start`` desk " in found.remedy


def test_guest_logs_that_fill_the_disk_are_reported_by_doctor_usage_and_show(
    driver: LocalDriver,
) -> None:
    log = driver.state.folder(find(driver, "desk").id) / "run/console.log"
    log.parent.mkdir()
    log.write_bytes(b"again and again " * (2 << 20))
    desk = find(driver, "desk")
    usage = measure(driver.observe(sizes=True))
    assert desk.log_bytes == usage.log_bytes == usage.document()["log_bytes"]
    assert (desk.log_bytes or 0) >= 32 << 20
    assert "logs of consoles and of QEMU: 32.0 MiB; desk has" in render_usage(usage, vms=False)
    row = VmRow(vm=desk, parent="", snapshot="", mode=Mode.LINKED)
    assert row.document(whole=True)["log_bytes"] == desk.log_bytes
    assert "logs       32.0 MiB" in render_vm(row)
    found = look(driver, "machines")
    assert found.verdict is Verdict.WARNING
    assert str(log) in found.text
    assert found.remedy.startswith("truncate ")
    carry_out(found.remedy)
    assert look(driver, "machines").verdict is Verdict.OK


def test_access_of_guests_to_this_machine_is_reported(driver: LocalDriver) -> None:
    assert "10.0.2.2" in look(driver, "networks").text


# -- layers ---------------------------------------------------------------------------


def test_a_changed_base_fails_with_what_mends_it(driver: LocalDriver) -> None:
    base = driver.state.root / find(driver, "desk").disks[0].chain[0].path
    base.chmod(0o644)
    with base.open("r+b") as file:
        file.seek(500_000)
        file.write(b"changed")
    base.chmod(0o444)
    found = look(driver, "layers")
    assert found.verdict is Verdict.FAILED
    assert "was changed" in found.text
    assert found.remedy.startswith("put the file back")


def carry_out(remedy: str) -> None:
    """Do what a remedy says, with the ``linkedclone`` of these tests."""
    program = f'linkedclone() {{ {shlex.quote(sys.executable)} -m linkedclone "$@"; }}; '
    subprocess.run(
        ["bash", "-c", program + render_references(remedy)], check=True, capture_output=True
    )
