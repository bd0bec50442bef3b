"""Save a machine's memory and devices, and load them: QEMU's migration, to and from files.

QEMU writes through a shell, which alone can tell that all of it is in the file: it takes the
partial name away only then [fact: qemu-migrate-exec].
"""

import asyncio
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkedclone.drivers.local.qmp.actions import FREEZE_SECONDS, build_overlaying, go_on
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.errors import BusyError, HypervisorError, RefusedError

PART_SUFFIX: Final = ".part"
FAILED_SUFFIX: Final = ".failed"
_POLL_SECONDS = 0.002
_WRITTEN_SECONDS = 30.0
_LET_GO_SECONDS = 30.0
_UNLIMITED = 1 << 40
"""Bytes per second; QEMU's own bound is meant for networks."""
_USUAL_STOP, _LONGEST_STOP = 50, 2_000_000
"""For how many milliseconds QEMU may expect the guest to stand still."""
_MOST_PASSES = 8
"""How often memory is written again while the guest changes it."""
_STANDSTILL = "pre-switchover"
_MACHINE_SUFFIX = "-machine"
_ENDED = frozenset({"completed", "failed", "cancelled"})
_IDLE = _ENDED | {"", "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a machine was when its memory was saved."""

    machine: str  # its type, with the version
    qemu: str  # QEMU's version


async def capture(session: Session, overlays: Mapping[int, Path], stream: Path) -> Captured:
    """Save memory and devices to a new file, and put overlays on the disks at the same instant.

    The guest runs while most of its memory is written. It stands still for what it changes
    meanwhile, and for its devices; it goes on in any case.

    Args:
        stream: The file, which is there once it is whole; until then with :data:`PART_SUFFIX`.
    """
    monitor = session.monitor
    await _require_agent(session)
    kind = (await monitor.execute("qom-get", path="/machine", property="type")).text()
    version = (await monitor.execute("query-version"))["qemu"]
    parts = (version[part].number() for part in ("major", "minor", "micro"))
    await _set_up(session, stops=True)
    try:
        await _begin(session, stream)
        await _await_standstill(session)
        await monitor.execute("transaction", actions=build_overlaying(overlays))
        await monitor.execute("migrate-continue", state=_STANDSTILL)
        await _await_end(session, "save")
    finally:
        async with asyncio.timeout(_LET_GO_SECONDS):
            await cancel_saving(session)
            await go_on(session)
    return Captured(machine=kind.removesuffix(_MACHINE_SUFFIX), qemu=".".join(map(str, parts)))


async def _await_standstill(session: Session) -> None:
    """Wait until QEMU has stopped the guest [fact: qemu-switchover].

    One that writes faster than its memory is written is stopped all the same.
    """
    patient = True
    while True:
        seen = await session.monitor.execute("query-migrate")
        status, ram = seen["status"].text(), seen.get("ram")
        if status == _STANDSTILL:
            return
        if status in _ENDED:
            raise _failed("save", f"it {status}")
        if patient and ram is not None and ram["dirty-sync-count"].number() > _MOST_PASSES:
            patient = False
            await session.monitor.execute(
                "migrate-set-parameters", **{"downtime-limit": _LONGEST_STOP}
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _require_agent(session: Session) -> None:
    try:
        async with asyncio.timeout(FREEZE_SECONDS), session.agent() as agent:
            if agent is not None:
                return
    except (BusyError, TimeoutError):
        pass
    raise RefusedError(
        "no agent answers in the guest: VMs forked from its memory could not be told apart",
        hint="install qemu-guest-agent in the guest, or wait until it is up",
    )


async def _save(session: Session, file: Path) -> None:
    """Save a machine that stands still to a new file; see :func:`await_written`."""
    await _begin(session, file)
    await _await_end(session, "save")


async def _begin(session: Session, file: Path) -> None:
    part, failed = _name_part(file), file.with_name(file.name + FAILED_SUFFIX)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    part_name, name, failed_name = (shlex.quote(str(path)) for path in (part, file, failed))
    write = f"cat <&3 >{part_name} && mv {part_name} {name} || mv {part_name} {failed_name}"
    # In the background: QEMU does nothing else until the program that it started has ended.
    # What it says would be taken for QEMU's last words.
    uri = f"exec:exec 3<&0; {{ {write}; }} 2>/dev/null &"
    await session.monitor.execute("migrate", uri=uri)


def await_written(file: Path) -> None:
    """Wait until all that was saved is in the file: QEMU is done somewhat earlier."""
    deadline = time.monotonic() + _WRITTEN_SECONDS
    while _name_part(file).exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if not file.exists():
        raise _failed("save", "not all of it was written")


def _name_part(file: Path) -> Path:
    return file.with_name(file.name + PART_SUFFIX)


async def load(session: Session, file: Path, *, shared: bool = True) -> None:
    """Load a machine that waits for it; it stands still then.

    Args:
        shared: Whether the memory is in a file of its own, and the state of devices in this one.
    """
    await _set_up(session, shared=shared)
    uri = f"exec:cat {shlex.quote(str(file))}"
    await session.monitor.execute("migrate-incoming", uri=uri)
    await _await_end(session, "load")


async def load_quietly(
    session: Session, file: Path, *, cards: int, old_networks: Sequence[str]
) -> None:
    """Load a machine from a snapshot's memory; no card is connected to anything then."""
    await set_links(session, cards, up=False)  # what QEMU announces goes nowhere
    await load(session, file)
    await set_links(session, cards, up=False)  # the cards: they were as the saved ones since
    for name in old_networks:
        await session.monitor.execute("netdev_del", id=name)


async def rewrite(session: Session, stream: Path, state: Path) -> None:
    """Load all of a machine, whose memory is in a file then, and save its devices alone."""
    await load(session, stream, shared=False)
    await _set_up(session, shared=True)
    await _save(session, state)


async def cancel_saving(session: Session) -> None:
    """End a save that a command began; none is done already."""
    await session.monitor.execute("migrate_cancel")
    await _await_status(session, _IDLE)


async def set_links(session: Session, cards: int, *, up: bool) -> None:
    """Plug the cables of the first so many cards in, or pull them out."""
    for number in range(cards):
        await session.monitor.execute("set_link", name=f"net{number}", up=up)


async def _set_up(session: Session, *, shared: bool = False, stops: bool = False) -> None:
    """Say how it is saved or loaded; the least is announced [fact: qemu-announce].

    Args:
        shared: Whether memory that is in a file is left out.
        stops: Whether QEMU tells when it has stopped the guest, and waits.
    """
    capabilities = {"x-ignore-shared": shared, "pause-before-switchover": stops}
    told = [{"capability": name, "state": on} for name, on in capabilities.items()]
    await session.monitor.execute("migrate-set-capabilities", capabilities=told)
    parameters = {
        "max-bandwidth": _UNLIMITED,
        "downtime-limit": _USUAL_STOP,
        "announce-rounds": 1,
    }
    await session.monitor.execute("migrate-set-parameters", **parameters)


async def _await_end(session: Session, what: str) -> None:
    status = await _await_status(session, _ENDED)
    if status != "completed":
        told = (await session.monitor.execute("query-migrate")).get("error-desc")
        raise _failed(what, told.text() if told else f"it {status}")


async def _await_status(session: Session, wanted: AbstractSet[str]) -> str:
    while True:
        told = (await session.monitor.execute("query-migrate")).get("status")
        status = "" if told is None else told.text()
        if status in wanted:
            return status
        await asyncio.sleep(_POLL_SECONDS)


def _failed(what: str, details: str) -> HypervisorError:
    return HypervisorError(
        f"QEMU could not {what} the memory",
        details=details,
        hint="``doctor`` says what is wrong with machines and disks",
        kind="migrate",
    )
