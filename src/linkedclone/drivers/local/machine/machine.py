"""One virtual machine: a QEMU process that is found again by what it answers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from linkedclone.drivers.local.machine.accelerator import BOOT_ID, choose_accelerator, choose_cpu
from linkedclone.drivers.local.machine.arguments import (
    CONSOLE_SOCKET,
    VNC_SOCKET,
    Loading,
    MachineConfig,
    build_arguments,
    build_shape,
)
from linkedclone.drivers.local.machine.console import attach
from linkedclone.drivers.local.machine.firmware import prepare_firmware
from linkedclone.drivers.local.machine.logs import (
    CONSOLE_LOG,
    QEMU_LOG,
    read_last_words,
    read_tail,
    remove_log,
)
from linkedclone.drivers.local.machine.memory_admission import expect_of_fork
from linkedclone.drivers.local.machine.process import (
    Launched,
    ProcessHandle,
    drop_warnings,
    hold_own,
    launch,
    read_arguments,
)
from linkedclone.drivers.local.qmp.actions import ask_to_power_off, go_on, resume
from linkedclone.drivers.local.qmp.disks import SNAPSHOT_SECONDS, RunningDisks, Work
from linkedclone.drivers.local.qmp.inside import read_texts
from linkedclone.drivers.local.qmp.migration import load_quietly, set_links
from linkedclone.drivers.local.qmp.programs import GuestPrograms
from linkedclone.drivers.local.qmp.session import ANSWER_SECONDS, OFF, Off, Session, with_session
from linkedclone.drivers.local.qmp.sockets import (
    AGENT_SOCKET,
    QMP_SOCKET,
    connect,
    disk_device,
    find_listener,
)
from linkedclone.drivers.local.qmp.status import MachineState, observe_session, observe_ssh
from linkedclone.errors import (
    BusyError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    NoSpaceError,
    PowerOnError,
    RefusedError,
)
from linkedclone.formats.chain import name_disk
from linkedclone.model.vm import Power, SshAddress
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_FILE, PRIVATE_FOLDER

LOCK = "machine.lock"
CONSOLE_LOCK = "console.lock"
BOOT_FILE = "boot"
"""Which boot of the host (random(4): boot_id) the machine was started in."""

OBSERVE_SECONDS = 9.0
"""More than the guest's agent may take by itself."""
START_SECONDS = 30.0
LOAD_SECONDS = 120.0
QUIT_SECONDS = 10.0
POLL_SECONDS = 0.01

T = TypeVar("T")

Admit = Callable[[int], AbstractContextManager[object]]
"""Lets a machine with so much memory be started, or refuses it; held until QEMU's process is
there."""


class Machine(RunningDisks, GuestPrograms):
    """A machine in its folder. Makes nothing by itself; may be used from several threads.

    The folder holds the sockets, the logs and the lock, and may have any
    length. Nothing about the running machine is kept in memory: another
    process with the same folder and configuration can do everything.
    """

    def __init__(self, folder: Path, config: MachineConfig, admit: Admit = nullcontext) -> None:
        self.folder = folder
        self.config = config
        self._admit = admit

    @property
    def name(self) -> str:
        """What it is called."""
        return self.config.name

    def start(self, deadline_seconds: float = START_SECONDS) -> None:
        """Start QEMU and return when it answers; the guest boots on. Running already is done.

        QEMU lives on when this process ends.
        """
        accel = self.config.accel or choose_accelerator(self.config.kernel).name
        with self._alone(deadline_seconds) as deadline:
            if with_session(self.folder, self.config.uuid, _answers) is not OFF:
                return
            arguments = build_arguments(
                self.config,
                self._name_disks(),
                accel=accel,
                cpu=choose_cpu(accel),
                firmware=prepare_firmware(self.config.variables),
            )
            self._launch(arguments, deadline, expected_bytes=self.config.memory_bytes)

    def load(self, loading: Loading, deadline_seconds: float = LOAD_SECONDS) -> None:
        """Start QEMU with the memory of a snapshot. It stands still then, all cables pulled out.

        It is what was saved until it is told otherwise. See :meth:`plug_in` and :meth:`go_on`.
        Neither of the snapshot's files is written to.
        """
        with self._alone(deadline_seconds) as deadline:
            if with_session(self.folder, self.config.uuid, _answers) is not OFF:
                name = self.config.name
                raise RefusedError(f"{name} runs already", hint=f"stop it first: ``stop`` {name}")
            arguments = build_arguments(
                self.config,
                self._name_disks(),
                accel=loading.accel,
                cpu=loading.cpu,
                firmware=prepare_firmware(self.config.variables),
                loading=loading,
            )
            if loading.shape and build_shape(arguments) != loading.shape:
                raise RefusedError(
                    f"the memory is that of a machine with other hardware than {self.config.name}",
                    hint="take the snapshot anew",
                )
            work = partial(
                load_quietly,
                file=loading.state,
                cards=len(self.config.cards),
                old_networks=loading.old_networks,
            )
            expected = expect_of_fork(self.config.memory_bytes)
            self._launch(arguments, deadline, work, expected_bytes=expected)

    def go_on(self) -> None:
        """Let a machine that stands still go on."""
        self._demand(go_on)

    def plug_in(self) -> None:
        """Plug in the cables of all cards."""
        self._demand(partial(set_links, cards=len(self.config.cards), up=True))

    @contextmanager
    def _alone(self, seconds: float) -> Iterator[float]:
        """Hold the machine's lock to start it; yields the time at which that has to be done."""
        self.folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        deadline = time.monotonic() + seconds
        with hold(self.folder / LOCK, deadline_s=seconds):
            yield deadline

    def _launch(
        self,
        arguments: Sequence[str],
        deadline: float,
        then: Work[None] | None = None,
        *,
        expected_bytes: int,
    ) -> None:
        """Start QEMU and do something with it once it answers; one for which that fails ends."""
        with suppress(OSError):  # it only makes last words clearer
            (self.folder / BOOT_FILE).touch(mode=PRIVATE_FILE)
            (self.folder / BOOT_FILE).write_text(BOOT_ID.read_text())
        remove_log(self.folder, CONSOLE_LOG)
        with self._admit(expected_bytes):
            launched = launch(arguments, self.folder, console=self.config.console_log)
        try:
            self._wait_for_answer(launched, deadline)
            if then is not None:
                self._work_on(launched, deadline, then)
        except BaseException:
            launched.process.kill()
            launched.process.wait()
            raise

    def _work_on(self, launched: Launched, deadline: float, work: Work[None]) -> None:
        seconds = max(POLL_SECONDS, deadline - time.monotonic())
        try:
            with_session(self.folder, self.config.uuid, work, deadline_seconds=seconds)
        except (GoneError, HypervisorError) as error:
            launched.process.kill()
            launched.await_logs()
            words = drop_warnings(read_tail(self.folder, QEMU_LOG))
            raise PowerOnError(
                f"QEMU could not load the memory of {self.config.name}",
                details=words or error.details or error.brief,
                hint=f"what it said is in {self.folder / QEMU_LOG}",
                kind="migrate",
            ) from error

    def _name_disks(self) -> tuple[str, ...]:
        """Return each disk's whole chain as passed to QEMU; see ``chain``."""
        try:
            return tuple(map(name_disk, self.config.disks))
        except HypervisorError as error:
            brief = f"QEMU did not start {self.config.name}"
            raise PowerOnError(brief, details=str(error), hint=error.hint) from error

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

    def find_ssh(self) -> SshAddress | None:
        """Say where its port 22 is reached from here, without asking the guest; None if nowhere."""
        found = self._ask(lambda session: observe_ssh(session.monitor))
        return None if found is OFF else found

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

    def _wait_for_answer(self, launched: Launched, deadline: float) -> None:
        process = launched.process
        brief = f"QEMU did not start {self.config.name}"
        while process.poll() is None:
            with suppress(GoneError, BusyError):
                seconds = max(POLL_SECONDS, deadline - time.monotonic())
                answer = with_session(
                    self.folder, self.config.uuid, _answers, deadline_seconds=seconds
                )
                if answer is not OFF:
                    return
            if time.monotonic() >= deadline:
                raise PowerOnError(
                    f"{brief} in time",
                    details=read_tail(self.folder, QEMU_LOG),
                    hint="the host may be busy: try again",
                )
            time.sleep(POLL_SECONDS)
        launched.await_logs()
        details = read_tail(self.folder, QEMU_LOG) or f"it ended with status {process.returncode}"
        raise PowerOnError(
            brief, details=details, hint=f"what it said is in {self.folder / QEMU_LOG}"
        )

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


async def _answers(_: Session) -> None:
    """Do nothing more: the client has its answer."""


async def _open_handle(session: Session) -> ProcessHandle:
    if not session.pid:
        raise EndpointError(
            f"QEMU of {session.folder} runs in another PID namespace",
            hint="use the container that it was started in",
        )
    return ProcessHandle(session.pid)
