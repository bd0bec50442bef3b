"""One virtual machine: a QEMU process that is found again by what it answers."""

import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from linkedclone.drivers.local.machine.accel import choose_accelerator
from linkedclone.drivers.local.machine.arguments import (
    AGENT_SOCKET,
    CONSOLE_LOG,
    CONSOLE_SOCKET,
    DISK_DEVICE,
    QMP_SOCKET,
    build_arguments,
)
from linkedclone.drivers.local.machine.config import MachineConfig, MachineState
from linkedclone.drivers.local.machine.lock import hold_lock
from linkedclone.drivers.local.machine.process import ProcessHandle, launch, read_tail
from linkedclone.drivers.local.machine.session import ANSWER_SECONDS, Session, with_session
from linkedclone.errors import (
    BusyError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    NoSpaceError,
    PowerOnError,
)
from linkedclone.model.observed import Power

if TYPE_CHECKING:
    from linkedclone.drivers.local.machine.copying import Copying

QEMU_LOG = "qemu.log"
LOCK = "machine.lock"
CONSOLE_LOCK = "console.lock"

OBSERVE_SECONDS = 5.0
START_SECONDS = 30.0
STOP_SECONDS = 60.0
QUIT_SECONDS = 10.0
SNAPSHOT_SECONDS = 60.0
MOVE_SECONDS = 120.0
STILL_SECONDS = 300.0
"""How long a block job may copy nothing before it is given up."""
COPY_POLL_SECONDS = 0.1
POLL_SECONDS = 0.01

T = TypeVar("T")
Work = Callable[[Session], Awaitable[T]]


class Machine:
    """A machine in its folder. Makes nothing by itself; may be used from several threads.

    The folder holds the sockets, the logs and the lock, and may have any
    length. Nothing about the running machine is kept in memory: another
    process with the same folder and configuration can do everything.
    """

    def __init__(self, folder: Path, config: MachineConfig) -> None:
        self.folder = folder
        self.config = config

    @property
    def console_log(self) -> Path:
        """What the guest has written to its serial console since the last start."""
        return self.folder / CONSOLE_LOG

    def start(self, deadline_seconds: float = START_SECONDS) -> None:
        """Start QEMU and return when it answers; the guest boots on. Running already is done.

        QEMU lives on when this process ends.

        Raises:
            PowerOnError: QEMU ended, with its last words, or did not answer in time.
            BusyError: Another command works on the machine.
            EndpointError: Another machine runs in the folder.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        accel = self.config.accel or choose_accelerator(self.config.kernel).name
        deadline = time.monotonic() + deadline_seconds
        with hold_lock(self.folder / LOCK, deadline_seconds=deadline_seconds):
            if with_session(self.folder, self.config.uuid, _answers):
                return
            arguments = build_arguments(self.config, accel=accel)
            process = launch(arguments, self.folder, self.folder / QEMU_LOG)
            try:
                self._wait_for_answer(process, deadline)
            except BaseException:
                process.kill()
                process.wait()
                raise

    def stop(self, *, force: bool = False, deadline_seconds: float = STOP_SECONDS) -> None:
        """Stop the machine and return when its process has ended. Off already is done.

        Args:
            force: Do not ask the guest; its file systems see a power failure.
            deadline_seconds: How long the guest may take; then QEMU is ended.
                A paused guest cannot be asked and is ended at once.

        Raises:
            BusyError: Another command works on the machine.
            EndpointError: Another machine runs in the folder.
        """
        handle = self._ask(_open_handle)
        if handle is not None:
            try:
                if force or not (self._ask_guest() and handle.wait(deadline_seconds)):
                    self._end(handle)
            finally:
                handle.close()
        for name in (QMP_SOCKET, AGENT_SOCKET, CONSOLE_SOCKET, QEMU_LOG):
            (self.folder / name).unlink(missing_ok=True)

    def observe(self) -> MachineState:
        """Look at the machine. Never raises; what goes wrong is the state's ``reason``.

        Off costs some microseconds. A guest that a killed command left frozen
        in the middle of a snapshot is thawed.
        """
        try:
            state = self._ask(_observe, deadline_seconds=OBSERVE_SECONDS)
        except GoneError:
            state = None
        except (LinkedCloneError, OSError) as error:
            return MachineState(power=Power.UNKNOWN, reason=str(error))
        return state or MachineState(power=Power.OFF, last_words=self._read_last_words())

    def resume(self) -> None:
        """Let a paused guest go on: after space was freed nothing is lost.

        Raises:
            NoSpaceError: It paused again at once: the file system is still full.
            GoneError: The machine does not run.
        """
        state = self._demand(_resume)
        if state.power is Power.PAUSED:
            hint = "free space in the state folder's file system, then try again"
            raise NoSpaceError(f"{self.config.name} paused again", details=state.reason, hint=hint)

    def snapshot_disk(self, new_overlay: Path) -> bool:
        """Go on writing in the new overlay, whose backing file is the present top layer.

        The overlay exists already (QMP: ``blockdev-snapshot-sync`` with mode
        ``existing``). From the next start on the configuration has to name it.

        Returns:
            True if the guest agent froze the file systems for it, so that they
            are whole in the frozen layer; False leaves what a power failure leaves.

        Raises:
            HypervisorError: QEMU refuses; the machine goes on with the old layer.
            GoneError: The machine does not run.
        """

        async def work(session: Session) -> bool:
            from linkedclone.drivers.local.machine.acting import snapshot_disk

            return await snapshot_disk(session, new_overlay)

        return self._demand(work, deadline_seconds=SNAPSHOT_SECONDS)

    def copy_disk(self, target: Path, commit: Callable[[], None]) -> None:
        """Copy the whole disk while the guest goes on, and let it go on in the copy.

        From the next start on the configuration has to name the copy.

        Args:
            target: An empty qcow2 file of the disk's size without a backing file.
            commit: Called once the disk is the copy, while the guest stands
                still: both hold the same then. Only after it the guest goes on.

        Raises:
            NoSpaceError: The file system is full.
            BusyError: It does not get on.
            HypervisorError: QEMU refuses or fails. It may have the one disk or
                the other then, its guest may stand still, and the job may go on;
                see :meth:`cancel_copy`.
            GoneError: The machine does not run, or ended meanwhile.
        """
        from linkedclone.drivers.local.machine import copying

        async def start(session: Session) -> copying.Copying:
            return await copying.start_copy(session, target)

        seen, since = self._demand(start), time.monotonic()
        while not seen.nearly:
            time.sleep(COPY_POLL_SECONDS)
            before = seen
            with suppress(BusyError):  # as long as it lasts, that is no progress
                seen = self._demand(copying.observe_copy)
            since = time.monotonic() if seen.copied != before.copied else since
            self._refuse_stuck(seen, time.monotonic() - since)
        ran = self._demand(copying.move_to_copy, deadline_seconds=MOVE_SECONDS)
        commit()
        if ran:
            self._demand(_go_on)

    def _refuse_stuck(self, seen: "Copying", still_seconds: float) -> None:
        from linkedclone.drivers.local.machine.copying import no_room

        name = self.config.name
        if seen.full:
            raise no_room()
        if seen.error:
            raise HypervisorError(
                f"QEMU could not copy the disk of {name}",
                details=seen.error,
                hint="stop the VM, then promote it",
                kind="drive-mirror",
            )
        if still_seconds > STILL_SECONDS:
            raise BusyError(
                f"QEMU does not get on with copying the disk of {name}",
                hint="the host may be busy: try again",
                kind="drive-mirror",
            )

    def cancel_copy(self) -> None:
        """End a copy that is under way; none counts as ended. The machine keeps the disk it has.

        Raises:
            BusyError: It does not end in time.
            GoneError: The machine does not run.
        """
        from linkedclone.drivers.local.machine import copying

        self._demand(copying.cancel_copy, deadline_seconds=SNAPSHOT_SECONDS)

    def grow_disk(self, capacity_bytes: int) -> None:
        """Make the disk larger; the guest sees it at once (QMP: ``block_resize``).

        Raises:
            HypervisorError: QEMU refuses; the disk is as it was.
            GoneError: The machine does not run.
        """

        async def work(session: Session) -> bool:
            await session.monitor.execute("block_resize", device=DISK_DEVICE, size=capacity_bytes)
            return True

        self._demand(work, deadline_seconds=SNAPSHOT_SECONDS)

    def attach_console(self, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to the serial console until Ctrl-] is typed or QEMU ends.

        Raises:
            BusyError: Somebody else is attached.
            GoneError: The machine does not run.
        """
        from linkedclone.drivers.local.machine.console import attach
        from linkedclone.drivers.local.machine.sockets import connect

        gone = self._off()
        if not (self.folder / CONSOLE_SOCKET).exists():
            raise gone
        with hold_lock(self.folder / CONSOLE_LOCK, deadline_seconds=0):
            client = connect(self.folder, CONSOLE_SOCKET, timeout_seconds=ANSWER_SECONDS)
            if client is None:
                raise gone
            with client:
                attach(client, input_descriptor, output_descriptor)

    def _ask(self, work: Work[T], *, deadline_seconds: float = ANSWER_SECONDS) -> T | None:
        """Do something with the running machine, alone; None if it does not run."""
        if not (self.folder / QMP_SOCKET).exists():
            return None
        with hold_lock(self.folder / LOCK, deadline_seconds=deadline_seconds):
            return with_session(
                self.folder, self.config.uuid, work, deadline_seconds=deadline_seconds
            )

    def _demand(self, work: Work[T], *, deadline_seconds: float = ANSWER_SECONDS) -> T:
        answer = self._ask(work, deadline_seconds=deadline_seconds)
        if answer is None:
            raise self._off()
        return answer

    def _off(self) -> GoneError:
        name = self.config.name
        return GoneError(f"{name} does not run", hint=f"start it first: linkedclone start {name}")

    def _wait_for_answer(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        log = self.folder / QEMU_LOG
        brief = f"QEMU did not start {self.config.name}"
        while process.poll() is None:
            with suppress(GoneError, BusyError):
                seconds = max(POLL_SECONDS, deadline - time.monotonic())
                if with_session(self.folder, self.config.uuid, _answers, deadline_seconds=seconds):
                    return
            if time.monotonic() >= deadline:
                raise PowerOnError(
                    f"{brief} in time",
                    details=read_tail(log),
                    hint="the host may be busy: try again",
                )
            time.sleep(POLL_SECONDS)
        details = read_tail(log) or f"it ended with status {process.returncode}"
        raise PowerOnError(brief, details=details, hint=f"all it said is in {log}")

    def _ask_guest(self) -> bool:
        try:
            return bool(self._ask(_ask_to_power_off))
        except GoneError:
            return True  # The guest was quicker than the answer.

    def _end(self, handle: ProcessHandle) -> None:
        with suppress(BusyError, GoneError):
            self._ask(_quit)
        if not handle.wait(QUIT_SECONDS):
            handle.kill()
            handle.wait(QUIT_SECONDS)

    def _read_last_words(self) -> str:
        """What an unexpected end left behind; empty after an orderly one.

        QEMU removes its sockets when it ends by itself, also on signals that
        it can catch.
        """
        words = read_tail(self.folder / QEMU_LOG)
        if words or not (self.folder / QMP_SOCKET).exists():
            return words
        lines = read_tail(self.console_log).splitlines()
        told = f"; the console's last line is: {lines[-1]}" if lines else ""
        return f"QEMU was killed, or the host went down{told}"


# The QMP library takes 70 ms to import, so what uses it is imported when something listens.


async def _answers(_: Session) -> bool:
    return True


async def _open_handle(session: Session) -> ProcessHandle:
    if not session.pid:
        raise EndpointError(
            f"QEMU of {session.folder} runs in another PID namespace",
            hint="use the container that it was started in",
        )
    return ProcessHandle(session.pid)


async def _ask_to_power_off(session: Session) -> bool:
    from linkedclone.drivers.local.machine.acting import ask_to_power_off

    return await ask_to_power_off(session)


async def _observe(session: Session) -> MachineState:
    from linkedclone.drivers.local.machine.observing import observe_session

    return await observe_session(session)


async def _resume(session: Session) -> MachineState:
    from linkedclone.drivers.local.machine.acting import resume

    return await resume(session)


async def _go_on(session: Session) -> bool:
    await session.monitor.execute("cont")
    return True


async def _quit(session: Session) -> None:
    await session.monitor.quit()
