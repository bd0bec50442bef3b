"""No password is ever shown, whatever goes wrong."""

import subprocess
import sys

import pytest

from tests.unit.cli.conftest import Run

CANARY = "c4nary-pw%zz"


@pytest.mark.parametrize(
    ("variables", "args"),
    [
        ({"GOVC_URL": f"me:{CANARY}@127.0.0.1:1"}, ["list"]),
        ({"GOVC_URL": f"https://me:{CANARY}@127.0.0.1:1/sdk"}, ["doctor"]),
        ({"GOVC_URL": f"https://me:{CANARY}@nowhere.invalid/sdk"}, ["clone", "a", "b"]),
        ({"GOVC_URL": f"ftp://me:{CANARY}@h"}, ["list"]),
        ({"GOVC_URL": f"me@domain:{CANARY}/x@h"}, ["list"]),
        ({"GOVC_URL": "me@127.0.0.1:1", "GOVC_PASSWORD": CANARY}, ["endpoints", "test"]),
        ({"LINKEDCLONE_ENDPOINT": f"vsphere://me:{CANARY}@127.0.0.1:1"}, ["tree"]),
        ({"LINKEDCLONE_ENDPOINT": f"me:{CANARY}@h"}, ["tree"]),
        ({}, ["-e", f"vsphere://me:{CANARY}@127.0.0.1:1", "list"]),
        ({}, ["endpoints", "add", "lab", f"vsphere://me:{CANARY}@127.0.0.1:1"]),
        ({}, ["endpoints", "add", "lab", f"me:{CANARY}@127.0.0.1:1"]),
        ({}, ["endpoints", "add", f"vsphere://me:{CANARY}@h", "memory:"]),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_errors_and_tracebacks_hide_it(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    args: list[str],
    output: str,
) -> None:
    monkeypatch.delenv("LINKEDCLONE_ENDPOINT")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = run("--debug", "-v", "-o", output, *args)
    assert outcome.code in {1, 2}
    assert "c4nary" not in outcome.out + outcome.err


def test_what_a_library_repeats_is_scrubbed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from linkedclone.cli import session

    def fail(endpoint: object, **_: object) -> None:
        raise RuntimeError(f"cannot send {CANARY} to {endpoint!r}")

    monkeypatch.setattr(session, "open_connection", fail)
    monkeypatch.setenv("GOVC_PASSWORD", CANARY)
    outcome = run("-e", "vsphere://me@h", "list", "--debug", "-o", "json")
    assert outcome.code == 1
    assert "this is a bug in linkedclone" in outcome.err
    assert "cannot send ********" in outcome.err
    assert "Traceback" in outcome.err
    assert "c4nary" not in outcome.out + outcome.err


def test_without_debug_there_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from linkedclone.cli import session

    def fail(_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(session, "open_connection", fail)
    outcome = run("list")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "--debug" in outcome.err


def test_a_closed_output_pipe_is_not_an_error(home: object) -> None:
    many = f"{sys.executable} -m linkedclone clone golden 'x-{{1..2000}}' -o json"
    done = subprocess.run(
        ["bash", "-c", f"{many} | head -1; echo codes ${{PIPESTATUS[@]}}"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.splitlines() == ["{", "codes 0 0"]
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
