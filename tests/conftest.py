"""Fixtures that several folders of tests share."""

import gc
import json
import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from linkedclone.model.values.secret import _ALIVE
from tests.folders import folders_of, free
from tests.local.copies import Built
from tests.simulator import Simulator

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile(
    "any-machine",
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate", action="store_true", help="write golden files anew instead of comparing"
    )
    parser.addoption("--soak", action="store_true", help="run the long tests too")
    parser.addoption("--workers", type=int, default=0, help="run the tests in so many processes")


def pytest_configure(config: pytest.Config) -> None:
    """Leave this machine's keyring alone; try fewer examples than the long runs do."""
    config.addinivalue_line("markers", "together(name): run by one worker, with what they share")
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    os.environ["LINKEDCLONE_LOCAL_IMMUTABLE"] = "no"  # what tests leave is removed
    # What a shell starts in the background ignores it, and all that it starts in turn.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("few", settings.get_profile("any-machine"), max_examples=30)
    if not config.getoption("--soak"):
        settings.load_profile("few")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have a folder before any worker is forked, in which all build what they copy."""
    Built.place = folders_of(session.config).getbasetemp() / "built"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect no garbage among what is imported and collected: it stays until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="a long run: switched on with --soak"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let pytest remove all that the tests left, before it tries."""
    free(folders_of(session.config).getbasetemp())


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests by several workers, if that is asked for."""
    count: int = session.config.getoption("--workers")
    if not count or session.config.option.collectonly or session.testsfailed:
        return None
    from tests.workers import run_all

    run_all(session, count)
    return True


@pytest.fixture(autouse=True)
def secrets_of_this_test() -> Iterator[None]:
    """Forget the passwords of a test: while some traceback holds one, texts are cleared of it."""
    before = set(_ALIVE)
    yield
    for one in set(_ALIVE) - before:
        _ALIVE.pop(one, None)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Compare data with the folder's ``golden/NAME.json``, or write that file anew."""

    def compare(name: str, data: object) -> None:
        file = request.path.parent / "golden" / f"{name}.json"
        text = json.dumps(data, indent=2, sort_keys=True) + "\n"
        if request.config.getoption("--regenerate"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert json.loads(file.read_text()) == json.loads(text)

    return compare


@pytest.fixture
def start_simulator() -> Iterator[Callable[..., Simulator]]:
    """Start simulators with flags of their own; all end with the test."""
    running: list[Simulator] = []

    def start(*args: str) -> Simulator:
        running.append(Simulator.start(*args))
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def simulator(start_simulator: Callable[..., Simulator]) -> Simulator:
    """A fresh simulator with its default inventory: DC0 with a host, a cluster and four VMs."""
    return start_simulator()
