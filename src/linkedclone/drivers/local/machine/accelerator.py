"""Which accelerator works here: found out by booting a kernel.

/dev/kvm can be there and be of no use [fact: qemu-kvm-lies].

And which CPU guests get with it.
"""

import grp
import hashlib
import json
import os
import platform
import pwd
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from linkedclone.drivers.local.machine.arguments import PROGRAM
from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.system.locks import hold

KVM_DEVICE = Path("/dev/kvm")
BOOT_FOLDER = Path("/boot")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
GREETING = b"Linux version"
PROBE_SECONDS = 30.0
GRACE_SECONDS = 0.5
CACHE_FILE = "accelerator.json"
CPU_VARIABLE = "LINKEDCLONE_LOCAL_CPU"
"""The model of the guests' CPUs, as QEMU's option ``-cpu`` takes it; unset chooses one."""

_CPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]*")
_VERSION = re.compile(r"^(?:QEMU emulator|qemu-img) version (\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|vendor_id)\s*:.*$", re.MULTILINE)
_FIRST_SOUND_VERSION = 10
"""Older ones emulate an instruction so that Linux 6.12 fails [fact: qemu-cmpxchg16b]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    name: str  # as QEMU calls it: ``kvm`` or ``tcg``
    reason: str  # why this one, in words for ``doctor``
    remedy: str = ""  # the command that lets this user have KVM, if that is all that is missing


def choose_accelerator(kernel: Path | None = None, *, cache: Path | None = None) -> Accelerator:
    """Choose KVM if a kernel boots with it, else software emulation.

    The verdict is kept until the host's kernel, its boot or QEMU changes.

    Args:
        kernel: A kernel to try with; None takes one from ``/boot``.
        cache: The folder for the verdict; None takes the user's cache.
    """
    if platform.machine() != "x86_64" or not KVM_DEVICE.exists():
        return Accelerator(name="tcg", reason=f"there is no {KVM_DEVICE} for x86-64 guests")
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        reason = f"{KVM_DEVICE} may not be opened by this user (group kvm)"
        return Accelerator(name="tcg", reason=reason, remedy=_build_remedy())
    kernel = kernel or _find_kernel()
    program = shutil.which(PROGRAM)
    if kernel is None or program is None:
        missing = "kernel" if kernel is None else PROGRAM
        return Accelerator(name="tcg", reason=f"there is no readable {missing} to try KVM with")
    folder = cache or user_cache_path("linkedclone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / f"{CACHE_FILE}.lock", deadline_s=2 * PROBE_SECONDS):
            return _cached(folder / CACHE_FILE, kernel, Path(program))
    except (OSError, LinkedCloneError):
        return probe_accelerator(kernel, program)


def choose_cpu(accel: str, program: str = PROGRAM) -> str:
    """Choose the guests' CPU model: all that there is, less what this QEMU emulates badly."""
    wanted = os.environ.get(CPU_VARIABLE, "")
    if wanted and not _CPU.fullmatch(wanted):
        raise InputError(
            f"{CPU_VARIABLE} is not a CPU model: {wanted!r}",
            hint=f"{PROGRAM} -cpu help lists them",
        )
    if wanted or accel == "kvm":
        return wanted or "host"
    if shutil.which(program) is None:  # the start will tell
        return "max"
    sound = read_qemu_version(program)[:1] >= (_FIRST_SOUND_VERSION,)
    return "max" if sound else "max,cx16=off"


def read_qemu_version(program: str = PROGRAM) -> tuple[int, ...]:
    """Return the version of a program of QEMU, as ``(7, 2, 22)``; empty if there is none."""
    path = shutil.which(program)
    if path is None:
        return ()
    seen = Path(path).stat()
    return _read_version(path, seen.st_size, seen.st_mtime_ns)


def digest_host_cpu(accel: str, file: Path = _CPU_INFO) -> str:
    """Return a digest of what this host's CPU can do, where guests see that; else empty."""
    if accel != "kvm":
        return ""
    flags = sorted(set(_FLAGS.findall(file.read_text())))
    return hashlib.sha256("\n".join(flags).encode()).hexdigest()[:16]


@lru_cache(maxsize=4)
def _read_version(program: str, _size: int, _mtime_ns: int) -> tuple[int, ...]:
    """Return QEMU's version, asked for once while its file stays as it is; empty if unknown."""
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(  # noqa: S603 - fixed arguments
            (program, "--version"), capture_output=True, check=True, timeout=PROBE_SECONDS
        )
        match = _VERSION.search(told.stdout.decode(errors="replace"))
        return tuple(map(int, match.groups())) if match else ()
    return ()


def _build_remedy() -> str:
    """Return how to join the group that may open the device; empty if there is none."""
    device = KVM_DEVICE.stat()
    if device.st_gid == 0 or device.st_mode & 0o060 != 0o060:
        return ""
    try:
        group, user = grp.getgrgid(device.st_gid).gr_name, pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
    return f"sudo usermod --append --groups {group} {user}  # then log in again"


def probe_accelerator(kernel: Path, program: str = PROGRAM) -> Accelerator:
    """Boot a kernel with KVM and with software emulation, side by side.

    A useless KVM hangs. How long is too long depends on how busy the host is,
    and the emulated boot tells that: KVM may take three times as long.
    """
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for name in ("kvm", "tcg"):
            _boot(name, kernel, program, stack, selector)
        return _watch(selector)


def _watch(selector: selectors.BaseSelector) -> Accelerator:
    start = time.monotonic()
    deadline = start + PROBE_SECONDS
    said = {"kvm": b"", "tcg": b""}
    while selector.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            chunk = os.read(key.fd, 65536)
            said[key.data] += chunk
            if GREETING in said["kvm"]:
                return Accelerator(name="kvm", reason="a kernel boots with KVM")
            if not chunk and key.data == "kvm":
                words = said["kvm"].decode(errors="replace").strip()
                return Accelerator(name="tcg", reason=f"KVM fails: {words}")
            if not chunk:
                selector.unregister(key.fileobj)
            elif key.data == "tcg" and GREETING in said["tcg"]:
                selector.unregister(key.fileobj)
                deadline = min(deadline, start + 3 * (time.monotonic() - start) + GRACE_SECONDS)
    return Accelerator(name="tcg", reason="KVM is there, but a kernel hangs with it")


def _boot(
    name: str, kernel: Path, program: str, stack: ExitStack, selector: selectors.BaseSelector
) -> None:
    """Start a kernel without a disk; it is ended when the stack unwinds."""
    process = stack.enter_context(
        subprocess.Popen(  # noqa: S603 - fixed arguments
            (
                *(program, "-accel", name, "-m", "96", "-no-user-config", "-nodefaults"),
                *("-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", str(kernel)),
                *("-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    )
    stack.callback(process.kill)
    if process.stdout is not None:
        selector.register(process.stdout, selectors.EVENT_READ, name)


def _cached(file: Path, kernel: Path, program: Path) -> Accelerator:
    key = _host_key(program)
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept: Mapping[str, str] = json.loads(file.read_text())
        if kept["key"] == key and kept["name"] in {"kvm", "tcg"}:
            return Accelerator(name=kept["name"], reason=kept["reason"])
    chosen = probe_accelerator(kernel, str(program))
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"key": key, **asdict(chosen)}))
    fresh.replace(file)
    return chosen


def _host_key(program: Path) -> str:
    """What the verdict depends on. Its file stands for QEMU's version: asking takes 30 ms."""
    binary = program.stat()
    parts = (platform.release(), BOOT_ID.read_text().strip(), binary.st_size, binary.st_mtime_ns)
    return " ".join(str(part) for part in parts)


def _find_kernel() -> Path | None:
    kernels = (path for path in BOOT_FOLDER.glob("vmlinuz*") if os.access(path, os.R_OK))
    return max(kernels, key=lambda path: path.stat().st_mtime, default=None)
