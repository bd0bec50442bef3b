"""Unix sockets in a machine's folder, however long its path is.

A socket address holds 107 bytes. The sockets still live in the folder itself,
not in a short folder elsewhere: so any later command finds them, whatever its
``XDG_RUNTIME_DIR``, the folder's own permissions guard them, and they go when
it goes. QEMU is started in the folder and binds relative names; clients
connect through ``/proc/self/fd``, which needs no change of directory and so is
safe with threads.
"""

import os
import socket
import struct
from pathlib import Path

from linkedclone.errors import BusyError


def connect(folder: Path, name: str, *, timeout_seconds: float) -> socket.socket | None:
    """Connect to a socket in the folder; None if nothing listens there.

    Raises:
        BusyError: Something listens, but takes no further client.
    """
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
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


def peer_pid(client: socket.socket) -> int:
    """The process that listens at the other end; 0 if it is hidden from us."""
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid)
