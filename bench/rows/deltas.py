"""Five hundred deltas at once, on the disk: alone, and in the whole command that makes clones."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.commands import LINKEDCLONE, BenchError, run
from bench.local import build_guest, create_with_qemu_img, local_environment, scratch_folder
from bench.row import Comparison, Contender, Limit, Options, Sample, Target, row
from linkedclone.formats.qcow2 import build_overlay
from linkedclone.system.atomic_files import publish_file

COUNT = 500
QUICK_COUNT = 100
THREADS = 8
OURS, TOGETHER, WHOLE = "deltas, ours, with fsync", "deltas, ours, 8 threads", "linkedclone clone"
QEMU = "qemu-img create -b, without fsync"


@row("deltas", f"{COUNT} deltas of the demo guest's disk, all of them")
def deltas(options: Options) -> Comparison:
    """What is promised: all of them in under a second, so that a power failure takes none."""
    count = QUICK_COUNT if options.quick else COUNT
    second = count / COUNT
    return Comparison(
        contenders=(
            Contender(name=OURS, run=partial(_make_all, count, _write_ours, 1)),
            Contender(name=TOGETHER, run=partial(_make_all, count, _write_ours, THREADS)),
            Contender(name=QEMU, run=partial(_make_all, count, create_with_qemu_img, 1)),
            Contender(name=WHOLE, run=partial(_clone_all, count)),
        ),
        targets=(
            Target(of=OURS, to=QEMU, at_most=0.25),
            Target(of=TOGETHER, to=QEMU, at_most=0.25),
        ),
        limits=(
            Limit(of=OURS, seconds=second),
            Limit(of=TOGETHER, seconds=second),
        ),
        notes=(
            f"{count} of them; the limit is a second for {COUNT}",
            "the whole command makes a record, a seed and a name too, and proves each clone",
        ),
    )


def _make_all(count: int, make: Callable[[Path, Path], None], threads: int) -> Sample:
    base = build_guest().disk
    with scratch_folder() as folder, ThreadPoolExecutor(threads) as pool:
        disks = [folder / f"disk-{number:03}.qcow2" for number in range(count)]
        begun = time.perf_counter()
        list(pool.map(partial(make, base), disks))
        return Sample(seconds=time.perf_counter() - begun)


def _write_ours(base: Path, disk: Path) -> None:
    publish_file(disk, build_overlay(build_guest().disk_bytes, str(base), "qcow2"), durable=True)


def _clone_all(count: int) -> Sample:
    with scratch_folder() as folder:
        environment = local_environment(folder / "state")
        imported = ("image", "import", build_guest().disk, "--name", "golden")
        run(environment, LINKEDCLONE, *imported)
        names = f"x{{001..{count:03}}}"
        begun = time.perf_counter()
        command = ("clone", "golden", names, "--power", "off", "-o", "json")
        told = run(environment, LINKEDCLONE, *command)
        seconds = time.perf_counter() - begun
        if len(json.loads(told)["clones"]) != count:
            raise BenchError(f"not all of {names} were made")
        return Sample(seconds=seconds)
