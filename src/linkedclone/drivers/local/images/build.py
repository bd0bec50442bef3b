"""Build an image of a distribution's packages: ``mmdebstrap``, ``mke2fs``, ``qemu-img``.

No loop device and no boot loader are needed: the file system is filled from a
folder, and the kernel is booted directly. Everything is made in the state
folder's ``staging``, so that what a killed command leaves is removed by the
next one; the programs end with the command that runs them, and keep it until then.
"""

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.images.images import import_image
from linkedclone.drivers.local.lifecycle.naming import refuse_taken, refuse_version_name
from linkedclone.drivers.local.state.folder import StateFolder, key_of
from linkedclone.drivers.local.state.staging import at_work
from linkedclone.drivers.qemu.images.debian import (
    KERNEL_ARGUMENTS,
    USER,
    DebianRecipe,
    build_bootstrap,
    build_filesystem,
    build_hook_settings,
    check_recipe,
)
from linkedclone.drivers.qemu.qemu_img import free_bytes
from linkedclone.errors import (
    HypervisorError,
    NoSpaceError,
    PermissionDeniedError,
    UnsupportedError,
)
from linkedclone.model.images import ImageBuild, ImageImport, TellBytes
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import check_name
from linkedclone.system.private_files import PRIVATE_FOLDER, open_new

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
}
"""The programs that are run, each with the Debian package that holds it."""

NEEDED_BYTES = 1536 << 20
"""The unpacked packages (420 MB), the file system and its copy as qcow2, with some room."""
_TOLD_LINES = 12
_STAGE = re.compile(r"I: (?!running --)[^']*\n")
"""What mmdebstrap is at; what it says of its hooks is their whole text."""
_APT = Path("/etc/apt")


def build_image(state: StateFolder, wanted: ImageBuild, tell: TellBytes) -> VmId:
    """Make a Debian image and a parent of it; return the VM's id.

    The packages come from where this machine's own come from, if that is a
    Debian of the same release; else from where mmdebstrap takes them.
    """
    check_name(wanted.name)
    refuse_version_name(wanted.name)
    refuse_taken(state, wanted.name)
    recipe = DebianRecipe(
        release=wanted.release, packages=wanted.packages, capacity_bytes=wanted.capacity_bytes
    )
    check_recipe(recipe)
    _check_host(state)
    with at_work(state, "build", key_of(wanted.name)) as (entry, lock):
        disk = _build_disk(recipe, entry, lock, tell)
        return import_image(state, _describe(wanted, entry, disk), tell)


def _describe(wanted: ImageBuild, entry: Path, disk: Path) -> ImageImport:
    return ImageImport(
        file=disk,
        name=wanted.name,
        format="qcow2",
        cpus=wanted.cpus,
        memory_bytes=wanted.memory_bytes,
        kernel=entry / "boot/kernel",
        initrd=entry / "boot/initrd",
        append=KERNEL_ARGUMENTS,
        user=USER,
        move=True,
        source=f"debian {wanted.release}",
    )


def _check_host(state: StateFolder) -> None:
    missing = [package for program, package in PACKAGES.items() if _find(program) is None]
    if missing:
        raise UnsupportedError(
            "the tools that build an image are not installed",
            details=", ".join(missing),
            hint="apt-get install " + " ".join(missing),
            kind="ENOENT",
        )
    if os.geteuid() != 0:
        raise PermissionDeniedError(
            "only root can build an image",
            details="its files belong to root and to other users",
            hint="sudo ``image build`` …, with ``endpoint`` local:FOLDER for your own folder",
            kind="EPERM",
        )
    if free_bytes(state.root) < NEEDED_BYTES:
        raise NoSpaceError(
            "there is no room to build an image",
            details=f"{render_size(free_bytes(state.root))} are free at {state.root}",
            hint=f"it takes {render_size(NEEDED_BYTES)} for a while",
            kind="ENOSPC",
        )


def _build_disk(recipe: DebianRecipe, entry: Path, lock: int, tell: TellBytes) -> Path:
    root, raw, disk = entry / "root", entry / "disk.raw", entry / "disk.qcow2"
    boot = entry / "boot"
    boot.mkdir(mode=PRIVATE_FOLDER)
    work = _Work(folder=entry, lock=lock, tell=tell, settings=build_hook_settings(str(boot)))
    work.run(build_bootstrap(recipe, target=str(root), sources=find_sources(recipe.release)))
    tell("filling the file system")
    with open_new(raw) as file:
        file.truncate(recipe.capacity_bytes)
    work.run(build_filesystem(str(root), str(raw)))
    shutil.rmtree(root)
    tell("writing the image")
    work.run(("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(disk)))
    raw.unlink()
    return disk


def find_sources(release: str, apt: Path = _APT) -> tuple[str, ...]:
    """Return the files that say where this machine's packages come from, if they fit a release.

    Other than Debian's own do not: a release's code name says whose it is.
    """
    files = (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*")))
    listed = [file for file in files if file.suffix in {".list", ".sources"} and file.is_file()]
    fitting = (file for file in listed if release in file.read_text(errors="replace").split())
    return tuple(str(file) for file in fitting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Where programs run, and the listener for their output."""

    folder: Path
    lock: int
    tell: TellBytes
    settings: Mapping[str, str]

    def run(self, command: Sequence[str]) -> None:
        """Run a program to its end; it ends with this process, however that ends."""
        program = _find(command[0]) or command[0]
        last: deque[str] = deque(maxlen=_TOLD_LINES)
        with (
            subprocess.Popen(  # noqa: S603 - no shell, and names were checked
                ("setpriv", "--pdeathsig", "TERM", program, *command[1:]),  # noqa: S607 - by PATH
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=self.folder,
                pass_fds=(self.lock,),
                env={**os.environ, **self.settings, "PATH": _search_path(), "LC_ALL": "C.UTF-8"},
            ) as process
        ):
            try:
                for line in process.stdout or ():
                    last.append(line.rstrip())
                    if _STAGE.match(line):
                        self.tell(line.removeprefix("I: ").strip())
            except BaseException:
                process.terminate()  # it clears up what it has made
                raise
        if process.returncode:
            raise HypervisorError(
                f"{command[0]} failed",
                details="\n".join(last),
                hint="apt-get update, look at the names of release and packages, and try again",
                kind=command[0],
            )


def _search_path() -> str:
    """Return where programs are looked for: those of root, too."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _find(program: str) -> str | None:
    return shutil.which(program, path=_search_path())
