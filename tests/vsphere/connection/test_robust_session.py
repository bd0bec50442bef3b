"""One session under stress: it ends, the password changes, the network breaks, nobody answers."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.connection.keepalive import KeepAlive
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import (
    AuthenticationError,
    EndpointError,
    LostAnswerError,
    UnreachableError,
)
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import find, finish, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, lose_patience, opened, prepare, steps_for, target_for


class Gate:
    """A way to the simulator that can be closed, or swallow what is sent."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.mute = False
        self.passed = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self.passed += 1
                far = socket.create_connection(self._there)
                self._open += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.mute:
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break all connections that are open."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def gate(simulator: Simulator) -> Iterator[Gate]:
    with closing(Gate(simulator.host, simulator.port)) as gate:
        yield gate


def through(gate: Gate, simulator: Simulator) -> Endpoint:
    return replace(simulator.endpoint(), host="127.0.0.1", port=gate.port)


def session_of(driver: Driver) -> Session:
    assert isinstance(driver, VsphereDriver)
    return driver._session


def test_many_threads_log_in_once_when_their_session_ends(
    simulator: Simulator, driver: Driver
) -> None:
    simulator.end_sessions()
    simulator.reset_calls()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: driver.find_vms([PARENT]), range(48)))
    assert {vms[0].name for vms in found} == {"DC0_H0_VM0"}
    assert simulator.calls()["Login"] == 1


def test_a_password_that_was_changed_is_tried_once(simulator: Simulator, driver: Driver) -> None:
    session = session_of(driver)
    session.endpoint = replace(session.endpoint, password=Secret("yesterday's"))
    simulator.end_sessions()
    simulator.reset_calls()

    def look(_: int) -> str:
        with pytest.raises(AuthenticationError) as caught:
            driver.find_vms([PARENT])
        return f"{caught.value.brief} {caught.value.hint}"

    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(look, range(24)))
    assert simulator.calls()["Login"] == 1  # more would lock the account
    (words,) = told
    assert "has ended, and the login is refused" in words
    assert "may have been changed" in words
    assert "yesterday" not in words


def test_a_session_that_ends_between_two_pages_costs_a_second_read(
    simulator: Simulator, driver: Driver
) -> None:
    session = session_of(driver)
    ended: list[int] = []
    real = session.read

    def read(about: str, method: object, *given: object, **named: object) -> object:
        answer = real(about, method, *given, **named)  # type: ignore[arg-type]
        if getattr(answer, "token", None) and not ended:
            ended.append(simulator.control("POST", "sessions/terminate", {}) is not None)
        return answer

    session.read = read  # type: ignore[method-assign]
    # More than a page: the hosts' and clusters' objects, read by one walk.
    parent = prepare(driver)
    names = [f"desk-{n:03}" for n in range(130)]
    target = target_for(driver, parent)
    jobs = [driver.start(step) for step in steps_for(parent, target, names)]
    states = finish(driver, jobs)
    assert all(state.result for state in states)
    assert len(driver.observe_names(target, names)) == 130
    assert len(driver.observe().vms) >= 130


def test_a_filter_of_a_dead_session_is_made_anew(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    result_of(driver, driver.start(do.set_power(vm, Power.ON)))
    simulator.delays(task_ms={"PowerOffVM_Task": 2500})
    job = driver.start(do.set_power(vm, Power.OFF))
    driver.wait([job], 1.0)
    simulator.end_sessions()
    simulator.reset_calls()
    (state,) = finish(driver, [job])
    assert state.error is None
    result_of(driver, driver.start(do.set_power(vm, Power.ON)))
    assert simulator.calls()["CreateFilter"] >= 1  # watching goes on in the new session
    assert simulator.calls()["Login"] == 1


def test_connections_that_broke_while_idle_cost_nothing(simulator: Simulator, gate: Gate) -> None:
    with closing(open_driver(through(gate, simulator))) as driver:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: driver.find_vms([PARENT]), range(16)))
        gate.cut()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: driver.find_vms([PARENT]), range(16)))


def test_after_a_silence_a_call_goes_over_a_new_connection(
    simulator: Simulator, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.drivers.vsphere.connection.session._STALE_SECONDS", 0.0)
    with closing(open_driver(through(gate, simulator))) as driver:
        vm = find(driver, PARENT)
        time.sleep(0.01)
        gate.cut()
        # Sent once, as it changes something: on an old connection it would be lost.
        result_of(driver, driver.start(do.set_power(vm, Power.ON)))


def test_a_server_that_takes_the_call_and_never_answers(simulator: Simulator, gate: Gate) -> None:
    with closing(open_driver(through(gate, simulator))) as driver:
        assert isinstance(driver, VsphereDriver)
        vm = find(driver, PARENT)
        lose_patience(driver, 0.3)
        gate.mute = True
        with pytest.raises(LostAnswerError, match="broke"):
            driver.start(do.set_power(vm, Power.ON))
        gate.mute = False


def test_a_server_that_takes_no_connection_any_more(simulator: Simulator, gate: Gate) -> None:
    driver = open_driver(through(gate, simulator))
    vm = find(driver, PARENT)
    gate.close()
    with pytest.raises(LostAnswerError):  # on the connection that was open
        driver.start(do.set_power(vm, Power.ON))
    with pytest.raises(UnreachableError):
        driver.start(do.set_power(vm, Power.ON))
    driver.close()


def test_a_port_that_accepts_but_stays_silent_is_reported_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoint = Endpoint(
            kind="vsphere", host="127.0.0.1", port=port, user="u", password=Secret("p"),
            timeout_seconds=0.5,
        )  # fmt: skip
        with pytest.raises(EndpointError, match="in time"):
            open_driver(endpoint)


# -- keeping it alive -----------------------------------------------------------------


class Asked:
    """Stands for a session: counts how often it is kept alive."""

    def __init__(self) -> None:
        self.silent_seconds = 99.0
        self.pings = threading.Semaphore(0)

    def ping(self) -> None:
        self.pings.release()


def test_silence_is_broken_until_it_is_stopped() -> None:
    asked = Asked()
    keeper = KeepAlive(asked, 0.01)
    assert asked.pings.acquire(timeout=120)
    assert asked.pings.acquire(timeout=120)
    keeper.stop()


def test_one_that_talks_anyway_is_left_alone() -> None:
    asked = Asked()
    asked.silent_seconds = 0.0
    keeper = KeepAlive(asked, 0.01)
    assert not asked.pings.acquire(timeout=0.2)
    keeper.stop()


def test_the_keep_alive_thread_ends_with_its_session() -> None:
    asked = Asked()
    thread = KeepAlive(asked, 0.01).thread
    del asked
    thread.join(120)
    assert not thread.is_alive()


def test_a_ping_is_the_current_time(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        simulator.reset_calls()
        session_of(driver).ping()
        assert simulator.calls() == {"CurrentTime": 1}


def test_a_ping_of_a_dead_server_raises_nothing(simulator: Simulator, gate: Gate) -> None:
    driver = open_driver(through(gate, simulator))
    gate.close()
    session_of(driver).ping()
    driver.close()


def test_the_id_of_a_task_is_reported_with_its_job(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    job = driver.start(do.set_power(VmId(vm.id), Power.ON))
    assert job.task.startswith("task-")
    (state,) = finish(driver, [job])
    assert state.job.task == job.task


def test_tls_is_still_checked_when_a_connection_is_opened_late(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        session = session_of(driver)
        strict = ssl.create_default_context()
        session._stub.schemeArgs["context"] = strict
        session._stub.DropConnections()
        with pytest.raises(EndpointError, match=r"not trusted|not the pinned"):
            driver.find_vms([PARENT])
