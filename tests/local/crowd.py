"""One of many processes that change one family at random; and what must hold after them.

What is on the disks proves itself: each block that is written begins with the hash
of the block before it, so a layer that is lost or that was written to by the wrong
one breaks the row. A ledger beside the state folder says how long the row of a VM
was at least. The last look knows ``vm.json`` and ``qemu-img``, and nothing of our
own code for chains and lineage.
"""

import hashlib
import json
import os
import random
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import locked
from linkedclone.errors import (
    BusyError,
    DuplicateNameError,
    GoneError,
    InUseError,
    LinkedCloneError,
    NotFoundError,
)
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Vm
from tests import do
from tests.contract.acts import finish, step_for
from tests.local.scenes import clean_up, connect
from tests.local.writing import read_raw

NAMES = tuple(f"vm-{n}" for n in range(8))
PARENT = "golden"
BLOCK_BYTES = 64 << 10
CAPACITY_BYTES = 2 << 20

EXPECTED = (GoneError, BusyError, DuplicateNameError, InUseError, NotFoundError)
"""What may be said when somebody else was quicker."""


def build(root: Path, image: Path) -> None:
    """Make the parent, with its own name in its first block."""
    with closing(connect(root)) as driver:
        command = ("qemu-img", "create", "-q", "-f", "qcow2", image, str(CAPACITY_BYTES))
        subprocess.run(command, check=True)
        line = f"write -P 71 0 {BLOCK_BYTES}"
        subprocess.run(["qemu-io", "-c", line, image], check=True, stdout=subprocess.DEVNULL)
        driver.images.import_image(ImageImport(file=image, name=PARENT))


def take_part(root: Path, seed: int, seconds: float, told: object) -> None:
    """Do one thing after the other, in a connection of its own each time, as commands do.

    At least two things, also where that takes longer.
    """
    chance, done = random.Random(seed), 0
    deadline = time.monotonic() + seconds
    problems: list[str] = []
    while (time.monotonic() < deadline or done < 2) and not problems:
        act = chance.choice(ACTS)
        try:
            clean_up(root)
            with closing(connect(root)) as driver:
                act(driver, chance)
            done += 1
        except EXPECTED:
            continue
        except LinkedCloneError as error:
            problems.append(f"{act.__name__}: {type(error).__name__}: {error}: {error.details}")
    told.put((seed, done, problems))  # type: ignore[attr-defined]  # SimpleQueue has no public type


def _run(driver: LocalDriver, job: object) -> None:
    (state,) = finish(driver, [job])  # type: ignore[list-item]
    if state.error:
        raise state.error


def _some(driver: LocalDriver, chance: random.Random, *names: str) -> Vm:
    there = [vm for vm in driver.observe().vms if vm.name in (names or NAMES) and vm.disks]
    if not there:
        raise GoneError("there is none")
    return chance.choice(there)


def clone(driver: LocalDriver, chance: random.Random) -> None:
    source = _some(driver, chance, PARENT, *NAMES)
    if not any(snapshot.current for snapshot in source.snapshots):
        raise GoneError("it has no snapshot")
    if len(source.disks[0].chain) > 12:
        raise GoneError("its chain is long enough")
    _run(driver, driver.start(step_for(driver, source, chance.choice(NAMES))))


def snapshot(driver: LocalDriver, chance: random.Random) -> None:
    vm = _some(driver, chance, PARENT, *NAMES)
    if len(vm.snapshots) > 3:
        raise GoneError("it has enough")
    _run(driver, driver.start(do.create_snapshot(vm, f"s{chance.randrange(1000)}", "")))


def delete_snapshot(driver: LocalDriver, chance: random.Random) -> None:
    vm = _some(driver, chance, PARENT, *NAMES)
    there = [one for one in vm.snapshots if (vm.name, one.name) != (PARENT, "base")]
    if there:
        _run(driver, driver.start(do.delete_snapshot(vm, chance.choice(there).id)))


def revert(driver: LocalDriver, chance: random.Random) -> None:
    vm = _some(driver, chance)
    if vm.snapshots:
        note(driver.state, "reverting", vm.id)
        _run(driver, driver.start(do.revert_snapshot(vm, chance.choice(vm.snapshots).id)))
        note(driver.state, "reverted", vm.id)


def delete(driver: LocalDriver, chance: random.Random) -> None:
    _run(driver, driver.start(do.delete_vm(_some(driver, chance))))


def promote(driver: LocalDriver, chance: random.Random) -> None:
    _run(driver, driver.start(do.promote_vm(_some(driver, chance))))


def collect(driver: LocalDriver, chance: random.Random) -> None:
    inventory = driver.observe()
    for stray in inventory.strays:
        if stray.orphaned and not stray.holds:
            _run(driver, driver.start(do.remove_stray(stray)))


def write(driver: LocalDriver, chance: random.Random) -> None:
    """Add a block to the row, under the lock that every command about the VM takes."""
    vm = _some(driver, chance, PARENT, *NAMES)
    with locked(driver.state, vm.id) as stored, tempfile.NamedTemporaryFile() as block:
        row = read_row(stored.top)
        if (len(row) + 1) * BLOCK_BYTES > CAPACITY_BYTES:
            return
        block.write(hashlib.sha256(row[-1]).digest() + chance.randbytes(BLOCK_BYTES - 32))
        block.flush()
        line = f"write -s {block.name} {len(row) * BLOCK_BYTES} {BLOCK_BYTES}"
        command = ("qemu-io", "-f", "qcow2", "-c", line, str(stored.top))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        note(driver.state, "wrote", vm.id, len(row) + 1)


def note(state: StateFolder, event: str, vm: str, length: int = 0) -> None:
    handle = os.open(state.root.parent / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{event} {vm} {length}\n".encode())
    os.close(handle)


def read_row(disk: Path) -> list[bytes]:
    """Return the blocks of a disk's row, and make sure that it is one."""
    data = read_raw(disk)
    assert len(data) == CAPACITY_BYTES, disk
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, CAPACITY_BYTES, BLOCK_BYTES)]
    assert blocks[0] == bytes([71]) * BLOCK_BYTES, disk
    row = blocks[:1]
    while len(row) < len(blocks) and blocks[len(row)][:32] == hashlib.sha256(row[-1]).digest():
        row.append(blocks[len(row)])
    assert not any(map(any, blocks[len(row) :])), f"{disk}: the row breaks at {len(row)}"
    return row


def check_family(root: Path) -> int:
    """Look at every disk and snapshot of every VM that there is; return how many."""
    lengths, seen = _read_ledger(root.parent / "ledger"), 0
    for link in sorted((root / "names").iterdir()):
        folder = link.resolve()
        record = json.loads((folder / "vm.json").read_text())
        for file in [one["disks"][0]["file"] for one in (record, *record["snapshots"])]:
            told = subprocess.run(
                ["qemu-img", "info", "--backing-chain", "--output=json", folder / file],
                check=True,
                capture_output=True,
            )
            assert all(Path(one["filename"]).exists() for one in json.loads(told.stdout))
            assert read_row(folder / file)
            seen += 1
        row = read_row(folder / record["disks"][0]["file"])
        assert len(row) >= lengths.get(folder.name, 0), f"{folder.name} lost what it wrote"
    return seen


def _read_ledger(path: Path) -> dict[str, int]:
    """Return how long the rows are at least: what was written last, unless a revert came after."""
    lengths: dict[str, int] = {}
    reverting: dict[str, int] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        event, vm, length = line.split()
        if event == "wrote":
            lengths[vm] = int(length)
        if event == "reverting":
            reverting[vm] = reverting.get(vm, 0) + 1
        if event == "reverted":
            reverting[vm] -= 1
        if event != "wrote" or reverting.get(vm):
            lengths[vm] = 0
    return lengths


ACTS = (
    write,
    write,
    write,
    clone,
    clone,
    clone,
    snapshot,
    snapshot,
    delete_snapshot,
    revert,
    delete,
    promote,
    collect,
)
