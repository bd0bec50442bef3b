"""Requests to guests through VMware Tools: shutdown and commands."""

import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import (
    BusyError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    RefusedError,
)
from linkedclone.model.access import GuestLogin
from linkedclone.model.values.ids import VmId

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

_ENV: Final = "/usr/bin/env"
_NO_PROGRAM: Final = 127
"""What env ends with where there is no such program (POSIX)."""

_WINDOWS: Final = "windowsGuest"

_HARD = "stop it hard: ``stop`` without ``guest``, or with ``then_off``"


class GuestCommandRunner:
    """Runs commands; asks for the process manager once, and once for the family of each guest."""

    def __init__(self, session: Session, collector: Collector, observer: Observer) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._families: dict[VmId, str] = {}
        self._lock = threading.Lock()

    def run(
        self, vm: VmId, command: Sequence[str], *, login: GuestLogin | None, seconds: float
    ) -> int:
        """Run a command and wait for its end; one that takes too long is ended."""
        name = self._observer.name(vm)
        if login is None:
            raise RefusedError(
                f"a user name is needed to run {command[0]} in the guest of {name}",
                hint="vCenter asks for a user of the guest: write user and password beside it",
            )
        about = f"run {command[0]} in the guest of {name}"
        native, manager = self._session.managed("VirtualMachine", vm), self._manager
        auth = vim.vm.guest.NamePasswordAuthentication(
            username=login.user, password=login.password.reveal(), interactiveSession=False
        )
        program = self._build_program(vm, command)
        try:
            pid = self._session.call(about, manager.StartProgramInGuest, native, auth, program)
        except HypervisorError as error:
            if isinstance(error.__cause__, vim.fault.FileNotFound):
                raise _no_program(name, command[0], error.details) from error
            if isinstance(error.__cause__, vim.fault.InvalidPowerState):
                brief = f"could not {about}: it does not run"
                raise BusyError(brief, details=error.details, hint="start it first") from error
            raise
        status = self._await(about, native, auth, pid, seconds)
        if status == _NO_PROGRAM and program.programPath == _ENV:
            raise _no_program(name, command[0], f"{_ENV} ended with {status}")
        return status

    def _await(self, about: str, native: Native, auth: Native, pid: int, seconds: float) -> int:
        """Ask until the program has ended; the server keeps its status for five minutes."""
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while True:
            found = self._session.read(
                about, self._manager.ListProcessesInGuest, native, auth, [pid]
            )
            if not found:
                brief = f"could not {about}: its outcome is unknown"
                raise BusyError(brief, hint="try again in a moment")
            if found[0].endTime is not None:
                return int(found[0].exitCode or 0)
            if time.monotonic() + pause >= deadline:
                self._session.call(about, self._manager.TerminateProcessInGuest, native, auth, pid)
                brief = f"could not {about}: it took longer than {seconds:g} s, and was ended"
                raise BusyError(brief, hint="make it quicker: it is run again and again")
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _build_program(self, vm: VmId, command: Sequence[str]) -> Native:
        """Return the GuestProgramSpec of a command.

        Its path has to be absolute [fact: vs-guest-processes], so the program is
        found by ``env`` on Linux, and by ``cmd`` on Windows.
        """
        if self._find_family(vm) == _WINDOWS:
            line = subprocess.list2cmdline(command)
            path, arguments = r"C:\Windows\System32\cmd.exe", f'/s /c "{line}"'
        else:
            path, arguments = _ENV, shlex.join(command)
        return vim.vm.guest.ProcessManager.ProgramSpec(programPath=path, arguments=arguments)

    def _find_family(self, vm: VmId) -> str:
        with self._lock:
            known = self._families.get(vm)
        if known is None:
            start = self._session.managed("VirtualMachine", vm)
            wanted = {"VirtualMachine": ("guest.guestFamily",)}
            seen = self._collector.read("find out which system the guest runs", [start], wanted)
            if vm not in seen:
                raise GoneError(f"{self._observer.name(vm)} was deleted in the meantime")
            known = str(seen[vm].told("guest.guestFamily") or "")
            with self._lock:
                self._families |= {vm: known} if known else {}
        return known

    @cached_property
    def _manager(self) -> Native:
        start = self._session.content.guestOperationsManager
        wanted = {"GuestOperationsManager": ("processManager",)}
        (seen,) = self._collector.read("find the process manager", [start], wanted).values()
        return seen.demand("processManager")


def _no_program(name: str, program: str, details: str) -> HypervisorError:
    return HypervisorError(
        f"there is no program {program} in the guest of {name}",
        details=details,
        hint="look at its path inside the guest",
        kind="FileNotFound",
    )


def shut_down_guest(session: Session, vm: VmId, name: str) -> None:
    """Send ShutdownGuest [fact: vs-shutdown-guest]; a VM that is off counts as done."""
    native = session.managed("VirtualMachine", vm)
    try:
        session.call(f"shut down the guest of {name}", native.ShutdownGuest)
    except LinkedCloneError as error:
        fault = error.__cause__
        if isinstance(fault, vim.fault.ToolsUnavailable):
            raise RefusedError(
                f"the guest of {name} cannot be asked: VMware Tools do not run in it",
                details=error.details,
                hint=f"wait for them if it is just booting; else {_HARD}",
            ) from fault
        if not isinstance(error, HypervisorError) or not isinstance(
            fault, vim.fault.InvalidPowerState
        ):
            raise
        if str(fault.existingState) != "poweredOff":
            raise RefusedError(
                f"the guest of {name} cannot be asked: the VM is {fault.existingState}",
                details=error.details,
                hint=f"start it, then ask again; or {_HARD}",
            ) from fault
