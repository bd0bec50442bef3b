"""On this machine: what a delta costs, how it grows, and how long five clones take to boot."""

import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.commands import LINKEDCLONE, BenchError, clean_environment, run
from bench.local import (
    Guest,
    allocated_bytes,
    ask_by_ssh,
    build_guest,
    create_with_qemu_img,
    local_environment,
    prepare_bare,
    running,
    scratch_folder,
)
from bench.row import Comparison, Contender, Limit, Options, Sample, Target, row
from linkedclone.formats.qcow2 import build_overlay
from linkedclone.system.atomic_files import publish_file

# -- what a delta costs ---------------------------------------------------------------------------

DELTAS = 100
COPIES = 10

Make = Callable[[Path, Path], None]
"""Makes a disk at the second path that begins as the one at the first."""


@row("delta", f"one delta or copy of the demo guest's disk, the mean of {DELTAS} or {COPIES}")
def delta(options: Options) -> Comparison:
    """Our overlay writer beside the tools that people make disks of clones with."""
    guest = build_guest()
    copies = 3 if options.quick else COPIES
    ours, synced = "delta, ours", "delta, ours, with fsync"
    virt_clone, missing = _offer_virt_clone(guest)
    return Comparison(
        contenders=(
            _disks(ours, partial(_write_overlay, guest, durable=False), DELTAS),
            _disks(synced, partial(_write_overlay, guest, durable=True), DELTAS),
            _disks("delta, qemu-img create -b", create_with_qemu_img, DELTAS),
            _disks("full copy, cp and sync", _copy, copies),
            _disks("full copy, qemu-img convert", _convert, copies),
            *((_disks("full copy, virt-clone", _virt_clone, copies),) if virt_clone else ()),
        ),
        limits=(
            Limit(of=ours, seconds=0.001, size_bytes=16 << 10),
            Limit(of=synced, seconds=0.002, size_bytes=16 << 10),
        ),
        notes=(
            "ours is a call, as linkedclone makes it for each clone; the others are a process each",
            "this disk holds a few MiB only: what a copy costs grows with it, a delta does not",
            *missing,
        ),
    )


def _disks(name: str, make: Make, count: int) -> Contender:
    """Make a contender that makes so many disks, one after the other, in an empty folder."""

    def run_all() -> Sample:
        base = build_guest().disk
        with scratch_folder() as folder:
            disks = [folder / f"disk-{number:03}.qcow2" for number in range(count)]
            begun = time.perf_counter()
            for disk in disks:
                make(base, disk)
            seconds = (time.perf_counter() - begun) / count
            return Sample(
                seconds=seconds, size_bytes=sum(allocated_bytes(disk) for disk in disks) / count
            )

    return Contender(name=name, run=run_all)


def _write_overlay(guest: Guest, base: Path, disk: Path, *, durable: bool) -> None:
    publish_file(disk, build_overlay(guest.disk_bytes, str(base), "qcow2"), durable=durable)


def _copy(base: Path, disk: Path) -> None:
    run(clean_environment(), "cp", base, disk)
    run(clean_environment(), "sync", disk)


def _convert(base: Path, disk: Path) -> None:
    run(clean_environment(), "qemu-img", "convert", "-O", "qcow2", base, disk)


# -- virt-clone, where it is ----------------------------------------------------------------------

DOMAIN = """<domain type='test'><name>golden</name><memory>131072</memory>
<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
<driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
</disk></devices></domain>"""


def _offer_virt_clone(guest: Guest) -> tuple[bool, tuple[str, ...]]:
    """Say whether virt-clone can be measured, and if not, why in a note."""
    if shutil.which("virt-clone") is None:
        return False, ("virt-clone is not installed (Debian package virtinst), so not measured",)
    try:
        with scratch_folder() as folder:
            _virt_clone(guest.disk, folder / "disk.qcow2")
    except BenchError as error:
        return False, (f"virt-clone is there but does not work here: {error}",)
    return True, ()


def _virt_clone(base: Path, disk: Path) -> None:
    """Clone a domain of libvirt's test driver: the disk is copied for real, no daemon is needed."""
    domain = disk.with_suffix(".xml")
    domain.write_text(DOMAIN.format(disk=base))
    command = ("virt-clone", "--connect", "test:///default", "--original-xml", domain)
    run(clean_environment(), *command, "--name", disk.stem, "--file", disk)


# -- how it grows ---------------------------------------------------------------------------------

WRITES = 5000
WRITE_BYTES = 4096
SEED = 20_260_000
LARGER_BYTES = 20 << 30


@row("growth", f"what a delta grows by under {WRITES:,} random writes of 4 KiB")
def growth(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Ours beside the default of qemu-img, over the guest's disk and over a larger one."""
    guest = build_guest()
    ours = "ours, 2 GiB disk"
    writers: tuple[tuple[str, Make], ...] = (
        (ours, partial(_ours_of_size, guest.disk_bytes)),
        ("qemu-img's default, 2 GiB disk", partial(_tools_of_size, guest.disk_bytes)),
        ("ours, 20 GiB disk", partial(_ours_of_size, LARGER_BYTES)),
        ("qemu-img's default, 20 GiB disk", partial(_tools_of_size, LARGER_BYTES)),
    )
    data = WRITES * WRITE_BYTES
    sizes = (guest.disk_bytes, guest.disk_bytes, LARGER_BYTES, LARGER_BYTES)
    return Comparison(
        contenders=tuple(
            Contender(name=name, run=partial(_write_at_random, make, size))
            for (name, make), size in zip(writers, sizes, strict=True)
        ),
        limits=(Limit(of=ours, size_bytes=1.1 * data, why="1.1 times the data written"),),
        notes=(
            "no target for 20 GiB: each 256 MiB that is written to takes an L2 table of 64 KiB,",
            "so writes all over a large disk cost 5 MiB more, once; those of a guest keep together",
        ),
    )


def _ours_of_size(virtual_bytes: int, base: Path, disk: Path) -> None:
    publish_file(disk, build_overlay(virtual_bytes, str(base), "qcow2"), durable=False)


def _tools_of_size(virtual_bytes: int, base: Path, disk: Path) -> None:
    create_with_qemu_img(base, disk, str(virtual_bytes))


def _write_at_random(make: Make, virtual_bytes: int) -> Sample:
    """Write each of some blocks of the disk once, the same ones at every run."""
    chosen = random.Random(SEED).sample(range(virtual_bytes // WRITE_BYTES), WRITES)  # noqa: S311
    commands = "".join(f"write -q {block * WRITE_BYTES} {WRITE_BYTES}\n" for block in chosen)
    with scratch_folder() as folder:
        disk = folder / "disk.qcow2"
        make(build_guest().disk, disk)
        before = allocated_bytes(disk)
        begun = time.perf_counter()
        run(clean_environment(), "qemu-io", "-f", "qcow2", disk, told=commands)
        seconds = time.perf_counter() - begun
        grown = allocated_bytes(disk) - before
    if grown < WRITES * WRITE_BYTES:
        raise BenchError(f"qemu-io wrote {grown} bytes, not {WRITES * WRITE_BYTES}")
    written = grown / (WRITES * WRITE_BYTES)
    return Sample(seconds=seconds, size_bytes=grown, note=f"{written:.2f} times the data written")


# -- how long they take to boot -------------------------------------------------------------------

CLONES = tuple(f"desk-{number}" for number in range(1, 6))


@row("boot", f"{len(CLONES)} guests from nothing to their host names over SSH")
def boot(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Linked clones made and booted beside bare QEMUs whose overlays and seeds are there."""
    return Comparison(
        contenders=(
            Contender(name="linkedclone clone", run=_boot_clones),
            Contender(name="bare QEMU", run=_boot_bare),
        ),
        targets=(Target(of="linkedclone clone", to="bare QEMU", at_most=1.3),),
        notes=("the same QEMU command line; bare QEMU has its overlays and seeds made beforehand",),
    )


def _boot_clones() -> Sample:
    guest = build_guest()
    with scratch_folder() as folder:
        settings = local_environment(folder / "state")
        run(
            settings,
            *(LINKEDCLONE, "image", "import", guest.disk, "--name", "golden"),
            *("--memory", f"{guest.memory_bytes >> 20}MiB", "--user", guest.user),
            *("--kernel", guest.kernel, "--initrd", guest.initrd, "--append", guest.append),
        )
        begun = time.perf_counter()
        try:
            run(settings, LINKEDCLONE, "clone", "golden", *CLONES, "--wait", "ip")
            cloned = time.perf_counter() - begun
            told = _ask_all(
                lambda name: run(settings, LINKEDCLONE, "ssh", name, "hostname").strip()
            )
            seconds = time.perf_counter() - begun
        finally:
            run(settings, LINKEDCLONE, "delete", *CLONES, "golden", "--yes", "--force")
    _check_names(told)
    return Sample(seconds=seconds, note=f"of that {seconds - cloned:.1f} s for the five answers")


def _boot_bare() -> Sample:
    guest = build_guest()
    with scratch_folder() as folder:
        machines = {one.name: one for one in prepare_bare(guest, folder, CLONES)}
        begun = time.perf_counter()
        with running(tuple(machines.values())):
            told = _ask_all(lambda name: ask_by_ssh(machines[name], guest.user))
            seconds = time.perf_counter() - begun
    _check_names(told)
    return Sample(seconds=seconds)


def _ask_all(ask: Callable[[str], str]) -> tuple[str, ...]:
    with ThreadPoolExecutor(len(CLONES)) as threads:
        return tuple(threads.map(ask, CLONES))


def _check_names(told: tuple[str, ...]) -> None:
    if told != CLONES:
        raise BenchError(f"the guests are called {', '.join(told)}")
