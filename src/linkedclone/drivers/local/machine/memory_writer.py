"""Turn a machine's saved memory and devices into a file of each: by a QEMU that stands aside.

Its disks hold nothing and its cards lead nowhere: it never runs, and only takes up the
state and writes it down. It ends with this process, however that ends.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from linkedclone.drivers.local.machine.arguments import Loading, MachineConfig, build_arguments
from linkedclone.drivers.local.machine.firmware import prepare_firmware
from linkedclone.drivers.local.qmp.migration import await_written, rewrite
from linkedclone.drivers.local.qmp.session import OFF, with_session
from linkedclone.drivers.qemu.networks import NetworkKind
from linkedclone.drivers.qemu.qemu_img import is_full
from linkedclone.errors import HypervisorError, NoSpaceError
from linkedclone.system.private_files import PRIVATE_UMASK

DEADLINE_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.01
_LOG: Final = "said"
_VARIABLES: Final = "variables"
_KEEP: Final = """
exec 3<&0
"$@" 3<&- &
program=$!
{ read -r end; kill -9 $program; } <&3 &
wait $program
"""
"""Run a program until it ends, or until nothing holds the other end of the input open."""


def write_memory(
    folder: Path, config: MachineConfig, loading: Loading, sizes: Sequence[int], state: Path
) -> None:
    """Write the file of memory that is named in ``loading``, and one of the devices' state.

    Args:
        folder: Where it works; nothing else is in it.
        config: The machine whose memory it is.
        sizes: How large each of its disks is, in bytes.
        state: The file of the devices' state, which is made.
    """
    aside = replace(
        config,
        cards=tuple(
            replace(card, network=NetworkKind.ISOLATED, address="", gateway="")
            for card in config.cards
        ),
        variables=folder / _VARIABLES if config.variables else None,
        console_log=False,
    )
    arguments = build_arguments(
        aside,
        [f"json:{json.dumps({'driver': 'null-co', 'size': size})}" for size in sizes],
        accel=loading.accel,
        cpu=loading.cpu,
        firmware=prepare_firmware(aside.variables),
        loading=replace(loading, writes=True),
    )
    work = partial(rewrite, stream=loading.state, state=state)
    with _run_aside(arguments, folder) as process:
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while with_session(folder, config.uuid, work, deadline_seconds=DEADLINE_SECONDS) is OFF:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise _failed(config.name, "")
                time.sleep(_POLL_SECONDS)
            await_written(state)
        except HypervisorError as error:
            raise _explain(error, config.name, folder, process) from error


@contextmanager
def _run_aside(arguments: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / _LOG).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed script; no word of it is built
            ("/bin/sh", "-c", _KEEP, "sh", *arguments),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    try:
        yield process
    finally:
        process.communicate()


def _explain(
    error: HypervisorError, name: str, folder: Path, process: "subprocess.Popen[bytes]"
) -> HypervisorError:
    """A full disk ends a program that writes to a file in memory by a signal."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    if is_full(folder) or process.returncode == 128 + signal.SIGBUS:
        return no_room(name, error.details)
    said = (folder / _LOG).read_text(errors="replace").strip()
    return _failed(name, said or error.details or error.brief)


def no_room(name: str, details: str) -> NoSpaceError:
    """Return the error that the file system filled up while memory was written."""
    return NoSpaceError(
        f"there is no room for the memory of {name}",
        details=details,
        hint="free space in the state folder's file system, then try again",
        kind="migrate",
    )


def _failed(name: str, details: str) -> HypervisorError:
    return HypervisorError(
        f"the memory of {name} could not be written to a file",
        details=details,
        hint="try again, or take the snapshot without its memory",
        kind="migrate",
    )
