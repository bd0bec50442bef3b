"""How a machine is started: afresh, or with the memory of a snapshot."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

from linkedclone.drivers.local.machine.accelerator import BOOT_ID, choose_accelerator, choose_cpu
from linkedclone.drivers.local.machine.arguments import (
    Loading,
    MachineConfig,
    build_arguments,
    build_shape,
)
from linkedclone.drivers.local.machine.firmware import prepare_firmware
from linkedclone.drivers.local.machine.logs import (
    CONSOLE_LOG,
    QEMU_LOG,
    read_tail,
    remove_log,
)
from linkedclone.drivers.local.machine.memory_admission import expect_of_fork
from linkedclone.drivers.local.machine.process import (
    Launched,
    drop_warnings,
    launch,
)
from linkedclone.drivers.local.qmp.disks import Work
from linkedclone.drivers.local.qmp.migration import load_quietly
from linkedclone.drivers.local.qmp.session import OFF, Session, with_session
from linkedclone.errors import (
    BusyError,
    GoneError,
    HypervisorError,
    PowerOnError,
    RefusedError,
)
from linkedclone.formats.chain import name_disk
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_FILE, PRIVATE_FOLDER

LOCK = "machine.lock"
BOOT_FILE = "boot"
"""Which boot of the host (random(4): boot_id) the machine was started in."""

START_SECONDS = 30.0
LOAD_SECONDS = 120.0
POLL_SECONDS = 0.01

Admit = Callable[[int], AbstractContextManager[object]]
"""Lets a machine with so much memory be started, or refuses it; held until QEMU's process is
there."""


class StartedMachine:
    """The part of a machine that has to do with how its QEMU comes to be."""

    def __init__(self, folder: Path, config: MachineConfig, admit: Admit = nullcontext) -> None:
        self.folder = folder
        self.config = config
        self._admit = admit

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


async def _answers(_: Session) -> None:
    """Do nothing more: the client has its answer."""
