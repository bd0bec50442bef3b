"""One virtual machine: a QEMU process that is found again by what it answers."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from linkedclone.drivers.local.machine.accelerator import BOOT_ID
from linkedclone.drivers.local.machine.arguments import (
    CONSOLE_SOCKET,
    VNC_SOCKET,
)
from linkedclone.drivers.local.machine.console import attach
from linkedclone.drivers.local.machine.logs import (
    CONSOLE_LOG,
    QEMU_LOG,
    read_last_words,
    read_tail,
    remove_log,
)
from linkedclone.drivers.local.machine.process import (
    ProcessHandle,
    drop_warnings,
    hold_own,
    read_arguments,
)
from linkedclone.drivers.local.machine.start import BOOT_FILE, LOCK, StartedMachine
from linkedclone.drivers.local.qmp.actions import ask_to_power_off, go_on, resume
from linkedclone.drivers.local.qmp.disks import SNAPSHOT_SECONDS, RunningDisks, Work
from linkedclone.drivers.local.qmp.inside import read_texts
from linkedclone.drivers.local.qmp.migration import set_links
from linkedclone.drivers.local.qmp.programs import GuestPrograms
from linkedclone.drivers.local.qmp.session import ANSWER_SECONDS, OFF, Off, Session, with_session
from linkedclone.drivers.local.qmp.sockets import (
    AGENT_SOCKET,
    QMP_SOCKET,
    connect,
    disk_device,
    find_listener,
)
from linkedclone.drivers.local.qmp.status import MachineState, observe_session
from linkedclone.errors import (
    BusyError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    NoSpaceError,
)
from linkedclone.model.vm import Power
from linkedclone.system.locks import hold

CONSOLE_LOCK = "console.lock"

OBSERVE_SECONDS = 9.0
"""More than the guest's agent may take by itself."""
QUIT_SECONDS = 10.0

T = TypeVar("T")


class Machine(StartedMachine, RunningDisks, GuestPrograms):
    """A machine in its folder. Makes nothing by itself; may be used from several threads.

    The folder holds the sockets, the logs and the lock, and may have any
    length. Nothing about the running machine is kept in memory: another
    process with the same folder and configuration can do everything.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        return self.config.name

    def go_on(self) -> None:
        """Let a machine that stands still go on."""
        self._demand(go_on)

    def plug_in(self) -> None:
        """Plug in the cables of all cards."""
        self._demand(partial(set_links, cards=len(self.config.cards), up=True))

    def stop(self) -> None:
        """Stop the machine, and return when its process has ended. Off already is done.

        The guest is not asked: its file systems see a power failure. A QEMU that does
        not answer either, or not sensibly, is killed.
        """
        handle: ProcessHandle | Off = OFF
        with suppress(BusyError, EndpointError, GoneError):
            handle = self._ask(_open_handle)
        if handle is not OFF:
            self._quit(handle)
        if self.folder.is_dir():
            self._kill()
        for name in (QMP_SOCKET, AGENT_SOCKET, CONSOLE_SOCKET, VNC_SOCKET):
            (self.folder / name).unlink(missing_ok=True)
        remove_log(self.folder, QEMU_LOG)

    def _quit(self, handle: ProcessHandle) -> None:
        try:
            deadline = time.monotonic() + QUIT_SECONDS
            with suppress(HypervisorError, EndpointError):
                self._ask(lambda session: session.monitor.quit(), deadline_seconds=QUIT_SECONDS)
            if not handle.wait(deadline - time.monotonic()):
                self._kill()
        finally:
            handle.close()

    def _kill(self) -> None:
        """Kill the machine's own QEMU, known by what it was started with and not by its answers."""
        with hold(self.folder / LOCK, deadline_s=ANSWER_SECONDS):
            for handle in hold_own(self.folder, self.config.uuid):
                handle.kill()
                if not handle.wait(QUIT_SECONDS):
                    raise BusyError(
                        f"the QEMU of {self.config.name} was killed, and does not end",
                        hint="its host may be stuck in a disk or network: try again later",
                    )
            listener = find_listener(self.folder, QMP_SOCKET)
            if listener is not None:
                raise EndpointError(
                    f"what answers for {self.config.name} was not started for it",
                    details=f"process {listener or 'of another PID namespace'} listens at "
                    f"{self.folder / QMP_SOCKET}, and is left alone",
                    hint="find out what it is and end it; then repeat the command",
                )

    def ask_to_stop(self) -> bool:
        """Ask the guest to shut down, by its agent or else by the power button.

        Returns at once. Off already is heard; a paused guest does not notice it.
        """
        try:
            return self._ask(ask_to_power_off) is not False
        except GoneError:
            return True  # The guest was quicker than the answer.

    def observe(self, *, guest: bool = True) -> MachineState:
        """Look at the machine. Never raises; what goes wrong is the state's ``reason``.

        Off costs some microseconds. A guest that a killed command left frozen
        in the middle of a snapshot is thawed.

        Args:
            guest: Whether the guest's agent is asked too. Without it nothing that
                the guest says or does changes what is seen.
        """
        macs = tuple(card.mac.lower() for card in self.config.cards)
        look = partial(observe_session, guest=guest, seeded=self.config.seed is not None, macs=macs)
        try:
            try:
                state = self._ask(look, deadline_seconds=OBSERVE_SECONDS)
            except GoneError:  # it has ended, unless it still listens
                state = self._ask(look, deadline_seconds=OBSERVE_SECONDS)
        except (LinkedCloneError, OSError) as error:
            return MachineState(power=Power.UNKNOWN, reason=str(error))
        if state is OFF:
            return MachineState(power=Power.OFF, last_words=self._read_last_words())
        return replace(state, booted=self._find_start())

    def _find_start(self) -> datetime | None:
        """Return when QEMU made its QMP socket, which is the first that it does."""
        with suppress(OSError):
            made = (self.folder / QMP_SOCKET).stat().st_mtime
            return datetime.fromtimestamp(made, tz=UTC)
        return None

    def read_arguments(self) -> tuple[str, ...]:
        """Return what its QEMU was started with."""

        async def work(session: Session) -> tuple[str, ...]:
            return read_arguments(session.pid)

        return self._demand(work)

    def is_loaded(self) -> bool:
        """Say whether it runs, and goes on with a snapshot's memory instead of having booted."""
        try:
            return "-incoming" in self.read_arguments()
        except GoneError:
            return False

    def read_files(self, files: Mapping[str, str]) -> Mapping[str, str]:
        """Read small files of the guest through its agent, each by what it is called.

        Empty if the machine does not run, or no agent answers.
        """

        async def work(session: Session) -> Mapping[str, str]:
            async with session.agent() as agent:
                return {} if agent is None else await read_texts(agent, files)

        found = self._ask(work, deadline_seconds=OBSERVE_SECONDS)
        return {} if found is OFF else found

    def resume(self) -> None:
        """Let a paused guest go on: after space was freed nothing is lost."""
        state = self._demand(resume)
        if state.power is Power.PAUSED:
            hint = "free space in the state folder's file system, then try again"
            raise NoSpaceError(f"{self.config.name} paused again", details=state.reason, hint=hint)

    def grow_disk(self, capacity_bytes: int, number: int = 0) -> None:
        """Make a disk larger, counted from 0; the guest sees it at once (``block_resize``)."""

        async def work(session: Session) -> None:
            device = disk_device(number)
            await session.monitor.execute("block_resize", device=device, size=capacity_bytes)

        self._demand(work, deadline_seconds=SNAPSHOT_SECONDS)

    def attach_console(self, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to the serial console until Ctrl-] is typed or QEMU ends."""
        gone = self._off()
        if not (self.folder / CONSOLE_SOCKET).exists():
            raise gone
        with hold(self.folder / CONSOLE_LOCK, deadline_s=0):
            client = connect(self.folder, CONSOLE_SOCKET, timeout_seconds=ANSWER_SECONDS)
            if client is None:
                raise gone
            with client:
                attach(client, input_descriptor, output_descriptor)

    def _ask(self, work: Work[T], *, deadline_seconds: float = ANSWER_SECONDS) -> T | Off:
        """Do something with the running machine, alone; :data:`OFF` if it does not run."""
        if not (self.folder / QMP_SOCKET).exists():
            return OFF
        with hold(self.folder / LOCK, deadline_s=deadline_seconds):
            return with_session(
                self.folder, self.config.uuid, work, deadline_seconds=deadline_seconds
            )

    def _demand(self, work: Work[T], *, deadline_seconds: float = ANSWER_SECONDS) -> T:
        answer = self._ask(work, deadline_seconds=deadline_seconds)
        if answer is OFF:
            raise self._off()
        return answer

    def _off(self) -> GoneError:
        name = self.config.name
        return GoneError(f"{name} does not run", hint=f"start it first: ``start`` {name}")

    def _read_last_words(self) -> str:
        """What an unexpected end left behind; empty after an orderly one.

        QEMU removes its sockets when it ends by itself, also on signals that
        it can catch.
        """
        words = drop_warnings(read_last_words(self.folder, QEMU_LOG))
        if words or not (self.folder / QMP_SOCKET).exists():
            return words
        lines = read_tail(self.folder, CONSOLE_LOG).splitlines()
        told = f"; the console's last line is: {lines[-1]}" if lines else ""
        if self._ran_before_boot():
            return f"this host went down or was restarted while it ran{told}"
        return f"QEMU was killed (dmesg says whether memory ran out){told}"

    def _ran_before_boot(self) -> bool:
        with suppress(OSError):
            return (self.folder / BOOT_FILE).read_text() != BOOT_ID.read_text()
        return False


async def _open_handle(session: Session) -> ProcessHandle:
    if not session.pid:
        raise EndpointError(
            f"QEMU of {session.folder} runs in another PID namespace",
            hint="use the container that it was started in",
        )
    return ProcessHandle(session.pid)
