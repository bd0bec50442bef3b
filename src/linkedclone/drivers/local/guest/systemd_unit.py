"""A systemd unit that starts a VM with its user's session, and shuts its guest down at the end.

A template (systemd.unit(5)): the instance is the VM, so that each has a state
of its own and one that does not start leaves the others alone.
"""

import sys
from pathlib import Path

GUEST_SECONDS = 90
_SPARE_SECONDS = 60

_TEMPLATE = """\
# Written by linkedclone unit; the instance is the name or the UUID of a VM.
[Unit]
Description=linkedclone VM %i

[Service]
Type=oneshot
# QEMU goes on when the command has ended, and belongs to this unit.
RemainAfterExit=yes
# A guest that is ended for want of memory does not take this unit along.
OOMPolicy=continue
ExecStart={program} start --force -- %i
ExecStop={program} stop --force --guest --then-off --deadline {guest_seconds}s -- %i
TimeoutStartSec=5min
TimeoutStopSec={stop_seconds}s

[Install]
WantedBy=default.target
"""


def render_unit(root: Path, python: str = sys.executable) -> str:
    """Return the unit's text. Pure.

    Foreign VMs are started too (``--force``): enabling an
    instance is a choice of its own.
    """
    words = (python, "-m", "linkedclone", "--endpoint", f"local:{root}")
    return _TEMPLATE.format(
        program=" ".join(map(quote, words)),
        guest_seconds=GUEST_SECONDS,
        stop_seconds=GUEST_SECONDS + _SPARE_SECONDS,
    )


def quote(word: str) -> str:
    """Quote a word for systemd, which expands ``%`` and ``$`` (systemd.service(5)). Pure."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t\"'\\;") else escaped
