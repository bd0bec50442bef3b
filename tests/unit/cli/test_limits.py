"""A limit of the system that is reached is told as one, and never as a bug."""

import errno
import os
from pathlib import Path

import pytest

from linkedclone.cli.errors import report_error
from linkedclone.cli.global_options import Choices
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "files open"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "ulimit -v"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "ulimit -u"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "ulimit -f"),
        (MemoryError(), "ulimit -v"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
    ],
)
def test_a_system_limit_is_reported_with_how_to_raise_it(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error(error, Choices()) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "bug in linkedclone" not in shown


def test_threads_that_cannot_be_started_end_in_an_error(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    outcome = run("clone", "golden", "a", "b", "--snapshot", "base")
    assert outcome.code == 1
    assert "ulimit -u" in outcome.err
    assert home.exists()
