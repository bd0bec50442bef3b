"""Whether this machine has the memory for one more guest, looked at before it is started.

What guests that are coming up have not taken yet still counts as available
[fact: linux-memory], and is subtracted here. A guest that was loaded from a snapshot shares
the memory that it only reads, so a part of it is set aside. Without swap the kernel's way
out of a shortage is to kill the largest process, which is a guest that runs. The same holds
within the memory limits of a container or a service: of this process's control group and of
each above it that can be seen.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder, key_of
from linkedclone.errors import RefusedError
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.sizes import render_size
from linkedclone.system.locks import hold

OVERCOMMIT_VARIABLE = "LINKEDCLONE_LOCAL_OVERCOMMIT"
"""Set to ``yes``, guests are started whether or not their memory is there."""

OVERHEAD_BYTES = 128 << 20
"""What QEMU takes beside the guest's memory, with the translation cache of software
emulation [fact: qemu-translation-cache]."""

_GATE_SECONDS = 60.0
_MIB, _KIB = 1 << 20, 1 << 10
_PROCESSES = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_RECLAIMABLE = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_TAKEN = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)
"""What a process alone has: pages of a file of memory are not in it."""
_LOADED = re.compile(r"memory-backend-file,.*,share=(on|off),.*")
_FORK_PART = 4
"""How much of its memory a guest that was loaded writes to: a fourth is far more than usual."""
_MEMORY = re.compile(r"(\d+)M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    # What the kernel can give without swapping (MemAvailable), or what is left of a memory limit
    # if that is less.
    available_bytes: int
    promised_bytes: int  # what guests that run have not taken yet
    limit: str = ""  # the control group whose limit leaves no more than that; empty if none does

    @property
    def free_bytes(self) -> int:
        """What is left for further guests."""
        return max(0, self.available_bytes - self.promised_bytes)


def need_of(memory_bytes: int) -> int:
    """Return what a guest takes of this machine, at most. Pure."""
    return memory_bytes + OVERHEAD_BYTES


def expect_of_fork(memory_bytes: int) -> int:
    """Return what is set aside of the memory of a guest that is loaded from a snapshot. Pure."""
    return memory_bytes // _FORK_PART


def check_room(room: Room, needs: dict[str, int]) -> None:
    """Refuse guests, by name with the memory of each, for which there is none. Pure."""
    needed = sum(map(need_of, needs.values()))
    if needed <= room.free_bytes:
        return
    who = next(iter(needs)) if len(needs) == 1 else f"{len(needs)} machines"
    limit = f" within the memory limit of {room.limit}" if room.limit else ""
    promised = f", {render_size(room.promised_bytes)} of it promised to guests that run"
    raise RefusedError(
        f"there is not enough memory to start {who}",
        details=f"{render_size(needed)} are needed (the guests' own and what QEMU takes), and "
        f"{render_size(room.available_bytes)} are available{limit}"
        + (promised if room.promised_bytes else ""),
        hint="stop others first, or start fewer, or give them less with ``hardware.memory_bytes``; "
        f"{OVERCOMMIT_VARIABLE}=yes starts them anyway",
    )


def check_batch(state: StateFolder, request: CloneRequest, memory_bytes: int) -> None:
    """Refuse a batch whose new clones could not all be started, before the first is made."""
    if not request.power_on or is_overcommitted():
        return
    each = request.hardware.memory_bytes or memory_bytes
    each = expect_of_fork(each) if request.instant else each
    new = [
        name
        for name in request.names
        if state.holder(key_of(name)) is None and request.own_of(name).spare is None
    ]
    check_room(observe_room(), dict.fromkeys(new, each))


@contextmanager
def admitted(gate: Path, name: str, memory_bytes: int) -> Iterator[None]:
    """Let one machine at a time be started, if there is memory for it.

    The block ends as soon as QEMU's process is there: from then on the next
    look sees it.
    """
    if is_overcommitted():
        yield
        return
    with hold(gate, deadline_s=_GATE_SECONDS):
        check_room(observe_room(), {name: memory_bytes})
        yield


def is_overcommitted() -> bool:
    return os.environ.get(OVERCOMMIT_VARIABLE, "no") == "yes"


def observe_room(processes: Path = _PROCESSES, groups: Path = _GROUPS) -> Room:
    """Look how much memory there is, and what this machine's QEMUs have not taken of theirs.

    Args:
        processes: Where the kernel tells of processes (proc(5)).
        groups: Where it tells of control groups (cgroups(7)).
    """
    told = _AVAILABLE.search((processes / "meminfo").read_text())
    promised = sum(_read_promise(entry) for entry in processes.iterdir() if entry.name.isdigit())
    rooms = [(int(told[1]) * _KIB if told else 0, "")]
    for folder in _list_groups(processes, groups):
        left = _read_left(folder)
        if left is not None:
            rooms.append((left, str(folder)))
    available, limit = min(rooms)
    return Room(available_bytes=available, promised_bytes=promised, limit=limit)


def _list_groups(processes: Path, groups: Path) -> Iterator[Path]:
    """List the control groups for memory that this process is in, up to the highest that is seen.

    In a container without a namespace of its own for control groups, the path is
    the host's, and the group itself is mounted as the highest.
    """
    try:
        lines = (processes / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            top = groups / "memory"
        elif number == "0":
            top = groups
        else:
            continue
        below = Path(*(part for part in path.split("/") if part not in {"", ".", ".."}))
        yield from dict.fromkeys((top / below, *(top / one for one in below.parents)))


def _read_left(group: Path) -> int | None:
    """Return what is left of the memory limit of a control group; None if it has none.

    Files that were read and can be forgotten again do not count as used.
    """
    limits = ("memory.max", "memory.high", "memory.limit_in_bytes")
    found = [limit for name in limits if (limit := _read_number(group / name)) is not None]
    if not found:
        return None
    used = _read_number(group / "memory.current")
    used = _read_number(group / "memory.usage_in_bytes") if used is None else used
    try:
        told = _RECLAIMABLE.findall((group / "memory.stat").read_text())
    except OSError:
        told = []
    return max(0, min(found) - max(0, (used or 0) - max(map(int, told), default=0)))


def _read_number(file: Path) -> int | None:
    """Read a number; None for ``max``, which is none, and where there is no such file."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _read_promise(process: Path) -> int:
    try:
        if not (process / "comm").read_text().startswith("qemu-system"):
            return 0
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        taken = _TAKEN.search((process / "status").read_text())
    except OSError:  # ended meanwhile
        return 0
    memory = _MEMORY.fullmatch(_after(arguments, "-m"))
    if memory is None or taken is None:  # another program's, or ended
        return 0
    expected = _expect(int(memory[1]) * _MIB, _LOADED.fullmatch(_after(arguments, "-object")))
    return max(0, need_of(expected) - int(taken[1]) * _KIB)


def _expect(memory_bytes: int, loaded: re.Match[str] | None) -> int:
    """Return what a guest takes of its memory by itself; nothing if that is a file."""
    if loaded is None:
        return memory_bytes
    return expect_of_fork(memory_bytes) if loaded[1] == "off" else 0


def _after(arguments: list[str], option: str) -> str:
    return next((value for name, value in pairwise(arguments) if name == option), "")
