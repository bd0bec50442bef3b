"""A state folder as a world: the oracle reads names, headers and, with qemu-io, every byte."""

import json
import os
import re
import struct
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.model.images import ImageImport
from tests.families.look import Chain, Look, Loose, Member
from tests.families.world import Change, Powers

SLOTS = 6
SLOT_BYTES = 64 << 10
STEP_BYTES = 128 << 10
CAPACITY_BYTES = 1 << 20
BASE = tuple(range(1, SLOTS + 1))
_DISK = re.compile(r".*\.(qcow2|raw)")
_MAGIC = b"QFI\xfb"

Content = tuple[int, ...]
"""The byte that each slot of a disk is full of."""


class LocalWorld:
    """Two parents made of one image: ``golden`` with a snapshot, and ``bare`` without."""

    strangers: tuple[str, ...] = (
        "write",
        "write",
        "write",
        "strip the mark",
        "overlay by hand",
        "leave a delta behind",
    )
    powers = Powers(sees_loose=True, unregisters=False, promotes_snapshots=False, runs=False)

    def __init__(self, folder: Path) -> None:
        self.state = open_state(folder / "state", durable=False, immutable=False)
        self.connection = Connection(LocalDriver(self.state), address="local:")
        self._headers: dict[tuple[str, int, int], str | None] = {}
        self._made_by_hand: dict[str, bool] = {}
        self._contents: dict[str, Content] = {}
        image = folder / "image.qcow2"
        _run("qemu-img", "create", "-q", "-f", "qcow2", image, CAPACITY_BYTES)
        _qemu_io(image, *(f"write -q -P {byte} {_at(slot)}" for slot, byte in enumerate(BASE)))
        for name in ("golden", "bare"):
            self.connection.images.add(ImageImport(file=image, name=name))
            self._contents[name] = BASE
        (base,) = self.connection.snapshots.list("bare")
        self.connection.snapshots.delete("bare", base.id, force=True)
        (base,) = self.connection.snapshots.list("golden")
        self._contents[base.id] = BASE

    # -- looking ----------------------------------------------------------------------

    def look(self) -> Look:
        root = self.state.root
        members = {}
        for link in (root / "names").iterdir():
            member = self._read_member(Path(os.path.realpath(link)))
            members[member.name] = member
        files = {
            self._name(path): path.stat().st_blocks * 512
            for path in (root / "vms").rglob("*")
            if path.is_file() and _DISK.fullmatch(path.name)
        }
        read = {file for member in members.values() for file in member.files}
        loose = {
            name: Loose(chain=self._read_chain(self._path(name)), leftover=leftover, held=True)
            for name, leftover in self._made_by_hand.items()
            if name in files and name not in read
        }
        return Look(members=members, files=files, loose=loose)

    def _read_member(self, folder: Path) -> Member:
        record: dict[str, Any] = json.loads((folder / "vm.json").read_text())
        present = self._read_disk(folder, record)
        frozen = {one["id"]: self._read_disk(folder, one) for one in record["snapshots"]}
        ends = {chain[-1]: snapshot for snapshot, chain in frozen.items()}
        mark = record["mark"]
        return Member(
            id=folder.name,
            name=record["name"],
            home=self._name(folder),
            running=False,
            ours=mark is not None and mark["uuid"] == record["uuid"],
            present=(present,),
            snapshots={snapshot: (chain,) for snapshot, chain in frozen.items()},
            current=next((ends[file] for file in reversed(present[:-1]) if file in ends), None),
        )

    def _name(self, path: Path) -> str:
        return f"[local] {path.relative_to(self.state.root)}"

    def _path(self, name: str) -> Path:
        return self.state.root / name.removeprefix("[local] ")

    def _read_disk(self, folder: Path, record: dict[str, Any]) -> Chain:
        (disk,) = record["disks"]
        return self._read_chain(folder / disk["file"])

    def _read_chain(self, path: Path) -> Chain:
        chain = []
        below: Path | None = path
        while below is not None:
            chain.append(self._name(below))
            path, below = below, None
            backing = self._read_header(path)
            if backing:
                below = Path(os.path.normpath(path.parent / backing))
        return tuple(reversed(chain))

    def _read_header(self, path: Path) -> str | None:
        """Return what a file depends on, by the header that the format's specification gives."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        key = (str(path), status.st_ino, status.st_mtime_ns)
        if key not in self._headers:
            head = path.open("rb").read(4096)
            offset, size = struct.unpack_from(">QI", head, 8)
            backed = head.startswith(_MAGIC) and offset
            self._headers[key] = head[offset : offset + size].decode() if backed else None
        return self._headers[key]

    # -- contents ---------------------------------------------------------------------

    def note(self, change: Change) -> None:
        contents = self._contents
        for snapshot, name in change.frozen.items():
            contents[snapshot] = contents[name]
        for name, (_, snapshot) in change.clones.items():
            contents[name] = contents[snapshot]
        for name, snapshot in change.reverted.items():
            contents[name] = contents[snapshot]

    def check_contents(self, number: int | None = None) -> None:
        now = self.look()
        ends = {name: chain[-1] for name, one in now.members.items() for chain in one.present}
        for member in now.members.values():
            ends |= {snapshot: chain[-1] for snapshot, (chain,) in member.snapshots.items()}
        ends |= {name: name for name, one in now.loose.items() if not one.leftover}
        names = sorted(ends)
        if number is not None and names:
            start = number % len(names)
            names = (names + names)[start : start + 6]

        def read(name: str) -> str:
            slots = enumerate(self._contents[name])
            commands = [f"read -q -P {byte} {_at(slot)}" for slot, byte in slots]
            return _qemu_io(self._path(ends[name]), *commands, read_only=True)

        with ThreadPoolExecutor(2) as pool:
            said = dict(zip(names, pool.map(read, names), strict=True))
        assert not any(said.values()), {name: text for name, text in said.items() if text}

    # -- strangers --------------------------------------------------------------------

    def act_as_stranger(self, act: str, member: Member, number: int) -> Change:
        (present,) = member.present
        if act == "strip the mark":
            self._strip_mark(member)
        elif act == "write":
            self._write(member, number)
        elif act == "overlay by hand":
            below, content = present[-1], self._contents[member.name]
            if member.snapshots and number % 4:
                snapshot = sorted(member.snapshots)[number % len(member.snapshots)]
                ((*_, below),) = member.snapshots[snapshot]
                content = self._contents[snapshot]
            name = f"{member.home}/hand-{number}.qcow2"
            self._overlay(name, below)
            self._contents[name] = content
            self._made_by_hand[name] = False
        else:
            name = f"{member.home}/disk-{number:08x}.qcow2"
            self._overlay(name, present[-1])
            self._made_by_hand[name] = True
        return Change()

    def _strip_mark(self, member: Member) -> None:
        path = self._path(member.home) / "vm.json"
        record = json.loads(path.read_text())
        record["mark"] = None
        path.write_text(json.dumps(record))

    def _write(self, member: Member, number: int) -> None:
        """Write to a VM's disk as its guest would, unless others read what is there."""
        (chain,) = member.present
        if self.look().hanging([chain[-1]], [member.name], loose=True):
            return
        slot, byte = number % SLOTS, 16 + number % 200
        _qemu_io(self._path(chain[-1]), f"write -q -P {byte} {_at(slot)}")
        before = self._contents[member.name]
        self._contents[member.name] = (*before[:slot], byte, *before[slot + 1 :])

    def _overlay(self, name: str, below: str) -> None:
        path = self._path(name)
        backing = os.path.relpath(self._path(below), path.parent)
        suffix = below.rpartition(".")[2]
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", suffix, path)


def _at(slot: int) -> str:
    return f"{slot * STEP_BYTES} {SLOT_BYTES}"


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def _qemu_io(path: Path, *commands: str, read_only: bool = False) -> str:
    """Carry out commands on a disk; return what was said, nothing if all went well."""
    wanted = [part for command in commands for part in ("-c", command)]
    flags = ["-r"] if read_only else []
    image_format = "raw" if path.suffix == ".raw" else "qcow2"
    done = subprocess.run(
        ["qemu-io", *flags, "-f", image_format, *wanted, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    failed = done.returncode or done.stdout.strip()
    return (done.stdout + done.stderr) if failed else ""


def fresh_folder(parent: Path) -> Path:
    """Return a folder for one more world."""
    made = parent / uuid.uuid4().hex[:8]
    made.mkdir()
    return made
