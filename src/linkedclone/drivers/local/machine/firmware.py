"""UEFI firmware: where the distribution keeps it, and a machine's own variables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkedclone.errors import PowerOnError
from linkedclone.system.atomic_files import replace_file

DESCRIPTORS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))
"""Where firmware describes itself [fact: qemu-firmware]."""

_UNWANTED = frozenset({"secure-boot", "enrolled-keys", "requires-smm"})
"""Features of firmware that boots signed systems only, or wants another machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    code: Path  # the firmware; never written to
    variables: Path  # the machine's own variables, or the template that they are copied from


def find_firmware(folders: tuple[Path, ...] | None = None) -> Firmware:
    """Find firmware for x86-64 guests on q35, without secure boot, with its variables' template.

    Descriptors are taken in the order of their names, those of the administrator's
    folder first [fact: qemu-firmware].
    """
    files: dict[str, Path] = {}
    for folder in reversed(folders or DESCRIPTORS):
        files |= {path.name: path for path in folder.glob("*.json")}
    for name in sorted(files):
        found = _read_descriptor(files[name])
        if found is not None and found.code.exists() and found.variables.exists():
            return found
    raise PowerOnError(
        "there is no UEFI firmware for QEMU here",
        details=f"none is described in {' or '.join(map(str, folders or DESCRIPTORS))}",
        hint="apt-get install ovmf",
        kind="firmware",
    )


def prepare_firmware(variables: Path | None) -> Path | None:
    """Return the firmware's code for a machine that has variables; None for one with BIOS.

    A machine that was never started gets its variables now. They are the
    firmware's own template, so that what boots is found by the firmware itself.
    """
    if variables is None:
        return None
    firmware = find_firmware()
    if not variables.exists():
        replace_file(variables, firmware.variables.read_bytes(), durable=False)
    return firmware.code


def _read_descriptor(path: Path) -> Firmware | None:
    try:
        return parse_descriptor(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # another program's, or for a newer QEMU


def parse_descriptor(document: dict[str, Any]) -> Firmware | None:
    """Read a descriptor; None if its firmware is not for our machines. Pure."""
    fits = any(
        target["architecture"] == "x86_64"
        and any(machine.startswith("pc-q35") for machine in target["machines"])
        for target in document["targets"]
    )
    mapping = document["mapping"]
    if (
        not fits
        or "uefi" not in document["interface-types"]
        or mapping["device"] != "flash"
        or not _UNWANTED.isdisjoint(document["features"])
        or {mapping["executable"]["format"], mapping["nvram-template"]["format"]} != {"raw"}
    ):
        return None
    return Firmware(
        code=Path(mapping["executable"]["filename"]),
        variables=Path(mapping["nvram-template"]["filename"]),
    )
