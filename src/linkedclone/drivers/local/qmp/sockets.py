"""Unix sockets in a machine's folder, however long its path is.

A socket address holds 107 bytes [fact: fs-socket-paths]. The sockets still live in the
folder itself, not in a short folder elsewhere: so any later command finds them, whatever
its ``XDG_RUNTIME_DIR``, the folder's own permissions guard them, and they go when it goes.
QEMU is started in the folder and binds relative names; clients connect through
``/proc/self/fd``, which needs no change of directory and so is safe with threads.
"""

import os
import socket
import stat
import struct
from pathlib import Path

from linkedclone.errors import BusyError

# Paths relative to the machine's folder, in which QEMU is started.
QMP_SOCKET = "qmp.sock"
AGENT_SOCKET = "agent.sock"
AGENT_CHARDEV = "agent0"


def disk_device(number: int) -> str:
    return f"disk{number}"


LISTENER_SECONDS = 2.0


def connect(folder: Path, name: str, *, timeout_seconds: float) -> socket.socket | None:
    """Connect to a socket in the folder; None if nothing listens there.

    What is not a socket, as a link to another one, is not followed: nothing listens there.
    """
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not _is_socket(directory, name):
        os.close(directory)
        return None
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout_seconds)
        client.connect(f"/proc/self/fd/{directory}/{name}")
        client.settimeout(0)
    except (FileNotFoundError, ConnectionRefusedError):
        client.close()
        return None
    except (BlockingIOError, TimeoutError) as error:
        client.close()
        raise BusyError(
            f"{name} takes no further client", details=str(error), hint="try again in a moment"
        ) from error
    except BaseException:
        client.close()
        raise
    finally:
        os.close(directory)
    return client


def _is_socket(directory: int, name: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def find_listener(folder: Path, name: str) -> int | None:
    """Return the process that listens at a socket; 0 if it is hidden from us, None if none does."""
    client = connect(folder, name, timeout_seconds=LISTENER_SECONDS)
    if client is None:
        return None
    with client:
        return peer_pid(client)


def peer_pid(client: socket.socket) -> int:
    """The process that listens at the other end; 0 if it is hidden from us."""
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid)
