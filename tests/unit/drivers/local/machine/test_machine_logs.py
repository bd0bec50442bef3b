"""Logs of machines: the last of what QEMU and a guest say is kept, and never fills the disk."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine import logs
from linkedclone.drivers.local.machine.logs import (
    QEMU_LOG,
    Bound,
    keep_logs,
    list_log,
    measure_logs,
    read_tail,
    remove_log,
)

BOUND = Bound(piece_bytes=64, pieces=16)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BOUNDS", {QEMU_LOG: BOUND})


def say(folder: Path, lines: Sequence[str]) -> None:
    """Write as QEMU does: without waiting for whoever reads, so that a flood is cut."""
    with keep_logs(folder, [QEMU_LOG]) as (log,):
        writer = os.dup(log.write_end)
    os.set_blocking(writer, True)
    for line in lines:
        os.write(writer, line.encode())
    os.close(writer)
    log.wait()


def flood(descriptor: int) -> None:
    for _ in range(1 << 12):
        os.write(descriptor, bytes(4096))


def test_what_qemu_says_is_kept(tmp_path: Path) -> None:
    say(tmp_path, ["one\n", "two\n"])
    assert read_tail(tmp_path, QEMU_LOG) == "one\ntwo"
    assert (tmp_path / QEMU_LOG).stat().st_mode & 0o777 == 0o600


def test_what_qemu_says_is_written_while_it_runs(tmp_path: Path) -> None:
    with keep_logs(tmp_path, [QEMU_LOG]) as (log,):
        os.write(log.write_end, b"one\n")
        deadline = time.monotonic() + 60
        while read_tail(tmp_path, QEMU_LOG) != "one":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_log_that_a_guest_floods_is_bounded_and_holds_the_last_words(tmp_path: Path) -> None:
    say(tmp_path, [f"warning {number:060}\n" for number in range(1000)])
    files = [path for path in list_log(tmp_path, QEMU_LOG) if path.exists()]
    assert sum(path.stat().st_size for path in files) <= 2 * BOUND.piece_bytes * BOUND.pieces
    assert read_tail(tmp_path, QEMU_LOG).endswith("999")
    assert 0 < measure_logs(tmp_path) <= 2 * 4096


def test_a_log_is_removed_only_after_all_was_written_and_is_begun_anew(tmp_path: Path) -> None:
    say(tmp_path, ["x" * 64] * 40)
    remove_log(tmp_path, QEMU_LOG)
    assert not any(path.exists() for path in list_log(tmp_path, QEMU_LOG))
    say(tmp_path, [])
    assert read_tail(tmp_path, QEMU_LOG) == ""


def test_a_writer_does_not_block_without_a_reader(tmp_path: Path) -> None:
    with keep_logs(tmp_path, [QEMU_LOG]) as (log,):
        log.keeper.send_signal(signal.SIGSTOP)
        with pytest.raises(BlockingIOError):
            flood(log.write_end)
        log.keeper.kill()
        log.keeper.wait()


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / QEMU_LOG)
    assert read_tail(tmp_path, QEMU_LOG) == ""
    say(tmp_path, ["words"])
    assert read_tail(tmp_path, QEMU_LOG) == "words"
