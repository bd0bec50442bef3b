"""Runs the tests in several processes, which are forked when all tests are collected.

What was imported and collected once is there for each of them.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from warnings import WarningMessage

import pytest

from tests.command import share_server, start_server
from tests.folders import folders_of
from tests.scheduling import Unit, arrange

FORKING = get_context("fork")
END_SECONDS = 300.0
"""How long a worker may take to take down what its last test had set up."""


@dataclass(kw_only=True, eq=False)
class Worker:
    """A process that runs tests, as the first process sees it.

    Attributes:
        todo: What it was given and has not finished; it is at the first of these.
    """

    name: str
    process: BaseProcess
    connection: Connection
    todo: deque[int] = field(default_factory=deque)


def run_all(session: pytest.Session, count: int) -> None:
    """Run all tests of a session in so many processes."""
    units = deque(arrange(session.items))
    start_server()
    with _crew(session, min(count, len(units))) as crew:
        while crew:
            for connection in wait([worker.connection for worker in crew]):
                (worker,) = (one for one in crew if one.connection is connection)
                try:
                    _take(session, units, worker)
                except (EOFError, ConnectionError):
                    crew.remove(worker)
                    if _bury(session, units, worker):
                        crew.append(_hire(session, f"{worker.name}-again", crew))
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


@contextmanager
def _crew(session: pytest.Session, count: int) -> Iterator[list[Worker]]:
    crew: list[Worker] = []
    try:
        for number in range(count):
            crew.append(_hire(session, f"worker-{number}", crew))
        yield crew
    finally:
        for worker in crew:  # those that still work end when they have nobody to tell
            worker.connection.close()
        for worker in crew:
            _end(worker)


def _hire(session: pytest.Session, name: str, crew: Sequence[Worker]) -> Worker:
    here, there = FORKING.Pipe()
    not_its_own = (here, *(worker.connection for worker in crew))
    process = FORKING.Process(target=_work, args=(session, name, there, not_its_own))
    process.start()
    there.close()
    return Worker(name=name, process=process, connection=here)


def _take(session: pytest.Session, units: deque[Unit], worker: Worker) -> None:
    """Do what a worker asks for: give it more, tell of a test, or strike off one that is over."""
    told, data = worker.connection.recv()
    hook = session.config.hook
    match told:
        case "more":
            over = session.shouldfail or session.shouldstop
            unit = units.popleft() if units and not over else ()
            worker.todo += unit
            worker.connection.send(unit)
        case "report":
            report = hook.pytest_report_from_serializable(config=session.config, data=data)
            hook.pytest_runtest_logreport(report=report)
        case "warning":
            hook.pytest_warning_recorded.call_historic(kwargs=data)
        case _:
            worker.todo.popleft()


def _bury(session: pytest.Session, units: deque[Unit], worker: Worker) -> bool:
    """Look at how a worker ended; return whether somebody has to go on for it."""
    worker.connection.close()
    _end(worker)
    if not worker.process.exitcode and not worker.todo:
        return False
    item = session.items[worker.todo.popleft() if worker.todo else -1]
    text = f"{worker.name} ended with {worker.process.exitcode}"
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
    session.config.hook.pytest_runtest_logreport(report=report)
    if worker.todo:
        units.appendleft(tuple(worker.todo))
    return bool(units)


def _end(worker: Worker) -> None:
    worker.process.join(END_SECONDS)
    worker.process.kill()  # nothing, where it has ended
    worker.process.join()


# -- in a worker ------------------------------------------------------------------------


def _work(
    session: pytest.Session, name: str, first: Connection, not_its_own: Sequence[Connection]
) -> None:
    for connection in not_its_own:
        connection.close()
    _settle(session.config, name)
    teller = Teller(session.config)
    session.config.pluginmanager.register(teller)
    teller.first = first  # who is told of the warnings that there were before knows of them
    with closing(first):
        try:
            for item, following in _receive(session, first):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                first.send(("over", None))
        except KeyboardInterrupt:
            pass
        finally:
            session._setupstate.teardown_exact(None)
    os._exit(0)  # threads that tests left are not waited for


def _receive(
    session: pytest.Session, first: Connection
) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    """Give each test with the one that follows: what both need stays."""

    def ask() -> list[pytest.Item]:
        first.send(("more", None))
        return [session.items[number] for number in first.recv()]

    items = ask()
    while items:
        item = items.pop(0)
        items = items or ask()
        yield item, (items[0] if items else None)


def _settle(config: pytest.Config, name: str) -> None:
    """Have what no two processes can share: a folder, what captures, and a reporter."""
    share_server()
    folders = folders_of(config)
    folders._basetemp = folders.getbasetemp() / name
    folders._basetemp.mkdir(mode=0o700)
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    config.get_terminal_writer()._file = Path(os.devnull).open("w")  # noqa: SIM115 - until it ends


class Teller:
    """Tells the first process what happens in this one."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.first: Connection | None = None

    def _tell(self, what: str, data: Any) -> None:
        if self.first is not None:
            self.first.send((what, data))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._tell("report", data)

    def pytest_warning_recorded(
        self,
        warning_message: WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        text = str(warning_message.message)
        kind, file, line = (getattr(warning_message, n) for n in ("category", "filename", "lineno"))
        plain: dict[str, Any] = {"warning_message": WarningMessage(text, kind, file, line)}
        plain |= {"when": when, "nodeid": nodeid, "location": location}
        self._tell("warning", plain)
