"""Who works on a pool: told on one of its clones, so that a second run sees it.

There is no server that could hold a lock, and the hypervisor's own objects are
the only record. So a run writes its claim into the mark of the pool's first
clone, and renews it. Of two runs that begin in the same moment the first one
wins: a driver writes no mark over what others have changed in it. A claim ends
with the run, with its process where that can be looked at, or by age.
"""

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from linkedclone.model.vm import PoolState

STALE_SECONDS: Final = 600
"""After which a claim from another machine that was not renewed counts no more, and how far
the clocks of two machines may be apart. A wave may take minutes, and renews nothing meanwhile."""

RENEW_SECONDS: Final = 30

_FIELD_STARTED: Final = 19
"""``starttime`` among the fields of /proc/PID/stat behind the command's name (proc(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A run, and the process that it lives in."""

    run: str
    host: str
    pid: int
    started: str  # when that was started, in the kernel's ticks

    def __str__(self) -> str:
        return f"{self.run} {self.host} {self.pid} {self.started}"


def present(run: str) -> Claimant:
    """Return this process as the claimant of a run."""
    pid = os.getpid()
    return Claimant(run=run, host=socket.gethostname(), pid=pid, started=_read_start(pid))


def parse_claim(text: str) -> Claimant | None:
    """Read a claim; None for none, and for what no version has written."""
    parts = text.split(" ")
    if len(parts) != 4 or not parts[2].isdecimal():
        return None
    run, host, pid, started = parts
    return Claimant(run=run, host=host, pid=int(pid), started=started)


def is_valid(state: PoolState, now: datetime) -> bool:
    """Say whether a run works on the pool, as far as this process can see."""
    claimant = parse_claim(state.claim)
    if claimant is None:
        return False
    young = abs(now.timestamp() - state.claimed) <= STALE_SECONDS
    if claimant.host != socket.gethostname():
        return young
    if not claimant.started:  # a system without /proc
        return young
    return _read_start(claimant.pid) == claimant.started


def _read_start(pid: int) -> str:
    """Return when a process was started; empty if there is none, or no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return fields[_FIELD_STARTED] if len(fields) > _FIELD_STARTED else ""
