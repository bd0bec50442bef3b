"""What the host has for ``local:``: programs, accelerator, permissions, disk space."""

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from linkedclone.drivers.local.machine.accelerator import choose_accelerator
from linkedclone.drivers.local.state.settings import ACCEL_VARIABLE, find_accel
from linkedclone.drivers.local.state.ssh import KEY
from linkedclone.drivers.local.state.trust import find_untrusted, user_name
from linkedclone.errors import InputError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.sizes import render_size

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""The programs that are run, each with the Debian package that holds it."""

LITTLE_SPACE_BYTES = 1 << 30
LITTLE_SPACE_PART = 0.05


def check_programs() -> Iterator[Finding]:
    missing = [program for program in PACKAGES if shutil.which(program) is None]
    if not missing:
        text = ", ".join(PACKAGES) + " are there"
        yield Finding(check="programs", verdict=Verdict.OK, text=text)
        return
    packages = dict.fromkeys(PACKAGES[program] for program in missing)
    yield Finding(
        check="programs",
        verdict=Verdict.FAILED,
        text="not installed: " + ", ".join(missing),
        remedy=as_root("apt install " + " ".join(packages)),
    )


def check_accelerator(accel: str, kernels: Sequence[Path]) -> Iterator[Finding]:
    """Say what machines are run with, and why; KVM is tried if that was not done before.

    Software emulation is slow, but nothing has to be mended where there is no
    KVM: it is a warning only if a command would bring KVM.

    Args:
        accel: What the endpoint asks for; empty asks the environment.
        kernels: Kernels to try KVM with; without any the host's are taken.
    """
    check, reset = "accelerator", f"unset {ACCEL_VARIABLE}"
    try:
        wanted = find_accel(accel)
    except InputError as error:
        yield Finding(check=check, verdict=Verdict.FAILED, text=str(error), remedy=reset)
        return
    asked = "``accel``" if accel else ACCEL_VARIABLE
    if wanted == "tcg":
        text = f"tcg, because {asked} asks for it"
        yield Finding(check=check, verdict=Verdict.OK, text=text)
        return
    readable = (kernel for kernel in kernels if os.access(kernel, os.R_OK))
    found = choose_accelerator(next(readable, None))
    verdict, remedy = Verdict.WARNING if found.remedy else Verdict.OK, found.remedy
    text = f"{found.name}, because {found.reason}"
    if wanted == "kvm" and found.name != "kvm":
        text = f"{asked} asks for kvm, which does not work: {found.reason}"
        verdict, remedy = Verdict.WARNING, found.remedy or reset
    yield Finding(check=check, verdict=verdict, text=text, remedy=remedy)


def check_permissions(root: Path) -> Iterator[Finding]:
    """Look at every folder from ``/`` to the state and at those in it: one that is closed fails."""
    fault = _find_closed(root) or _find_foreign(root) or find_untrusted(root)
    key = None if fault else _find_open_key(root)
    for check, found in (("permissions", fault), ("ssh key", key)):
        if found is not None:
            text, remedy = found
            yield Finding(check=check, verdict=Verdict.FAILED, text=text, remedy=remedy)
            return
    there = "can be read and written" if root.exists() else "is made when it is first needed"
    yield Finding(check="permissions", verdict=Verdict.OK, text=f"{root} {there}")


def _find_closed(root: Path) -> tuple[str, str] | None:
    """Find the first folder on the way that keeps this user out, with the command that opens it."""
    real = Path(os.path.realpath(root))  # the folders behind links are on the way as well
    above = Path("/")
    for folder in (*reversed(real.parents), real):
        if not os.path.lexists(folder):
            if os.access(above, os.W_OK):
                return None
            make = as_root(f"install -d -o {_user()} {_quote(real)}")
            return f"{above} lets {_user()} make no folder in it", make
        if not folder.is_dir():
            return f"{folder} is not a folder", f"mv {_quote(folder)} {_quote(folder)}.old"
        if folder != real and not os.access(folder, os.X_OK):
            command = as_owner(f"chmod a+x {_quote(folder)}", folder)
            return f"{folder} is closed to {_user()}", command
        above = folder
    return None


def _find_foreign(root: Path) -> tuple[str, str] | None:
    for folder in _list_folders(root):
        if os.access(folder, os.R_OK | os.W_OK | os.X_OK) or not folder.exists():
            continue
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            remount = as_root(f"mount -o remount,rw {_quote(_find_mount(folder))}")
            return f"{folder} is in a file system that is mounted read-only", remount
        text = f"{folder} cannot be read and written by {_user()}"
        if folder.stat().st_uid == os.geteuid():
            return text, f"chmod u+rwx {_quote(folder)}"
        # Sealed layers that root made are immutable, and cannot be given away so.
        free = as_root(f"chattr -R -f -i {_quote(root)}")
        return text, f"{free}; {as_root(f'chown -R {_user()} {_quote(root)}')}"
    return None


def _list_folders(root: Path) -> Iterator[Path]:
    """Go through the state folder and the two levels below; each is reported before entry."""
    if not root.is_dir():
        return
    yield root
    for name in ("names", "uuids", "vms", "staging"):
        if (root / name).is_dir():
            yield root / name
            if name in {"vms", "staging"}:
                yield from sorted(path for path in (root / name).iterdir() if path.is_dir())


def _find_open_key(root: Path) -> tuple[str, str] | None:
    """Look at the SSH key: ssh uses none that others can read."""
    key = root / KEY
    if not key.exists() or not key.stat().st_mode & 0o077:
        return None
    return f"{key} can be read by others, so ssh refuses it", f"chmod 600 {_quote(key)}"


def check_space(root: Path) -> Iterator[Finding]:
    """Look at the space that is left: guests pause when their disks cannot grow."""
    folder = _find_existing(root)
    usage = shutil.disk_usage(folder)
    little = usage.free < LITTLE_SPACE_BYTES or usage.free < LITTLE_SPACE_PART * usage.total
    mount = _find_mount(folder)
    largest = f"du -xh --max-depth=3 {_quote(mount)} | sort -h | tail  # shows what takes the space"
    yield Finding(
        check="disk space",
        verdict=Verdict.WARNING if little else Verdict.OK,
        text=f"{render_size(usage.free)} of {render_size(usage.total)} are free at {mount}",
        remedy=largest if little else "",
    )


def _find_mount(folder: Path) -> Path:
    real = Path(os.path.realpath(folder))
    return next(path for path in (real, *real.parents) if os.path.ismount(path))


def _find_existing(root: Path) -> Path:
    """Return the lowest folder on the way to the state that is there, links resolved."""
    real = Path(os.path.realpath(root))
    return next(path for path in (real, *real.parents) if os.path.exists(path))  # noqa: PTH110 - never raises


def as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"


def as_owner(command: str, path: Path) -> str:
    return command if path.stat().st_uid == os.geteuid() else as_root(command)


def _user() -> str:
    return user_name(os.geteuid())


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
