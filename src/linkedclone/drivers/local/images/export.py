"""Write a disk to one file that needs nothing else: for other machines and other hypervisors."""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from linkedclone.drivers.local.cloning import find_snapshot
from linkedclone.drivers.local.inventory.vm import allocated_bytes
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.record import DiskRecord
from linkedclone.drivers.local.state.store import LockedVm, locked
from linkedclone.drivers.local.storage.image_lock import kept_from_writers
from linkedclone.drivers.qemu.qemu_img import explain_failure, refuse_full, run_qemu_img
from linkedclone.errors import (
    InputError,
    InUseError,
    NotFoundError,
    RefusedError,
)
from linkedclone.formats.chain import name_disk, read_chain
from linkedclone.model.images import DiskExport, TellBytes
from linkedclone.model.vm import Power
from linkedclone.system.atomic_files import rename_new, sync_folder

_PERCENT = re.compile(rb"\(([0-9.]+)/100%\)")


def export_disk(
    state: StateFolder, machines: OpenMachine, wanted: DiskExport, tell: TellBytes
) -> None:
    """Write a disk of a VM that is off, or of a snapshot, to one file.

    It is made under a hidden name beside its place and takes its own when it
    is whole. The VM can be cloned from meanwhile, but neither started nor changed.
    """
    target = Path(os.path.abspath(wanted.file))  # noqa: PTH100 - links in the path stay
    _check_target(state, target)
    with locked(state, wanted.vm, shared=True) as vm:
        source = _find_layer(machines, vm, wanted)
        chain = read_chain(source)
        if chain[0].missing:
            raise RefusedError(f"{chain[0].path} is missing", hint="``doctor`` says what to do")
        needed = _measure(source, wanted.format, vm)
        hint = "free some space, or name another folder"
        refuse_full(target.parent, needed, f"there is no room at {target.parent}", hint=hint)
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            with kept_from_writers(file.path for file in chain):
                _convert(source, scratch, wanted.format, needed, vm, tell)
            _publish(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)


def _check_target(state: StateFolder, target: Path) -> None:
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(state.root)):
        raise InputError(
            f"{target} is in the state folder, where linkedclone takes files for its own",
            hint="name another folder",
        )
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} is there already", hint="name another file, or remove it")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}", hint="make it first")


def _find_layer(machines: OpenMachine, vm: LockedVm, wanted: DiskExport) -> Path:
    if wanted.snapshot is not None:
        frozen = find_snapshot(vm, wanted.snapshot)
        return vm.folder / _pick(frozen.disks, wanted.disk, vm.record.name)
    if observe_power(machines, vm) is not Power.OFF:
        raise InUseError(
            f"{vm.record.name} runs: its disk changes while it is read",
            dependants=(vm.record.name,),
            hint="stop it, or name one of its snapshots: ``snapshot`` NAME",
        )
    return vm.folder / _pick(vm.record.disks, wanted.disk, vm.record.name)


def _pick(disks: Sequence[DiskRecord], label: str, name: str) -> str:
    found = {disk.label: disk.file for disk in disks}
    if not label:
        return disks[0].file
    if label not in found:
        raise NotFoundError(f"{name} has no disk {label!r}", hint="there are: " + ", ".join(found))
    return found[label]


def _measure(source: Path, image_format: str, vm: LockedVm) -> int:
    if image_format == "vmdk":  # qemu-img measures raw and qcow2 alone
        return sum(allocated_bytes(file.path) or 0 for file in read_chain(source))
    arguments = ("measure", "--output=json", "-U", "-O", image_format)
    told = run_qemu_img((*arguments, name_disk(source)), folder=source.parent, lock=vm.lock)
    return int(json.loads(told)["required"])


def _convert(
    source: Path, scratch: Path, image_format: str, total: int, vm: LockedVm, tell: TellBytes
) -> None:
    options = ("-o", "subformat=streamOptimized") if image_format == "vmdk" else ()
    with subprocess.Popen(  # noqa: S603 - no shell, and the paths are absolute
        [
            *("qemu-img", "convert", "-p", "-U", "-O", image_format, *options),
            *(name_disk(source), str(scratch)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=source.parent,
        pass_fds=(vm.lock,),
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        try:
            while told := os.read(process.stdout.fileno(), 4096) if process.stdout else b"":
                found = _PERCENT.findall(told)
                if found:
                    tell("exporting", int(total * float(found[-1]) / 100), total)
            words = process.stderr.read().decode(errors="replace") if process.stderr else ""
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise explain_failure("convert", process.returncode, words, scratch.parent)


def _publish(scratch: Path, target: Path) -> None:
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    try:
        rename_new(scratch, target)
    except FileExistsError as error:
        raise InputError(f"{target} is there already", hint="name another file") from error
    sync_folder(target.parent)
