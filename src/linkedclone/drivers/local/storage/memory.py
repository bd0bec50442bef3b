"""The memory that snapshots keep: sealed, and checked before anything is loaded from it.

QEMU notices neither another CPU nor a changed byte in what it loads [fact: qemu-load-trusts]:
the guest hangs, or goes wrong in silence. So what was saved is compared with what is here.

Neither file gets the immutable flag: QEMU before 8.2 opens the memory for writing, even if it
keeps what it writes to itself [fact: qemu-ignore-shared].
"""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.machine.accelerator import (
    KVM_DEVICE,
    digest_host_cpu,
    read_qemu_version,
)
from linkedclone.drivers.local.machine.arguments import Loading
from linkedclone.drivers.local.machine.open import find_shape
from linkedclone.drivers.local.state.folder import StateFolder, read_note
from linkedclone.drivers.local.state.record import MemoryRecord, SnapshotRecord
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage.fingerprint import (
    explain_difference,
    has_sealed_content,
    render_fingerprint,
    take_fingerprint,
    take_whole_fingerprint,
)
from linkedclone.drivers.local.storage.seals import read_seal, seal_path
from linkedclone.errors import HypervisorError, RefusedError
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.atomic_files import replace_file
from linkedclone.system.private_files import PRIVATE_FILE

_LARGEST_STATE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this host has to load memory with, and how the VM is made today."""

    qemu: tuple[int, ...]  # QEMU's version; empty if there is none
    kvm: bool  # whether KVM may be used
    host_cpu: str  # what ``digest_host_cpu`` gives for KVM
    shape: str  # of the VM
    cpus: int  # of the VM
    memory_bytes: int  # of the VM


def seal_memory(state: StateFolder, file: Path) -> None:
    file.chmod(PRIVATE_FILE)
    found = take_whole_fingerprint(file)
    replace_file(seal_path(file), render_fingerprint(found), durable=state.durable)


def hash_state(file: Path) -> str:
    return hashlib.sha256(read_note(file, longest=_LARGEST_STATE_BYTES)).hexdigest()


def tell_stale(memory: MemoryRecord, host: Host) -> str:
    """Say why memory cannot be loaded by this host into such a VM; empty if it can. Pure."""
    if not host.qemu:
        return "QEMU is not installed"
    if host.qemu < tuple(map(int, memory.qemu.split("."))):
        return f"it was saved by QEMU {memory.qemu}, and this is {'.'.join(map(str, host.qemu))}"
    if memory.accel == "kvm" and not host.kvm:
        return "it was saved under KVM, which cannot be used here"
    if memory.accel == "kvm" and host.host_cpu != memory.host_cpu:
        return "it was saved on a CPU with other abilities than this host's"
    if (host.cpus, host.memory_bytes) != (memory.cpus, memory.memory_bytes):
        had = f"{render_count(memory.cpus, 'CPU')} and {render_size(memory.memory_bytes)}"
        return f"it is that of a machine with {had} of memory, which the VM does not have now"
    if host.shape != memory.shape:
        return "it is that of a machine with other devices than the VM has now"
    return ""


def find_stale(vm: StoredVm, snapshot: SnapshotRecord, *, content: bool = False) -> str:
    """Say why a snapshot's memory cannot be loaded any more; empty if it can.

    Args:
        content: Whether the files are looked into, too: samples of the memory, and all of
            the devices' state.
    """
    memory = snapshot.memory
    if memory is None:
        return "it holds no memory"
    machine = vm.record.machine
    host = Host(
        qemu=read_qemu_version(),
        kvm=os.access(KVM_DEVICE, os.R_OK | os.W_OK),
        host_cpu=digest_host_cpu(memory.accel),
        shape=find_shape(vm, len(snapshot.disks)),
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes,
    )
    wrong = (_find_change(vm.folder / file, content=content) for file in memory.files)
    found = tell_stale(memory, host) or next(filter(None, wrong), "")
    if not found and (vm.folder / memory.ram).stat().st_size != memory.memory_bytes:
        return f"{memory.ram} is not of the size of the memory"
    if not found and content and hash_state(vm.folder / memory.state) != memory.state_sha256:
        return f"{memory.state} is not what was saved"
    return found


def _find_change(file: Path, *, content: bool) -> str:
    """Say how a file of memory differs from what was sealed; empty if it does not.

    A file of which only the time differs is compared in full with ``content``, and by samples
    without it, so that listing snapshots does not read all of their memory.
    """
    try:
        sealed, seen = read_seal(file), file.lstat()
        if not stat.S_ISREG(seen.st_mode):
            return f"{file.name} is not a file"
        same = (seen.st_size, seen.st_mtime_ns) == (sealed.size, sealed.mtime_ns)
        if same and not content:
            return ""
        now = take_fingerprint(file)
        difference = explain_difference(sealed, now)
        like = (now.size, now.sampled_sha256) == (sealed.size, sealed.sampled_sha256)
        later = like and not content and sealed.full_sha256
        if not difference or later or has_sealed_content(file, sealed):
            return ""
    except FileNotFoundError:
        there = os.path.lexists(file)
        return f"the seal of {file.name} is missing" if there else f"{file.name} is missing"
    except (HypervisorError, OSError) as error:
        return f"{file.name} cannot be read: {error}"
    return f"{file.name} was changed: {difference}"


def _restore_time(file: Path) -> None:
    """Give a file that was compared its sealed time, so that it is not compared again."""
    sealed, seen = read_seal(file), file.stat()
    if seen.st_mtime_ns != sealed.mtime_ns:
        with suppress(OSError):  # where nothing can be written
            os.utime(file, ns=(seen.st_atime_ns, sealed.mtime_ns))


def find_whole_change(vm: StoredVm, snapshot: SnapshotRecord) -> str:
    """Say which file of a snapshot's memory is not what was sealed, all of it compared."""
    for file in snapshot.memory.files if snapshot.memory else ():
        path = vm.folder / file
        sealed = read_seal(path).full_sha256
        if sealed and take_whole_fingerprint(path).full_sha256 != sealed:
            return f"{file} is not what was saved"
    return ""


def prepare_loading(vm: StoredVm, snapshot: SnapshotRecord) -> Loading:
    """Return what a machine is loaded from; memory that cannot be loaded is refused.

    To be called, and loaded, under the VM's lock, shared or alone: nothing removes the files then.
    """
    memory = snapshot.memory
    who = f"{vm.record.name}@{snapshot.name}"
    if memory is None:
        raise RefusedError(
            f"the snapshot {snapshot.name} of {vm.record.name} holds no memory",
            hint=f"take one that does: ``snapshot create`` {vm.record.name} NAME ``memory``",
        )
    stale = find_stale(vm, snapshot, content=True)
    if stale:
        raise RefusedError(
            f"the memory of {who} cannot be used any more: {stale}",
            hint="take the snapshot anew; its disks can still be cloned",
        )
    for file in memory.files:
        _restore_time(vm.folder / file)
    return Loading(
        ram=vm.folder / memory.ram,
        state=vm.folder / memory.state,
        machine=memory.machine,
        cpu=memory.cpu,
        accel=memory.accel,
        user_networks=memory.user_networks,
        shape=memory.shape,
    )
