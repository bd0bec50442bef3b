"""Merge the layers of a VM that no snapshot names any more.

A layer may be merged if no other VM reads it and exactly one layer of the same
VM depends on it. The upper one's data are committed down, with the base always
named, so the read-only chain below is never touched. That nothing else reads the
lower layer is found out by a survey under the family lock, and holds afterwards:
it is one of the VM's own that no snapshot names, so only a command that has the
VM's lock could link anything to it.

**Not open in a machine**, the lower file takes the upper one's name after that.
The rename is what commits the merge, and neither ``vm.json`` nor any layer above
has to change. A kill before it loses nothing: the upper layer still covers all
that was copied down.

**Open in a machine**, QEMU merges while the guest goes on (``qmp/merge.py``)
and the lower file keeps its name, for QEMU opens files again by their names. The
record names both as ``merging`` meanwhile, see ``settle``. A merge in the middle of
a chain ends with QEMU's change of the header above; a snapshot that named the
upper layer names the lower one then. A merge of the layer that the guest writes to
ends with the replaced ``vm.json``, for which the guest is paused briefly.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import Chain, Survey, take_survey
from linkedclone.drivers.local.machine.open import OpenMachine, observe_runs
from linkedclone.drivers.local.qmp.merge import LayerMerge
from linkedclone.drivers.local.recovery.garbage import drop_layers
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.folder import StateFolder, backing_path
from linkedclone.drivers.local.state.record import VmRecord
from linkedclone.drivers.local.state.store import LockedVm, StoredVm, load_vm, save_record
from linkedclone.drivers.local.storage.hanging import rehang
from linkedclone.drivers.local.storage.seals import seal_if_possible, unseal
from linkedclone.drivers.qemu.qemu_img import run_qemu_img
from linkedclone.errors import GoneError, HypervisorError
from linkedclone.formats.chain import ImageFormat, name_chain, read_chain
from linkedclone.system.locks import hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    lower: Path  # what takes the data
    # What goes. Off, it leaves its name.
    upper: Path


def consolidate(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> LockedVm:
    """Merge all that can be merged, running or not; return the VM as it is then.

    The VM's lock is held, and it is settled.
    """
    runs = observe_runs(machines, vm)
    while (merge := _look_for_merge(state, vm)) is not None:
        number = _find_disk(vm, merge) if runs else None
        if number is None:
            _merge_files(state, vm, merge)
            continue
        try:
            vm = _merge_running(state, machines, vm, merge, number)
        except GoneError:  # the guest ended meanwhile
            vm = settle(state, machines, _reload(state, vm))
            runs = observe_runs(machines, vm)
            if runs:
                raise
    return vm


def _find_disk(vm: StoredVm, merge: Merge) -> int | None:
    """Return the disk in whose chain the layers are; None if they are in a side branch."""
    chains = enumerate(read_chain(top) for top in vm.disk_tops)
    return next((n for n, chain in chains if merge.upper in {f.path for f in chain}), None)


def _merge_files(state: StateFolder, vm: LockedVm, merge: Merge) -> None:
    commit = build_commit(read_chain(merge.upper), merge)
    unseal(merge.lower)
    if merge.upper not in vm.disk_tops:
        unseal(merge.upper)
    run_qemu_img(commit, folder=vm.folder, lock=vm.lock)
    merge.lower.rename(merge.upper)
    if merge.upper not in vm.disk_tops:
        seal_if_possible(state, merge.upper)


def _merge_running(
    state: StateFolder, machines: OpenMachine, vm: LockedVm, merge: Merge, number: int
) -> LockedVm:
    active = merge.upper == vm.disk_tops[number]
    marked = save_record(
        state, vm, replace(vm.record, merging=(merge.lower.name, merge.upper.name))
    )
    changing = (merge.lower, *_list_over(vm, merge, number))
    for layer in changing:
        unseal(layer)

    def commit(ran: bool) -> None:  # noqa: FBT001 - called by the machine
        if active:
            moved = vm.record.with_files({number: merge.lower.name})
        else:
            rehang(state, vm, merge.upper, merge.lower)
            moved = vm.record.with_renamed_layer(merge.upper.name, merge.lower.name)
        save_record(state, vm, replace(moved, halted=ran))
        after.append(replace(moved, halted=False))

    after: list[VmRecord] = []
    backing = "" if active else backing_path(vm.id, merge.lower.name)
    layers = LayerMerge(number=number, lower=merge.lower, upper=merge.upper, backing=backing)
    try:
        machines(vm).merge_layers(layers, commit)
    except (HypervisorError, OSError):
        # If that fails too, the next command about this VM does it.
        with suppress(HypervisorError, OSError):
            settle(state, machines, _reload(state, marked))
        raise
    merged = save_record(state, vm, after[0]) if active else replace(vm, record=after[0])
    drop_layers(state, [merge.upper])
    for layer in changing:
        if layer not in merged.disk_tops:
            seal_if_possible(state, layer)
    return merged


def _reload(state: StateFolder, vm: LockedVm) -> LockedVm:
    return replace(vm, record=load_vm(state, vm.id).record)


def _list_over(vm: StoredVm, merge: Merge, number: int) -> tuple[Path, ...]:
    """Return the layer over the upper one, whose header QEMU changes, if it is a sealed one."""
    chain = read_chain(vm.disk_tops[number])
    pairs = pairwise(file.path for file in chain[:-1])
    return tuple(over for upper, over in pairs if upper == merge.upper)


def _look_for_merge(state: StateFolder, vm: LockedVm) -> Merge | None:
    with hold(state.family_lock):
        survey = take_survey(state)
    return None if survey.doubts else plan_merge(vm, survey)


def plan_merge(vm: StoredVm, survey: Survey) -> Merge | None:
    """Find the next two layers that may become one. Pure.

    Nothing is merged into a raw disk or a VMDK: those are imported files, the
    one could not have the upper one's name and the other takes no writes.
    """
    named = set(vm.tops)
    children = _count_children(survey)
    for end in vm.tops:
        for lower, upper in pairwise(survey.chains[end]):
            alone = children[lower.path] == 1 and not survey.used_by_others(lower.path, vm.id)
            fits = lower.path.parent == vm.folder and lower.format is ImageFormat.QCOW2
            if alone and fits and lower.path not in named:
                return Merge(lower=lower.path, upper=upper.path)
    return None


def _count_children(survey: Survey) -> Counter[Path]:
    pairs = {
        (lower.path, upper.path)
        for chain in survey.chains.values()
        for lower, upper in pairwise(chain)
    }
    return Counter(lower for lower, _ in pairs)


def build_commit(chain: Chain, merge: Merge) -> tuple[str, ...]:
    """Build qemu-img's arguments. Pure. All goes into the layer below, which is named there."""
    if [layer.path for layer in chain[-2:]] != [merge.lower, merge.upper]:
        raise HypervisorError(
            "the layers that are to be merged have changed",
            details=f"{merge.upper} does not depend on {merge.lower}",
            hint="repeat the command",
        )
    return ("commit", "-q", "-d", name_chain(chain))
