"""The names that this driver gives to what is in a VM's folder; all others are foreign.

Only what has such a name is ever removed. A test holds this list against the
folder of a VM that was really used.
"""

import re

from linkedclone.drivers.local.state.folder import (
    KEYS_FILE,
    SSH_CONFIG,
    is_disk_name,
    is_memory_name,
)
from linkedclone.drivers.local.state.record import FILE_NAME
from linkedclone.drivers.local.state.store import LOCK_NAME
from linkedclone.system.atomic_files import TEMPORARY_SUFFIX

SEAL_SUFFIX = ".seal"
RUN_FOLDER = "run"
VARIABLES_FILE = "uefi-variables.fd"

_RECORDS = {FILE_NAME, KEYS_FILE, LOCK_NAME, SSH_CONFIG}
_UNREADABLE = f"{FILE_NAME}.unreadable"
_MACHINE = {RUN_FOLDER, VARIABLES_FILE, "seed.iso", "kernel", "initrd"}
_FIXED = frozenset(_RECORDS | _MACHINE | {_UNREADABLE})
_KNOWN_HOSTS = re.compile(r"known_hosts(\..+)?")
"""``ssh`` writes beside it before it replaces it, and keeps the one before."""
_TEMPORARY = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}")


def is_temporary_name(name: str) -> bool:
    """Say whether it is a name of ours for a file in the making."""
    return _TEMPORARY.fullmatch(name) is not None


def is_storage_name(name: str) -> bool:
    """Say whether it is a name of ours for a layer, memory, a seal, or a file in the making."""
    plain = name.removesuffix(SEAL_SUFFIX)
    return is_disk_name(plain) or is_memory_name(plain) or is_temporary_name(name)


def is_own_name(name: str) -> bool:
    """Say whether it is any name that this driver gives in a VM's folder."""
    return name in _FIXED or is_storage_name(name) or _KNOWN_HOSTS.fullmatch(name) is not None
