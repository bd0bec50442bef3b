"""A request for clones goes straight to its plan: few functions, and few ways back."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from linkedclone.app.clone.job import CloneJob
from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.model.customization import CloudInit, Customization, GuestOs
from linkedclone.model.request import CloneRequest, Hardware, SnapshotChoice, Wait
from linkedclone.planning.clone.plan import ClonePlanner

REQUEST = CloneRequest(
    parent="gold",
    names=("desk-{1..3}",),
    snapshot=SnapshotChoice(kind="named", name="base"),
    hardware=Hardware(cpus=2),
    macs={"desk-1": ("00:50:56:00:00:01",)},
    customization=Customization(
        os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(user_data="#cloud-config\na: 1")
    ),
    wait=Wait.IP,
)


class PlannedError(Exception):
    """The plan is made, and nothing more is of interest."""


class Way:
    """The functions that are given a request, in order, until its plan is carried out.

    Those of the request itself do not count, nor those within the planner: it
    has arrived there.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.every: Counter[str] = Counter()

    @contextmanager
    def watched(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            yield
        except PlannedError:
            pass
        finally:
            sys.setprofile(before)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code, module = frame.f_code, frame.f_globals.get("__name__", "")
        if event != "call" or not module.startswith("linkedclone."):
            return
        if code is CloneJob.run.__code__:
            raise PlannedError
        self.every[code.co_name] += 1
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given = [frame.f_locals.get(name) for name in names]
        own = bool(given) and isinstance(given[0], CloneRequest) and names[0] == "self"
        handed = any(isinstance(one, CloneRequest) for one in given) and not own
        if code is ClonePlanner.plan.__code__ or (handed and code.co_name != "__init__"):
            self.calls.append((module, code.co_qualname))

    @property
    def functions(self) -> set[tuple[str, str]]:
        return set(self.calls)

    @property
    def returns(self) -> list[str]:
        """The modules that are come back to after another one."""
        visits = [module for module, _ in self.calls]
        entered = [new for old, new in zip(["", *visits], visits, strict=False) if new != old]
        return [module for number, module in enumerate(entered) if module in entered[:number]]


@pytest.fixture
def way() -> Way:
    lab = MemoryHypervisor()
    lab.add_snapshot(lab.add_vm("gold"), "base")
    here = Connection(MemoryDriver(lab, "memory:"), address="memory:")
    way = Way()
    with way.watched():
        here.clone(REQUEST)
    return way


def test_a_request_passes_few_functions_on_its_way_to_the_plan(way: Way) -> None:
    assert ("linkedclone.app.clone.job", "prepare") in way.functions
    assert ("linkedclone.planning.clone.plan", "ClonePlanner.plan") in way.functions
    assert len(way.functions) <= 20, sorted(way.functions)


def test_a_request_comes_back_to_few_modules_on_its_way_to_the_plan(way: Way) -> None:
    assert len(way.returns) <= 6, way.returns


def test_what_a_plan_is_made_of_is_looked_up_and_chosen_once(way: Way) -> None:
    once = ("find_vms", "resolve_target", "observe_names", "observe", "choose_snapshot", "check")
    assert {name: way.every[name] for name in once} == dict.fromkeys(once, 1)
    assert way.every["preview_clone"] == 0
