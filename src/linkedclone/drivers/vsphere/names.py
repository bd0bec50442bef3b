"""Inventory names and file names as vSphere writes them."""

import re
from typing import Final

from linkedclone.errors import InputError
from linkedclone.model.request import Hardware

_MEMORY_STEP: Final = 4 << 20
"""[fact: vs-memory-step]."""
_ESCAPES: Final = {"%2f": "/", "%5c": "\\", "%25": "%"}
_ESCAPED: Final = re.compile("|".join(_ESCAPES), re.IGNORECASE)
VOLUMES: Final = "/vmfs/volumes/"
_FILE: Final = re.compile(r"\[([^\]]*)\] *(.*)")


def unescape(name: str) -> str:
    """Return an entity's name as a person wrote it: slash, backslash and percent come escaped."""
    if "%" not in name:
        return name
    return _ESCAPED.sub(lambda match: _ESCAPES[match.group().lower()], name)


def unescape_fully(name: str) -> str:
    """Return a name without any escapes, however often they were escaped.

    The vSphere Client escapes the names of snapshots before vCenter does so again
    [fact: vs-names]: its default name holds ``10%252f24%252f2018``.
    """
    while (plain := unescape(name)) != name:
        name = plain
    return name


def split_file_name(name: str) -> tuple[str, str]:
    """Split ``[datastore] folder/file.vmdk`` into datastore name and path.

    What has no brackets is a path without a datastore.
    """
    match = _FILE.fullmatch(name)
    return (match.group(1), match.group(2)) if match else ("", name)


def is_same_file(told: str, file_name: str) -> bool:
    """Say whether a fault is about a file, as hosts name it [fact: vs-fault-file-path].

    Any other absolute path has to end in it (the simulator's files are elsewhere).
    """
    store, path = split_file_name(file_name)
    if told.startswith(VOLUMES):
        return told.removeprefix(VOLUMES).partition("/")[2] == path
    if told.startswith("/"):
        return told.endswith(f"/{path}")
    return bool(path) and split_file_name(told) in {(store, path), ("", path)}


def store_of(file_name: str) -> str:
    """Return the datastore's name in ``[datastore] folder/file.vmdk``; empty where it has none."""
    return split_file_name(file_name)[0]


def memory_mib(hardware: Hardware) -> int | None:
    """Return the memory size in MiB, or None to keep the snapshot's."""
    size = hardware.memory_bytes
    if size is None:
        return None
    if size % _MEMORY_STEP:
        raise InputError(
            f"{size:,} bytes of memory are not a multiple of 4 MiB",
            hint="vCenter takes memory in steps of 4 MiB, as 4096MiB",
        )
    return size >> 20
