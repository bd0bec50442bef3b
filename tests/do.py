"""Steps in few words, for tests that start one by itself."""

from linkedclone.model.inventory import Stray
from linkedclone.model.plan import (
    AttachClone,
    CreateClone,
    DeleteMemory,
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    PromoteVm,
    RemoveStray,
    RenameVm,
    RevertSnapshot,
    SetPower,
    TakeSnapshot,
    UnregisterVm,
    WriteMark,
)
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Mark, Power, Vm

Which = Vm | VmId
"""A VM, or the id of one whose name does not matter."""


def attach(create: CreateClone) -> AttachClone:
    return AttachClone(create=create)


def create_snapshot(
    vm: Which, name: str, description: str = "", *, quiesce: bool = False, memory: bool = False
) -> TakeSnapshot:
    return TakeSnapshot(
        vm=_id(vm),
        vm_name=_name(vm),
        name=name,
        description=description,
        quiesce=quiesce,
        memory=memory,
    )


def delete_snapshot(vm: Which, snapshot: SnapshotId) -> DeleteSnapshot:
    return DeleteSnapshot(vm=_id(vm), vm_name=_name(vm), snapshot=snapshot, name=snapshot)


def delete_memory(vm: Which, snapshot: SnapshotId) -> DeleteMemory:
    return DeleteMemory(vm=_id(vm), vm_name=_name(vm), snapshot=snapshot, name=snapshot)


def revert_snapshot(vm: Which, snapshot: SnapshotId) -> RevertSnapshot:
    return RevertSnapshot(vm=_id(vm), vm_name=_name(vm), snapshot=snapshot, name=snapshot)


def set_power(vm: Which, power: Power) -> SetPower:
    return SetPower(vm=_id(vm), vm_name=_name(vm), power=power)


def write_mark(vm: Which, mark: Mark, seen: Mark | None) -> WriteMark:
    return WriteMark(vm=_id(vm), vm_name=_name(vm), mark=mark, seen=seen)


def rename_vm(vm: Which, name: str) -> RenameVm:
    return RenameVm(vm=_id(vm), vm_name=_name(vm), new_name=name)


def promote_vm(vm: Which) -> PromoteVm:
    return PromoteVm(vm=_id(vm), vm_name=_name(vm))


def grow_disk(vm: Which, disk: str, capacity_bytes: int) -> GrowDisk:
    return GrowDisk(vm=_id(vm), vm_name=_name(vm), disk=disk, capacity_bytes=capacity_bytes)


def delete_vm(vm: Which, seen: Mark | None = None) -> DeleteVm:
    return DeleteVm(vm=_id(vm), vm_name=_name(vm), seen=seen)


def unregister_vm(vm: Which) -> UnregisterVm:
    return UnregisterVm(vm=_id(vm), vm_name=_name(vm))


def remove_stray(stray: Stray) -> RemoveStray:
    return RemoveStray(stray=stray)


def _id(vm: Which) -> VmId:
    return vm.id if isinstance(vm, Vm) else vm


def _name(vm: Which) -> str:
    return vm.name if isinstance(vm, Vm) else vm
