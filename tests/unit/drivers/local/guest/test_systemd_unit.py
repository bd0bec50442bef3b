"""The systemd unit: its text, and what systemd says of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linkedclone.drivers.local.guest.systemd_unit import quote, render_unit

GOLDEN = Path(__file__).parent / "golden" / "unit.service"


def test_the_unit_is_as_recorded() -> None:
    text = render_unit(Path("/srv/my clones/100%"), python="/opt/venv/bin/python")
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("local:/srv/my clones", '"local:/srv/my clones"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\c', '"a\\"b\\\\c"'),
    ],
)
def test_words_reach_the_command_as_they_are(word: str, quoted: str) -> None:
    assert quote(word) == quoted


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    unit = tmp_path / "linkedclone@web-1.service"
    unit.write_text(render_unit(tmp_path / "my clones"))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
