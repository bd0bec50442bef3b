"""How QEMU names the files that it has open."""

from pathlib import Path

from linkedclone.drivers.local.machine.answers import QEMU, Answer, decode_answer
from linkedclone.errors import HypervisorError


def parse_file_name(told: str) -> str:
    """Return the file that QEMU means. Pure.

    After a disk was moved to another layer, QEMU 7.2 tells the whole tree as
    ``json:{…}``, because the backing file it has open and the one that the
    header names were given in different words.
    """
    if not told.startswith("json:"):
        return told
    node: Answer | None = decode_answer(told.removeprefix("json:").encode(), QEMU)
    while node is not None and (name := node.get("filename")) is None:
        node = node.get("file")
    if node is None or name is None:
        raise HypervisorError(
            "QEMU does not say which file it writes to",
            details=told,
            hint="stop the VM, then try again",
        )
    return name.text()


def is_same(one: Path, other: Path) -> bool:
    """Say whether two paths lead to one file that is there."""
    return one.exists() and other.exists() and one.samefile(other)
