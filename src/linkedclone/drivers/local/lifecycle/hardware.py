"""Change the hardware of a VM, its notes and its mark; of a disk only the layer written to."""

from dataclasses import replace

from linkedclone.drivers.local.inventory.layer_users import check_disk
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power, observe_runs
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.staging import at_work_on
from linkedclone.drivers.local.state.store import StoredVm, locked, save_record
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.qemu.qemu_img import run_qemu_img
from linkedclone.drivers.rules.marks import merge_mark
from linkedclone.errors import InputError, NotFoundError, RefusedError
from linkedclone.formats.chain import name_disk, read_chain
from linkedclone.formats.qcow2 import MAX_VIRTUAL_BYTES, round_to_sectors
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Power


def grow_disk(
    state: StateFolder, machines: OpenMachine, vm: VmId, label: str, capacity_bytes: int
) -> None:
    """Make a VM's disk larger for its guest; as large already counts as done.

    The size is rounded up to whole sectors of 512 bytes, as disks have them.
    Data beyond the end of the layer below read as zeros.
    """
    wanted = round_to_sectors(capacity_bytes)
    with at_work_on(state, "grow", vm), locked(state, vm) as found:
        stored = settle(state, machines, found)
        number = _find_disk(stored, label)
        top = stored.disk_tops[number]
        if not _is_growth(read_chain(top)[-1].virtual_bytes, wanted):
            return
        check_disk(state, stored)
        if observe_runs(machines, stored):
            machines(stored).grow_disk(wanted, number)
            return
        refuse_writers([top])
        arguments = ("resize", "-q", name_disk(top), str(wanted))
        run_qemu_img(arguments, folder=stored.folder, lock=stored.lock)


def _find_disk(vm: StoredVm, label: str) -> int:
    labels = [disk.label for disk in vm.record.disks]
    if label not in labels:
        raise NotFoundError(
            f"{vm.record.name} has no disk {label!r}", hint=f"it has: {', '.join(labels)}"
        )
    return labels.index(label)


def _is_growth(now: int, wanted: int) -> bool:
    if wanted < now:
        raise InputError(
            f"the disk has {render_size(now)}, and a disk cannot be made smaller",
            hint=f"name a size above {render_size(now)}",
        )
    if wanted > MAX_VIRTUAL_BYTES:
        raise InputError(
            f"a disk cannot have {render_size(wanted)}",
            hint=f"the largest has {render_size(MAX_VIRTUAL_BYTES)}",
        )
    return wanted > now


def reconfigure_vm(state: StateFolder, machines: OpenMachine, step: ReconfigureVm) -> None:
    """Change what a step names; it counts from the next start on."""
    with locked(state, step.vm) as vm:
        machine, record = vm.record.machine, vm.record
        wanted = replace(
            machine,
            cpus=machine.cpus if step.cpus is None else step.cpus,
            memory_bytes=machine.memory_bytes if step.memory_bytes is None else step.memory_bytes,
        )
        if wanted != machine and observe_power(machines, vm) is not Power.OFF:
            raise RefusedError(
                f"{record.name} runs, and its hardware changes only while it is off",
                hint=f"``stop`` {record.name}",
            )
        changed = replace(
            record,
            machine=wanted,
            annotation=record.annotation if step.annotation is None else step.annotation,
            mark=record.mark
            if step.mark is None
            else merge_mark(record.name, step.mark, seen=step.seen, now=record.mark),
        )
        save_record(state, vm, changed)
