"""A state folder under the contract: real disk files, and real QEMU machines."""

import os
import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.jobs import JobBoard, Work
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.qmp import migration
from linkedclone.drivers.local.qmp.inside import ScriptResult
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.state.folder import (
    STORE_NAME,
    StateFolder,
    new_disk_name,
    open_state,
)
from linkedclone.drivers.local.state.record import FILE_NAME
from linkedclone.drivers.local.state.store import StoredVm, load_vm
from linkedclone.errors import HypervisorError
from linkedclone.guest.fork_identity import LAST_LINE
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import Job
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Layer, Power
from tests import do
from tests.contract.acts import result_of
from tests.contract.rigs.base import Action, At, Kind, Rig, Ways
from tests.local.copies import copy_built

GUEST_MEMORY_BYTES = 64 << 20


@dataclass
class Fault:
    action: Action
    name: str
    error: HypervisorError
    at: At
    leave: bool


@dataclass
class Weather:
    """What goes wrong, and what takes its time, for all connections of a rig."""

    faults: list[Fault] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)
    degrade: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, action: str, name: str, at: At) -> Fault | None:
        for fault in self.faults:
            if (fault.action, fault.name, fault.at) == (action, name, at):
                self.faults.remove(fault)
                return fault
        return None


class StormyBoard(JobBoard):
    """Starts work late, or lets it fail, as the test wants."""

    def __init__(self, state: StateFolder, weather: Weather) -> None:
        super().__init__()
        self._folder = state
        self._weather = weather

    def start(self, work: Work) -> Job:
        if fault := self._weather.take(work.action, work.about, "submit"):
            work.release()
            raise fault.error
        return super().start(replace(work, run=lambda: self._run(work)))

    def _run(self, work: Work) -> str | None:
        if self._weather.over.wait(self._weather.delays.get(work.action, 0.0)):
            raise HypervisorError("the test is over", kind="test")
        fault = self._weather.take(work.action, work.about, "job")
        if fault and not fault.leave:
            raise fault.error
        result = work.run()
        if fault:
            raise fault.error
        if work.action == "clone" and result and self._weather.degrade:
            self._weather.degrade = False
            unlink_from_base(load_vm(self._folder, VmId(result)).top)
        return result


def unlink_from_base(disk: Path) -> None:
    """Make a clone a full one, behind the driver's back."""
    subprocess.run(["qemu-img", "rebase", "-f", "qcow2", "-b", "", disk], check=True)


class StormyMachine(Machine):
    """A real machine that fails to start where the test wants."""

    def __init__(self, vm: StoredVm, weather: Weather) -> None:
        real = open_machine(vm)
        super().__init__(real.folder, real.config, real._admit)
        self._weather = weather

    def run_script(self, script: Callable[[], bytes], seconds: float) -> ScriptResult:  # noqa: ARG002
        """Be the guest, which has none: say that all of the script was done, or that it failed."""
        if self._weather.take("identity", self.config.name, "job"):
            return ScriptResult(status=1, output=b"failed as the test wanted\n")
        return ScriptResult(status=0, output=_obey(script().decode()))

    def start(self, deadline_seconds: float = 30.0) -> None:
        if fault := self._weather.take("power-on-of-clone", self.config.name, "job"):
            raise fault.error
        super().start(deadline_seconds)


def _obey(script: str) -> bytes:
    """Tell what a guest reads back that has become who a script says."""
    words = shlex.split(script.partition("\nprogram()")[0])
    told = dict(word.split("=", 1) for word in words)
    macs = re.findall(r"^card \d+ \S+ (\S+)", script, re.MULTILINE)
    lines = (
        told["first_line"],
        f"clock {time.time():.0f}",
        f"host-name {told['host_name']}",
        f"machine-id {told['machine_id']}",
        f"instance-id {told['instance_id']}",
        *(f"mac {mac}" for mac in macs),
        f"host-key {told['public_key']}",
        LAST_LINE,
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _build(folder: Path) -> None:
    folder.mkdir()
    data, image = folder / "data.raw", folder / "image.qcow2"
    data.write_bytes(os.urandom(1 << 20))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", data, image], check=True)
    state = open_state(folder / "state", immutable=False)
    with closing(LocalDriver(state, machines=open_machine)) as driver:
        for name in ("golden", "bare"):
            wanted = ImageImport(file=image, name=name, memory_bytes=GUEST_MEMORY_BYTES)
            driver.images.import_image(wanted)
        (bare,) = driver.find_vms(["bare"])
        result_of(driver, driver.start(do.delete_snapshot(bare, bare.snapshots[0].id)))


class LocalRig:
    """A state folder with two VMs, made of an image with a megabyte of data."""

    parent = "/vm/golden"
    bare = "/vm/bare"
    customization = ""
    disk_move_type = ""
    ways = Ways()

    def __init__(self, folder: Path, *, warm: bool = False) -> None:
        """Copy one that is built once; ``warm``: the parent has a snapshot with memory already."""
        copy_built(*(("warm rig", _build_warm) if warm else ("rig", _build)), folder)
        self.state = open_state(folder / "state", immutable=False)
        self.weather = Weather()

    def connect(self) -> LocalDriver:
        return LocalDriver(
            self.state, machines=self._open_machine, board=StormyBoard(self.state, self.weather)
        )

    def forkable(self) -> str:
        return self.parent

    def warm_up(self) -> None:
        """Take a snapshot of the parent as it runs."""
        with closing(self.connect()) as driver:
            (golden,) = driver.find_vms([self.parent])
            result_of(driver, driver.start(do.set_power(golden, Power.ON)))
            result_of(driver, driver.start(do.create_snapshot(golden, "warm", memory=True)))
            result_of(driver, driver.start(do.set_power(golden, Power.OFF)))

    def _open_machine(self, vm: StoredVm) -> Machine:
        return StormyMachine(vm, self.weather)

    def fail(
        self,
        action: Action,
        name: str,
        *,
        kind: Kind = Kind.SYSTEM,
        at: At = "job",
        leave: bool = False,
    ) -> None:
        error = kind.error(f"{action} failed", details="as the test wanted", kind=kind.name)
        self.weather.faults.append(Fault(action, name, error, at, leave))

    def delay(self, action: Action, seconds: float) -> None:
        self.weather.delays[action] = seconds

    def degrade(self) -> None:
        self.weather.degrade = True

    def hide(self) -> None:
        pytest.skip("QEMU hides no chain")

    def mark_template(self, name: str) -> None:  # noqa: ARG002
        pytest.skip("local: has no templates")

    def make_unreadable(self, name: str) -> None:
        with closing(self.connect()) as driver:
            (vm,) = driver.find_vms([name])
        (self.state.folder(vm.id) / FILE_NAME).write_text("{")

    def add_folder(self, name: str) -> None:  # noqa: ARG002
        pytest.skip("local: has one folder")

    def add_store(self) -> str:
        pytest.skip("local: has one place")

    def leave_orphan(self, name: str) -> str:
        with closing(self.connect()) as driver:
            (vm,) = driver.find_vms([name])
        disk = self.state.root / vm.disks[0].top.path
        left = disk.with_name(new_disk_name("qcow2"))
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk.name, left],
            check=True,
        )
        path = str(left.relative_to(self.state.root))
        return str(Layer(store=self.state.store, path=path, store_name=STORE_NAME))

    def files(self) -> frozenset[str]:
        root = self.state.root
        disks = (p for p in self.state.vms.rglob("disk-*") if p.suffix in {".raw", ".qcow2"})
        layers = (Layer(store=self.state.store, path=str(p.relative_to(root))) for p in disks)
        return frozenset(str(replace(layer, store_name=STORE_NAME)) for layer in layers)

    def macs(self, vm: VmId) -> tuple[str, ...]:
        return load_vm(self.state, vm).record.machine.macs

    def close(self) -> None:
        self.weather.over.set()
        with closing(self.connect()) as driver:
            for vm in driver.observe().vms:
                if vm.power is not Power.OFF:
                    with suppress(HypervisorError):
                        open_machine(load_vm(self.state, vm.id)).stop()


def _build_warm(folder: Path) -> None:
    with closing(LocalRig(folder)) as rig:
        rig.warm_up()


async def _hear(_: Session) -> None:
    """Find the agent of a guest that has none, see ``StormyMachine.run_script``."""


@contextmanager
def open_rig(*, warm: bool = False) -> Iterator[Rig]:
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="lc-") as folder,
    ):
        patch.setattr(migration, "_require_agent", _hear)
        with closing(LocalRig(Path(folder) / "rig", warm=warm)) as rig:
            yield rig


def open_warm_rig() -> AbstractContextManager[Rig]:
    """Open one whose parent can be forked."""
    return open_rig(warm=True)
