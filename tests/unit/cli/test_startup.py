"""Help, version and wrong input answer before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "pyVmomi",
    "rich",
    "pydantic",
    "ruamel",
    "keyring",
    "qemu.qmp",
    "linkedclone.drivers",
    "linkedclone.app",
)

_PROBE = """
import sys
from linkedclone.cli.main import main
code = main(sys.argv[1:])
loaded = sorted(m for m in sys.modules if m.startswith({heavy!r}))
print(code, loaded, "click" in sys.modules, file=sys.stderr)
"""


def _probe(*args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(heavy=HEAVY), *args],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stderr.splitlines()[-1]


def test_help_imports_not_even_click() -> None:
    assert _probe("--help") == "0 [] False"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--version"], 0),
        ([], 2),
        (["clone", "--help"], 0),
        (["endpoints", "add", "--help"], 0),
        (["snapshot"], 2),
        (["cloen"], 2),
        (["clone", "golden"], 2),
        (["clone", "golden", "x", "--cpus", "many"], 2),
        (["clone", "golden", "x", "--nonsense"], 2),
        (["clone", "golden", "x{3..1}"], 2),
        (["delete", "x"], 2),
        (["promote", "x"], 2),
        (["grow", "x", "much"], 2),
        (["adopt", "x", "--owner", ""], 2),
        (["gc", "--scan", "x", "--no-scan"], 2),
        (["usage", "--help"], 0),
        (["completion", "bash"], 0),
    ],
)
def test_nothing_heavy_is_imported_for_an_answer(args: list[str], code: int) -> None:
    assert _probe(*args) == f"{code} [] True"


@pytest.mark.parametrize("verb", ["list", "tree", "usage", "gc"])
def test_a_table_in_a_pipe_needs_neither_rich_nor_pydantic(verb: str) -> None:
    loaded = _probe("-e", "memory:family", verb)
    assert "rich" not in loaded
    assert "pydantic" not in loaded
    assert "pyVmomi" not in loaded


def test_a_local_endpoint_without_running_machines_needs_no_qmp_library(tmp_path: Path) -> None:
    loaded = _probe("-e", f"local:{tmp_path / 'state'}", "list")
    assert "linkedclone.drivers.local.driver" in loaded
    assert "qemu.qmp" not in loaded
