"""Merge the layers of a VM that no snapshot names any more.

A layer may be merged if no other VM reads it and exactly one layer of the same
VM hangs from it. The upper one's data are committed down, with the base always
named, so the read-only chain below is never touched; then the lower file takes
the upper one's name. That rename is what commits the merge, and neither
``vm.json`` nor any layer above has to change. A kill before it loses nothing:
the upper layer still covers all that was copied down.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.chain import ImageFormat
from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.locks import hold
from linkedclone.drivers.local.seals import seal, unseal
from linkedclone.drivers.local.store import LockedVm, StoredVm
from linkedclone.drivers.local.survey import Survey, take_survey
from linkedclone.drivers.local.tool import run_qemu_img


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two layers of one VM that become one.

    Attributes:
        lower: What takes the data.
        upper: What goes, and leaves its name.
    """

    lower: Path
    upper: Path


def consolidate(state: StateFolder, vm: LockedVm) -> None:
    """Merge all that can be merged; the VM is off and its lock is held.

    Raises:
        NoSpaceError: The disk is full; the VM is as it was then.
        HypervisorError: qemu-img failed.
    """
    while (merge := _look_for_merge(state, vm)) is not None:
        unseal(merge.lower)
        if merge.upper != vm.top:
            unseal(merge.upper)
        run_qemu_img(build_commit(merge), folder=vm.folder, lock=vm.lock)
        merge.lower.rename(merge.upper)
        if merge.upper != vm.top:
            seal(state, merge.upper)


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


def build_commit(merge: Merge) -> tuple[str, ...]:
    """Build qemu-img's arguments. Pure. Without ``-b`` it might write into a shared base."""
    qcow2 = ImageFormat.QCOW2.value
    return ("commit", "-q", "-d", "-f", qcow2, "-b", str(merge.lower), str(merge.upper))
