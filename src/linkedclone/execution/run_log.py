"""A log of each run, for people. No decision ever reads it."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from linkedclone.config.redaction import scrub
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.jobs import JobStatus

_KEPT_LOGS = 50

Wording = Callable[[str], str]
"""Writes a text as a person reads it: with options and commands for the fields that it names."""


class RunLog:
    """Writes each event as a line of JSON, and passes it on.

    A log that cannot be written is not an error: the run goes on without it.
    There is none of a run that has nothing to tell.
    """

    def __init__(
        self, folder: Path | None, run: str, listener: Progress, *, wording: Wording = str
    ) -> None:
        self._folder = folder
        self._run = run
        self._listener = listener
        self._wording = wording
        self._file: TextIO | None = None
        self._opened = False
        self._actions: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def _open(self) -> TextIO | None:
        if self._opened or self._folder is None:
            return self._file
        self._opened = True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _prune(self._folder)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{self._run}.jsonl"
            self._file = (self._folder / name).open("w", encoding="utf-8")
        except OSError:
            self._file = None
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._write({"ended": kind.__name__ if kind else "", "text": str(error)})
        if self._file is not None:
            self._file.close()

    def begin(self, names: tuple[str, ...], action: str) -> None:
        """Note what the run is about."""
        self._write({"action": action, "names": list(names), "pid": os.getpid()})
        self._listener.begin(names, action)

    def update(self, event: Event) -> None:
        """Note what happened; mere percentages are left out, and what is noted already."""
        under_way = event.status is JobStatus.RUNNING
        if not under_way or self._actions.get(event.name) != event.action:
            self._actions[event.name] = event.action
            self._write(
                {
                    "name": event.name,
                    "action": event.action,
                    "status": event.status.value,
                    "text": event.text,
                }
            )
        self._listener.update(event)

    def _write(self, record: dict[str, object]) -> None:
        file = self._open()
        if file is None:
            return
        # Texts of servers may repeat what was sent to them; the other fields are ours.
        safe = {k: scrub(self._wording(str(v))) if k == "text" else v for k, v in record.items()}
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **safe}
        try:
            file.write(json.dumps(line) + "\n")
            file.flush()
        except OSError:
            self._file = None


def _prune(folder: Path) -> None:
    for old in sorted(folder.glob("*.jsonl"))[: -_KEPT_LOGS + 1]:
        old.unlink(missing_ok=True)
