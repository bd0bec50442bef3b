"""Answers that are not whole, replayed through the command line (issue: A1, A2, 12a, 18).

A family stands on the simulator: a golden VM and two linked clones. Every
command here is one that whole answers refuse, or one that only reads. So
whatever comes back, nothing may change, nothing may be told to be empty, and a
command ends with a sentence of its own.
"""

import gzip
import html
import io
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from linkedclone.cli.main import main
from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import LostAnswerError
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, lose_patience, main_job, opened, prepare
from tests.vsphere.proxy import Change, Proxy, Reply, honestly, proxied

pytestmark = pytest.mark.together("mutilated answers")  # one worker sets up what they share

GOLDEN = "DC0_H0_VM0"
CLONES = ("desk-1", "desk-2")
CHANGES = frozenset(
    {
        "Destroy_Task",
        "RemoveSnapshot_Task",
        "RevertToSnapshot_Task",
        "DeleteDatastoreFile_Task",
        "UnregisterVM",
        "PowerOffVM_Task",
        "ReconfigVM_Task",
        "CloneVM_Task",
        "CreateSnapshot_Task",
    }
)
READS = ("RetrievePropertiesEx", "ContinueRetrievePropertiesEx")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def names(self) -> set[str]:
        return {vm["name"] for vm in json.loads(self.out)["vms"]}

    @property
    def ids(self) -> set[str]:
        return {vm["id"] for vm in json.loads(self.out)["vms"]}


@contextmanager
def opened_at(endpoint: Endpoint) -> Iterator[VsphereDriver]:
    driver = open_driver(endpoint)
    assert isinstance(driver, VsphereDriver)
    try:
        yield driver
    finally:
        driver.close()


class World:
    """The family, and the way to it."""

    def __init__(self, simulator: Simulator, proxy: Proxy) -> None:
        self.simulator = simulator
        self.proxy = proxy
        self.ids = self.run("list", "-o", "json").ids

    def run(self, *arguments: str, change: Change = honestly) -> Outcome:
        """Run a command inside this process; what was sent is counted anew."""
        self.proxy.change, self.proxy.sent = change, []
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(list(arguments))
        return Outcome(code=code, out=out.getvalue(), err=err.getvalue())

    @property
    def changes(self) -> frozenset[str]:
        """What was sent that changes something."""
        return CHANGES & set(self.proxy.sent)


@pytest.fixture
def world(standing: World) -> World:
    """The family behind a proxy that is honest again, whatever the test before made of it."""
    standing.proxy.change, standing.proxy.sent = honestly, []
    return standing


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("home")
    with Simulator.start() as simulator, proxied(simulator) as proxy, opened(simulator) as driver:
        prepare(driver)
        _, clones = main_job(driver, PARENT, CLONES)
        # One runs and one is off: what is off is what could be taken for half-made.
        result_of(driver, driver.start(do.set_power(clones[-1], Power.OFF)))
        before = dict(os.environ)
        for name in before:
            if name.startswith(("GOVC_", "LINKEDCLONE_")):
                del os.environ[name]
        os.environ.update(proxy.environment(folder))
        yield World(simulator, proxy)
        os.environ.clear()
        os.environ.update(before)


# -- answers --------------------------------------------------------------------------

_PROPERTY = re.compile(rb"<propSet>\s*<name>([^<]*)</name>.*?</propSet>", re.DOTALL)
_OBJECT = re.compile(rb"<objects>.*?</objects>", re.DOTALL)
_REFUSED = (
    '<missingSet><path>{path}</path><fault><fault xsi:type="{kind}">'
    "<privilegeId>System.View</privilegeId></fault>"
    "<localizedMessage>not for you</localizedMessage></fault></missingSet>"
)


def refuse(body: bytes, kind: str, which: Callable[[str], bool] = lambda _: True) -> bytes:
    """Refuse properties instead of telling them, as a vCenter does that has lost the session."""

    def change(match: re.Match[bytes]) -> bytes:
        path = match[1].decode()
        refused = _REFUSED.format(path=path, kind=kind).encode()
        return refused if which(path) else match[0]

    return _PROPERTY.sub(change, body)


def voiding(kind: str = "NotAuthenticated", *, first: int = 0, last: int = 10**9) -> Change:
    """Refuse all that the property reads of these numbers tell."""
    count = iter(range(10**9))

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        if method in READS and first <= next(count) <= last:
            reply.body = refuse(reply.body, kind)
        return reply

    return change


def answering(methods: Sequence[str], reply: Reply, *, times: int = 10**9) -> Change:
    """Answer calls of some methods with something else; they do not reach the simulator."""
    left = [times]

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        if method not in methods or not left[0]:
            return ask()
        left[0] -= 1
        return replace(reply)

    return change


def cutting(methods: Sequence[str], announced: int | None) -> Change:
    """Cut the first answer to one of some methods off in the middle."""
    left = [1]

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        if method in methods and left[0]:
            left[0] -= 1
            reply = replace(reply, body=reply.body[: len(reply.body) // 2], announced=announced)
        return reply

    return change


HTML = b"<html><body><h1>Please log in</h1></body></html>"
FOREIGN = {
    "a page of a proxy": Reply(status=200, body=HTML),
    "an HTML5 page": Reply(status=200, body=b"<!DOCTYPE html><html><p>Please log in</html>"),
    "nothing": Reply(status=200, body=b""),
    "a compressed answer": Reply(
        status=200, body=gzip.compress(b"<a>" * 10**6), headers={"Content-Encoding": "gzip"}
    ),
    "text": Reply(status=200, body=b"OK"),
    "JSON": Reply(status=200, body=b'{"error": "unauthorized"}'),
    "an empty envelope": Reply(
        status=200,
        body=b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body/></Envelope>',
    ),
    "an answer to another method": Reply(
        status=200,
        body=b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        b'<LogoutResponse xmlns="urn:vim25"/></Body></Envelope>',
    ),
}


# -- the cases of the issue -----------------------------------------------------------


def test_a1_a_golden_vm_with_clones_survives_void_pages(world: World) -> None:
    for first in range(3):
        for last in (first, first + 1, 10**9):
            done = world.run(
                "delete", GOLDEN, "--yes", "--force", change=voiding(first=first, last=last)
            )
            assert done.code == 1
            assert not world.changes
            assert "bug in linkedclone" not in done.err
    assert world.run("list", "-o", "json").names >= {GOLDEN, *CLONES}


def test_a1_a_void_page_is_not_an_empty_list(world: World) -> None:
    once = world.run("list", "-o", "json", change=voiding(last=0))
    assert (once.code, once.names >= {GOLDEN, *CLONES}) == (0, True)
    always = world.run("list", change=voiding())
    assert (always.code, always.out) == (1, "")
    assert "does not know the session of this login" in always.err
    assert "System.View" in always.err


def test_a1_another_refusal_is_not_an_empty_list(world: World) -> None:
    for kind in ("NoPermission", "SystemError", "QuantumFault"):
        done = world.run("delete", GOLDEN, "--yes", "--force", change=voiding(kind))
        assert done.code != 0
        assert not world.changes


@pytest.mark.parametrize("what", FOREIGN)
def test_a2_another_document_is_an_error_that_names_what_came(world: World, what: str) -> None:
    foreign = answering(READS, FOREIGN[what])
    for command in (["list"], ["delete", GOLDEN, "--yes", "--force"]):
        done = world.run(*command, change=foreign)
        assert (done.code, done.out) == (1, "")
        assert "answered with something else" in done.err
        assert not world.changes
    once = world.run("list", "-o", "json", change=answering(READS, FOREIGN[what], times=1))
    assert once.names >= {GOLDEN, *CLONES}


@pytest.mark.parametrize("what", FOREIGN)
def test_12a_a_task_call_that_something_else_answers_may_have_been_done(
    world: World, what: str
) -> None:
    foreign = answering(["CreateSnapshot_Task"], FOREIGN[what])
    done = world.run("snapshot", "create", GOLDEN, "further", change=foreign)
    assert done.code == 1
    assert "answered with something else" in done.err
    assert "look whether it was done" in done.err
    assert "bug in linkedclone" not in done.err


def test_answers_that_are_cut_off_are_read_again_and_calls_are_not(world: World) -> None:
    for announced in (None, -1, 10**6):
        done = world.run("list", "-o", "json", change=cutting(READS, announced))
        assert (done.code, done.names >= {GOLDEN, *CLONES}) == (0, True)
    done = world.run(
        "snapshot", "create", GOLDEN, "cut", change=cutting(["CreateSnapshot_Task"], None)
    )
    assert (done.code, world.proxy.sent.count("CreateSnapshot_Task")) == (1, 1)
    assert "look whether it was done" in done.err


def replaying(number: int, first: int) -> Change:
    """Answer property reads from one on with what an earlier one was answered with."""
    bodies: list[bytes] = []

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        if method != "RetrievePropertiesEx":
            return reply
        bodies.append(reply.body)
        return replace(reply, body=bodies[number]) if len(bodies) > first else reply

    return change


@pytest.mark.parametrize(("number", "first"), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_a2_an_answer_to_an_earlier_question_is_not_the_look_of_a_guard(
    world: World, number: int, first: int
) -> None:
    for command in (
        ("delete", GOLDEN, "--yes", "--force"),
        ("snapshot", "delete", GOLDEN, "base", "--yes", "--force"),
    ):
        done = world.run(*command, change=replaying(number, first))
        assert done.code != 0
        assert not world.changes


@pytest.mark.parametrize("gone", ["HostSystem:host-1", "Task:task-1"])
def test_a2_a_destroy_that_fails_because_something_else_is_gone_is_not_done(
    world: World, gone: str
) -> None:
    kind, moid = gone.split(":")
    fault = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body><e:Fault>'
        "<faultcode>ServerFaultCode</faultcode><faultstring>gone</faultstring><detail>"
        '<ManagedObjectNotFoundFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound">'
        f'<obj type="{kind}">{moid}</obj></ManagedObjectNotFoundFault></detail>'
        "</e:Fault></e:Body></e:Envelope>"
    ).encode()
    never = answering(["Destroy_Task"], Reply(status=500, body=fault))
    done = world.run("delete", CLONES[0], "--yes", change=never)
    assert done.code == 1
    assert world.run("list", "-o", "json").names >= {CLONES[0]}


@pytest.mark.parametrize("shape", ["a fault", "a page", "another status"])
def test_9_a_password_that_a_server_echoes_is_never_shown(
    world: World, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "p&ss<w\"o'rd>x"
    monkeypatch.setenv("GOVC_PASSWORD", password)
    monkeypatch.setenv("GOVC_USERNAME", world.simulator.user)
    monkeypatch.setenv("GOVC_URL", f"https://127.0.0.1:{world.proxy.port}/sdk")

    def echo(method: str, request: bytes, ask: Callable[[], Reply]) -> Reply:
        if method != "Login":
            return ask()
        told = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault>'
            f"<faultcode>x</faultcode><faultstring>bad: {html.escape(request.decode())}"
            "</faultstring></e:Fault></e:Body></e:Envelope>"
        )
        return {
            "a fault": Reply(status=500, body=told.encode()),
            "a page": Reply(status=200, body=b"<html>" + request.split(b"?>")[-1] + b"</html>"),
            "another status": Reply(status=400, body=request),
        }[shape]

    done = world.run("list", "--debug", change=echo)
    assert done.code == 1
    assert ("<password" in done.err) is (shape == "a fault")
    once = html.escape(password)
    for form in (password, once, html.escape(password, quote=False), html.escape(once)):
        assert form not in done.out + done.err


# -- A3, A4: VMs that cannot be read --------------------------------------------------


def blurring(change: Callable[[str, bytes], bytes | None], names: Sequence[str]) -> Change:
    """Change the properties of some VMs: given path and XML, what stands there instead, or None."""

    def blur(match: re.Match[bytes]) -> bytes:
        if not any(f">{name}</val>".encode() in match[0] for name in names):
            return match[0]
        return _PROPERTY.sub(lambda m: change(m[1].decode(), m[0]) or b"", match[0])

    def answer(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        return replace(reply, body=_OBJECT.sub(blur, reply.body)) if method in READS else reply

    return answer


def in_state(state: str) -> Change:
    """Let the clones be without a configuration, as in this state of connection."""

    def change(path: str, told: bytes) -> bytes | None:
        if path == "runtime.connectionState":
            return told.replace(b">connected<", f">{state}<".encode())
        return None if path.startswith(("config.", "snapshot", "layoutEx")) else told

    return blurring(change, CLONES)


def refusing(*paths: str) -> Change:
    """Refuse properties of the clones."""

    def change(path: str, told: bytes) -> bytes:
        return refuse(told, "NoPermission") if path in paths else told

    return blurring(change, CLONES)


UNREADABLE = {
    "inaccessible": (in_state("inaccessible"), "cannot get at its files"),
    "orphaned": (in_state("orphaned"), "no host knows it"),
    "invalid": (in_state("invalid"), "is not valid"),
    "disconnected": (in_state("disconnected"), "its host is disconnected"),
    "a state of tomorrow": (in_state("quantum"), "quantum"),
    "without devices": (refusing("config.hardware.device"), "config.hardware.device"),
    "without a state": (refusing("runtime.connectionState"), "runtime.connectionState"),
    "without a UUID": (refusing("config.instanceUuid"), "config.instanceUuid"),
    "without a place": (refusing("config.files.vmPathName"), "config.files.vmPathName"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a3_a_clone_that_cannot_be_read_is_unknown_and_keeps_its_base(
    world: World, what: str
) -> None:
    change, reason = UNREADABLE[what]
    listed = world.run("list", "-o", "json", change=change)
    rows = {vm["name"]: vm for vm in json.loads(listed.out)["vms"]}
    for name in CLONES:
        assert (rows[name]["mode"], rows[name]["linked"]) == ("unknown", None)
        assert reason in rows[name]["unreadable"]
    assert rows[GOLDEN]["unreadable"] is None
    for command in (
        ("delete", GOLDEN, "--yes", "--force"),
        ("snapshot", "delete", GOLDEN, "base", "--yes", "--force"),
    ):
        done = world.run(*command, change=change)
        assert (done.code, world.changes) == (1, frozenset())
        assert "desk-1" in done.err


def test_a3_doctor_does_not_call_a_vm_healthy_that_cannot_be_read(world: World) -> None:
    assert "every VM can be read" in world.run("doctor").out
    done = world.run("doctor", change=in_state("inaccessible"))
    assert done.code == 1
    assert "desk-1 cannot be read" in done.out


def test_a4_clones_keep_their_base_where_datastores_may_not_be_seen(world: World) -> None:
    def hide(match: re.Match[bytes]) -> bytes:
        is_store = b'<obj type="Datastore"' in match[0]
        return refuse(match[0], "NoPermission") if is_store else match[0]

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        return replace(reply, body=_OBJECT.sub(hide, reply.body)) if method in READS else reply

    listed = world.run("list", "-o", "json", change=change)
    rows = {vm["name"]: vm for vm in json.loads(listed.out)["vms"]}
    assert {(rows[name]["parent"], rows[name]["mode"]) for name in CLONES} == {(GOLDEN, "linked")}
    done = world.run("delete", GOLDEN, "--yes", "--force", change=change)
    assert (done.code, world.changes) == (1, frozenset())
    assert "used by: desk-1, desk-2" in done.err


@pytest.mark.parametrize("first", [1, 2])
def test_a1_an_id_that_is_another_vm_s_from_some_read_on_is_not_deleted(
    world: World, first: int
) -> None:
    """As where a vCenter is restored, or a VM is renamed, between the looks of one command."""
    name, count = CLONES[1], iter(range(10**9))

    def rename(match: re.Match[bytes]) -> bytes:
        if f">{name}</val>".encode() not in match[0]:
            return match[0]
        uuid = rb"(<name>config.instanceUuid</name><val[^>]*>)[^<]*"
        told = match[0].replace(f">{name}</val>".encode(), b">payroll</val>")
        return re.sub(uuid, rb"\g<1>00000000-1111-2222-3333-444444444444", told)

    def change(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        later = method in READS and next(count) >= first
        return replace(reply, body=_OBJECT.sub(rename, reply.body)) if later else reply

    done = world.run("delete", name, "--yes", "--force", change=change)
    assert (done.code, world.changes) == (1, frozenset())
    assert "payroll" in done.err


# -- 12a: bounds ----------------------------------------------------------------------


def test_12a_a_greeting_without_end_is_not_read_to_its_end(world: World) -> None:
    huge = Reply(status=200, body=b"<a>" + b" " * (8 << 20))
    done = world.run("list", change=answering(["RetrieveServiceContent"], huge))
    assert done.code == 1
    assert "is not a vCenter" in done.err
    assert "larger than 1 MiB" in done.err


@pytest.mark.parametrize(
    "body",
    [
        b"<a>" * 100_000,
        b"<a>" * 100_000 + b"</a>" * 100_000,
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx">'
        + b"".join(b'<!ENTITY x%d "&x;&x;&x;&x;">' % n for n in range(50))
        + b"]><a>&x49;</a>",
    ],
    ids=["open", "deep", "entities"],
)
def test_12a_deep_documents_and_entities_are_refused(world: World, body: bytes) -> None:
    for method in ("RetrieveServiceContent", "Login", *READS[:1]):
        done = world.run("list", change=answering([method], Reply(status=200, body=body)))
        assert (done.code, done.out) == (1, "")
        assert "bug in linkedclone" not in done.err


def test_12a_an_answer_that_trickles_is_given_up(world: World) -> None:
    slow = answering(["RetrievePropertiesEx"], Reply(status=200, body=b"<" * 10**6, pause=0.01))
    with opened_at(world.proxy.endpoint()) as driver:
        lose_patience(driver, 0.3)
        world.proxy.change = slow
        with pytest.raises(LostAnswerError, match="broke") as caught:
            driver.observe()
    assert "TimeoutError" in caught.value.details


# -- 18: what pyVmomi does not know ---------------------------------------------------


def test_18_a_fault_without_a_detail_is_quoted(world: World) -> None:
    body = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault>'
        b"<faultcode>ServerFaultCode</faultcode><faultstring>The vpxd is starting</faultstring>"
        b"</e:Fault></e:Body></e:Envelope>"
    )
    for method in ("RetrieveServiceContent", "Login", "RetrievePropertiesEx"):
        done = world.run("list", change=answering([method], Reply(status=500, body=body)))
        assert done.code == 1
        assert "The vpxd is starting" in done.err
        assert "is not a vCenter" not in done.err


# -- sessions that end ----------------------------------------------------------------


def losing(simulator: Simulator, *, at: int, times: int) -> Change:
    """End all sessions right before so many calls, from one on."""
    count = iter(range(10**9))

    def change(_: str, __: bytes, ask: Callable[[], Reply]) -> Reply:
        if at <= next(count) < at + times:
            simulator.end_sessions()
        return ask()

    return change


POOL = """pool: lost
parent: {golden}
size: 1
name: "lost-{{n}}"
power: off
"""
LOSING: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "delete": (("delete", "victim", "--yes"), "victim", False),
    "snapshot delete": (("snapshot", "delete", "victim", "mine", "--yes"), "victim", True),
    "clone": (("clone", GOLDEN, "lost", "--power", "off"), "lost", True),
    "promote": (("promote", "victim", "--yes"), "victim", True),
    "pool apply": (("pool", "apply", "POOL", "--yes"), "lost-1", True),
    "gc": (("gc", "--yes"), "victim", True),
}
"""Each command, whom it is about, and whether that one is there afterwards."""


@pytest.mark.parametrize("act", LOSING)
def test_a1_a_session_that_ends_at_any_call_costs_nothing_but_a_login(
    world: World, act: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command, name, stays = LOSING[act]
    (tmp_path / "pool.yaml").write_text(POOL.format(golden=GOLDEN))
    command = tuple(str(tmp_path / "pool.yaml") if part == "POOL" else part for part in command)
    every = request.config.getoption("--soak")
    orphans: set[str] = set()

    def stage() -> None:
        for old in ("victim", "lost", "lost-1"):
            world.run("delete", old, "--yes", "--force")
        assert world.run("clone", GOLDEN, "victim", "--power", "off").code == 0
        if act == "snapshot delete":
            assert world.run("snapshot", "create", "victim", "mine").code == 0
        if act == "gc":
            orphans.clear()
            orphans.add(world.simulator.leave_orphan("victim"))

    def judge() -> None:
        names = world.run("list", "-o", "json").names
        assert (name in names, names >= {GOLDEN, *CLONES}) == (stays, True)
        if act == "promote":
            assert '"linked": false' in world.run("show", "victim", "-o", "json").out
        if act == "gc":
            assert not orphans & set(world.simulator.files())

    stage()
    assert world.run(*command).code == 0
    calls = len(world.proxy.sent)
    judge()
    # From the first call after the greeting and the login on, to the one before the logout.
    for at in range(2, calls - 1) if every else (calls // 2,):
        stage()
        once = world.run(*command, change=losing(world.simulator, at=at, times=1))
        assert (once.code, "bug in linkedclone" in once.err) == (0, False), (at, once.err)
        judge()
    stage()
    always = world.run(*command, change=losing(world.simulator, at=2, times=10**9))
    assert (always.code, world.changes) == (1, frozenset())
    assert "bug in linkedclone" not in always.err
    for old in ("victim", "lost", "lost-1"):
        world.run("delete", old, "--yes", "--force")


# -- whatever else may come -----------------------------------------------------------

COMMANDS = (
    ("list", "-o", "json"),
    ("list",),
    ("tree",),
    ("usage",),
    ("doctor",),
    ("show", GOLDEN),
    ("delete", GOLDEN, "--yes", "--force"),
    ("snapshot", "delete", GOLDEN, "base", "--yes", "--force"),
    ("gc", "--yes", "--snapshots"),
    ("gc", "--yes", "--no-scan"),
    ("clone", GOLDEN, "desk-9", "--dry-run"),
)
"""Commands that whole answers refuse, or that only read."""

FAULTS = ("NotAuthenticated", "NoPermission", "SystemError", "QuantumFault")


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What is done to the answers of one command.

    Attributes:
        kind: Which of :data:`HARMS`.
        first: How many property reads are left whole before.
        times: How many are harmed.
        seed: What is left to chance.
    """

    kind: str
    first: int
    times: int
    seed: int


class Harming:
    """Harms answers as a Harm says."""

    def __init__(self, world: World, harm: Harm) -> None:
        self._world = world
        self._harm = harm
        self._random = random.Random(harm.seed)
        self._reads = 0
        self._before: list[tuple[bytes, bytes]] = []
        self._path = self._random.random()

    def __call__(self, method: str, request: bytes, ask: Callable[[], Reply]) -> Reply:
        if method not in READS:
            return ask()
        number = self._reads
        self._reads += 1
        harmed = self._harm.first <= number < self._harm.first + self._harm.times
        if harmed and self._harm.kind == "session":
            self._world.simulator.end_sessions()
        reply = ask()
        before = [body for question, body in self._before if question == request]
        if self._harm.kind == "swapped":
            before = [body for question, body in self._before if question != request]
        self._before.append((request, reply.body))
        return HARMS[self._harm.kind](self, reply, before) if harmed else reply

    # -- the kinds of harm ----------------------------------------------------------

    def keep(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        return reply

    def replace_whole(self, _: Reply, __: Sequence[bytes]) -> Reply:
        return replace(self._random.choice(list(FOREIGN.values())))

    def repeat(self, reply: Reply, before: Sequence[bytes]) -> Reply:
        return replace(reply, body=self._random.choice(before)) if before else reply

    def cut(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        length = self._random.randrange(len(reply.body))
        announced = self._random.choice((None, -1, len(reply.body)))
        return replace(reply, body=reply.body[:length], announced=announced)

    def refuse_some(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        kind = self._random.choice(FAULTS)
        chosen = self._choose(reply.body)
        return replace(reply, body=refuse(reply.body, kind, chosen.__contains__))

    def drop_properties(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        chosen = {path.encode() for path in self._choose(reply.body)}
        return replace(
            reply, body=_PROPERTY.sub(lambda m: b"" if m[1] in chosen else m[0], reply.body)
        )

    def drop_objects(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        found = sorted(set(_OBJECT.findall(reply.body)))
        dropped = set(self._random.sample(found, self._random.randint(0, len(found))))
        return replace(
            reply, body=_OBJECT.sub(lambda m: b"" if m[0] in dropped else m[0], reply.body)
        )

    def spoil_values(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        spoilt = self._random.choice((b"", b"-1", b"nan", b"\xc3\xa9" * 9, b"9" * 400, b"&#7;"))
        chosen = {path.encode() for path in self._choose(reply.body)}

        def change(match: re.Match[bytes]) -> bytes:
            if match[1] not in chosen:
                return match[0]
            head, val, rest = match[0].partition(b"<val")
            return head + val + re.sub(rb">[^<>]+<", b">" + spoilt + b"<", rest)

        return replace(reply, body=_PROPERTY.sub(change, reply.body))

    def void_references(self, reply: Reply, _: Sequence[bytes]) -> Reply:
        return replace(reply, body=re.sub(rb"(<obj [^>]*>)[^<]*", rb"\1", reply.body))

    def _choose(self, body: bytes) -> set[str]:
        paths = sorted({path.decode() for path in _PROPERTY.findall(body)})
        return set(self._random.sample(paths, self._random.randint(0, len(paths))))


HARMS: dict[str, Callable[[Harming, Reply, Sequence[bytes]], Reply]] = {
    "session": Harming.keep,
    "foreign": Harming.replace_whole,
    "repeated": Harming.repeat,
    "swapped": Harming.repeat,
    "cut": Harming.cut,
    "refused": Harming.refuse_some,
    "properties dropped": Harming.drop_properties,
    "objects dropped": Harming.drop_objects,
    "values": Harming.spoil_values,
    "references": Harming.void_references,
}

harms = st.builds(
    Harm,
    kind=st.sampled_from(sorted(HARMS)),
    first=st.integers(0, 3),
    times=st.sampled_from((1, 2, 99)),
    seed=st.integers(0, 10**6),
)


def endure(world: World, command: tuple[str, ...], harm: Harm) -> None:
    done = world.run(*command, change=Harming(world, harm))
    assert not world.changes
    assert done.code in {0, 1, 2, 4}
    assert "bug in linkedclone" not in done.err
    assert "Traceback" not in done.err
    if done.code == 0 and command == ("list", "-o", "json") and harm.kind != "values":
        assert done.ids >= world.ids


_CALM = settings(
    deadline=None,
    database=None,
    derandomize=True,
    # Not shrunk: after one that changes something, the world is another, and any other fails too.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@settings(_CALM, max_examples=40)
@given(command=st.sampled_from(COMMANDS), harm=harms)
def test_no_mutilated_answer_leads_to_a_change(
    world: World, command: tuple[str, ...], harm: Harm
) -> None:
    endure(world, command, harm)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(_CALM, max_examples=1500)
@given(command=st.sampled_from(COMMANDS), harm=harms)
def test_no_mutilated_answer_of_many_leads_to_a_change(
    world: World, command: tuple[str, ...], harm: Harm
) -> None:
    endure(world, command, harm)
