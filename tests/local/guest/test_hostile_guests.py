"""A guest whose agent answers with rubbish harms no command, least of all one about others."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from linkedclone.cli.main import main
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.machine.process import find_processes
from linkedclone.drivers.local.qmp.sockets import find_listener
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.store import load_all, load_vm, locked, save_record
from linkedclone.errors import HypervisorError
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import find, make, result_of, step_for
from tests.local.false_qemu import DISGUISED, ENDED, GARBLED, MUTE, SILENT, STRANGER
from tests.local.scenes import connect, make_image

ROOT = Path(__file__).parents[3]
BEGIN_SECONDS = 240.0

Begin = Callable[[str, str], Path]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    root = tmp_path / "state"
    monkeypatch.setenv("LINKEDCLONE_ENDPOINT", f"local:{root}")
    with closing(connect(root)) as driver:
        file = make_image(tmp_path / "image.qcow2")
        driver.images.import_image(ImageImport(file=file, name="golden"))
        for name in ("bad", "good"):
            make(driver, step_for(driver, find(driver, "golden"), name))
    return root


@pytest.fixture
def run(state: Path) -> Iterator[Begin]:
    """Let a VM of the state folder run with an agent of a certain kind; return its folder."""
    with ExitStack() as stack:

        def begin(name: str, case: str) -> Path:
            stored = load_all(open_state(state, immutable=False)).vms
            (vm,) = [vm for vm in stored if vm.record.name == name]
            folder = vm.folder / "run"
            folder.mkdir(exist_ok=True)
            command = (sys.executable, "-m", "tests.local.false_qemu", vm.record.uuid, case)
            process = stack.enter_context(
                subprocess.Popen(command, cwd=folder, env={"PYTHONPATH": str(ROOT)})
            )
            stack.callback(process.kill)
            deadline = time.monotonic() + BEGIN_SECONDS
            while not (folder / "qmp.sock").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            return folder

        yield begin


def test_a_hostile_agent_keeps_no_command_from_its_work(
    run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    run("bad", "addresses that are a number")
    for command in (
        ("list",),
        ("show", "bad"),
        ("usage",),
        ("inventory", "--list"),
        ("gc", "--yes"),
        ("delete", "good", "--yes"),
        ("list", "-o", "json"),
        ("stop", "bad"),
        ("delete", "bad", "--yes"),
    ):
        code = main(list(command))
        told = capsys.readouterr()
        assert "bug in linkedclone" not in told.err
        assert code == 0, (command, told)


@pytest.mark.parametrize("case", ["deep objects", "half a surrogate", "an endless number"])
def test_a_guest_is_listed_and_stopped_whatever_its_agent_says(
    run: Begin, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    run("bad", case)
    assert main(["list"]) == 0
    assert "on" in capsys.readouterr().out
    assert main(["stop", "bad"]) == 0


def test_a_hard_stop_and_a_deletion_never_ask_the_agent(state: Path, run: Begin) -> None:
    folder = run("bad", MUTE)
    with closing(connect(state, open_machine)) as driver:
        (vm,) = [vm for vm in driver.state.list_vms() if vm.startswith("bad.")]
        result_of(driver, driver.start(do.set_power(vm, Power.OFF)))
        assert not (folder / "qmp.sock").exists()
        result_of(driver, driver.start(do.delete_vm(vm)))
        assert not (folder / "asked").exists()
        assert vm not in driver.state.list_vms()


def test_the_commands_that_stop_and_delete_ask_no_agent_when_they_look(run: Begin) -> None:
    """A mute agent would cost each look its seconds, for each VM that runs."""
    folders = [run("bad", MUTE), run("good", MUTE)]
    for command in (("stop", "bad"), ("delete", "bad", "--yes"), ("gc",), ("stop", "good")):
        assert main(list(command)) == 0
    assert not any((folder / "asked").exists() for folder in folders)


def test_a_qemu_of_ours_is_stopped_hard_whichever_uuid_it_answers(
    run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("bad", DISGUISED)
    assert main(["list"]) == 0
    assert "unknown" in capsys.readouterr().out
    assert main(["stop", "bad"]) == 0
    assert not tuple(find_processes(folder))
    assert main(["delete", "bad", "--yes"]) == 0


def test_a_process_that_was_not_started_for_the_vm_is_named_and_never_killed(
    run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("bad", STRANGER)
    listener = find_listener(folder, "qmp.sock")
    assert main(["stop", "bad"]) == 1
    told = capsys.readouterr().err
    assert "was not started for it" in told
    assert f"process {listener} listens" in told
    assert find_listener(folder, "qmp.sock") == listener


def test_a_link_in_the_place_of_a_socket_is_not_followed(run: Begin) -> None:
    """It may lead to another program's socket, or to another VM's."""
    folder = run("bad", MUTE)
    (folder / "link.sock").symlink_to("qmp.sock")
    (folder / "file.sock").touch()
    assert find_listener(folder, "qmp.sock")
    assert find_listener(folder, "link.sock") is None
    assert find_listener(folder, "file.sock") is None


def test_a_qemu_that_makes_no_sense_is_not_off_and_is_killed_by_a_hard_stop(
    run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("bad", GARBLED)
    assert main(["list"]) == 0
    assert "unknown" in capsys.readouterr().out
    for command in (("snapshot", "create", "bad", "one"), ("promote", "bad", "--yes")):
        assert main(list(command)) == 1
        assert "does not answer as it should" in capsys.readouterr().err
    assert main(["stop", "bad"]) == 0
    assert not tuple(find_processes(folder))
    assert main(["delete", "bad", "--yes"]) == 0


def test_a_silent_qemu_is_killed_by_a_hard_stop_after_one_patience(state: Path, run: Begin) -> None:
    """Each question to it costs its whole patience."""
    folder = run("bad", SILENT)
    with closing(connect(state, open_machine)) as driver:
        bad = find(driver.without_guests(machines=False), "bad")
        result_of(driver, driver.start(do.set_power(bad, Power.OFF)))
    assert not tuple(find_processes(folder))
    assert (folder / "asked").read_text().split() == ["monitor"]


def test_show_looks_once_at_the_machine_and_never_for_the_lineage(
    state: Path, run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each look at one that does not answer, or at a mute agent, costs its whole patience."""
    folder = run("bad", MUTE)
    with closing(connect(state, open_machine)) as driver:
        assert {vm.power for vm in driver.without_guests(machines=False).observe().vms} == {
            Power.UNKNOWN
        }
    assert not (folder / "asked").exists()
    assert main(["show", "bad"]) == 0
    assert "golden" in capsys.readouterr().out
    assert len((folder / "asked").read_text().split()) == 1


def test_a_qemu_that_says_it_is_off_is_not_and_is_stopped_like_any_other(
    state: Path, run: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the disks open: as off it could neither be stopped nor its VM deleted."""
    folder = run("bad", ENDED)
    with closing(connect(state, open_machine)) as driver:
        assert find(driver, "bad").power is Power.PAUSED
    assert main(["stop", "bad"]) == 0
    assert not tuple(find_processes(folder))
    assert main(["delete", "bad", "--yes"]) == 0


def test_a_qemu_that_names_no_layers_settles_nothing(state: Path, run: Begin) -> None:
    """What it writes to is unknown then: no layer may be taken for a leftover."""
    run("bad", ENDED)
    with closing(connect(state, open_machine)) as driver:
        bad = find(driver, "bad")
        with locked(driver.state, bad.id) as stored:
            copy = stored.folder / "disk-copy.qcow2"
            copy.write_bytes(stored.top.read_bytes())
            record = stored.record.with_copies({0: copy.name})
            moving = save_record(driver.state, stored, record)
            with pytest.raises(HypervisorError, match="does not say which layers"):
                settle(driver.state, open_machine, moving)
        assert copy.exists()
        assert load_vm(driver.state, bad.id).record == moving.record
