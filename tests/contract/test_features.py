"""What an endpoint says that it can do is what it can do, and nothing else is begun."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.features import ALL_STEPS
from linkedclone.drivers.rules.refusals import FIELDS
from linkedclone.errors import LinkedCloneError, UnsupportedError
from linkedclone.model.customization import CloudInit, Customization, GuestOs
from linkedclone.model.plan import (
    AttachClone,
    CreateClone,
    CreateFolder,
    DeleteMemory,
    DeleteSnapshot,
    DeleteVm,
    DisconnectMedia,
    GrowDisk,
    JobStep,
    PromoteVm,
    ReconfigureVm,
    RelocateVm,
    RemoveStray,
    RenameVm,
    RevertSnapshot,
    SetPower,
    SetTemplate,
    TakeSnapshot,
    UnregisterVm,
    WriteMark,
)
from linkedclone.model.request import (
    CloneRequest,
    DiskMove,
    Hardware,
    NewDisk,
    Nic,
    Placement,
    Scan,
    SnapshotChoice,
)
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.contract.acts import clone, current, find, result_of, step_for, target_of
from tests.contract.rigs.base import Rig

PLAIN = CloneRequest(parent="golden", names=("desk-1",))
NEW = SnapshotChoice(kind="new")

REQUESTS = {
    "snapshot.quiesce": replace(PLAIN, snapshot=replace(NEW, quiesce=True)),
    "snapshot.memory": replace(PLAIN, snapshot=replace(NEW, memory=True)),
    "snapshot.prepare_template": replace(PLAIN, snapshot=replace(NEW, prepare_template=True)),
    "placement.datacenter": replace(PLAIN, placement=Placement(datacenter="DC0")),
    "placement.datastore_cluster": replace(PLAIN, placement=Placement(datastore_cluster="pod")),
    "placement.cluster": replace(PLAIN, placement=Placement(cluster="C0")),
    "placement.host": replace(PLAIN, placement=Placement(host="H0")),
    "placement.create_folder": replace(PLAIN, placement=Placement(folder="a", create_folder=True)),
    "placement.spread.datastore": replace(PLAIN, placement=Placement(spread="datastore")),
    "placement.spread.host": replace(PLAIN, placement=Placement(spread="host")),
    "instant": replace(PLAIN, instant=True),
    "disk_move.shared": replace(PLAIN, disk_move=DiskMove.SHARED),
    "disk_move": replace(PLAIN, disk_move=DiskMove.CONSOLIDATED),
    "hardware.cores_per_socket": replace(PLAIN, hardware=Hardware(cpus=4, cores_per_socket=2)),
    "hardware.cpu_hot_add": replace(PLAIN, hardware=Hardware(cpu_hot_add=True)),
    "hardware.memory_hot_add": replace(PLAIN, hardware=Hardware(memory_hot_add=False)),
    "hardware.extra_config": replace(PLAIN, hardware=Hardware(extra_config=(("a", "b"),))),
    "hardware.disks": replace(PLAIN, hardware=Hardware(disks=(NewDisk(capacity_bytes=1 << 30),))),
    "hardware.disk_bytes": replace(PLAIN, hardware=Hardware(disk_bytes=1 << 40)),
    "hardware.nics.remap": replace(
        PLAIN, hardware=Hardware(nics=(Nic(action="remap", network="n"),))
    ),
    "hardware.nics.add": replace(PLAIN, hardware=Hardware(nics=(Nic(action="add", network="n"),))),
    "hardware.nics.remove": replace(PLAIN, hardware=Hardware(nics=(Nic(action="remove"),))),
    "macs": replace(PLAIN, macs={"desk-1": ("02:00:00:00:00:07",)}),
    "hardware.firmware": replace(PLAIN, hardware=Hardware(firmware="uefi")),
    "hardware.display": replace(PLAIN, hardware=Hardware(display=True)),
    "hardware.disks.thick": replace(
        PLAIN, hardware=Hardware(disks=(NewDisk(capacity_bytes=1 << 30, thin=False),))
    ),
    "hardware.keep_tpm": replace(PLAIN, hardware=Hardware(keep_tpm=True)),
    "placement.folder": replace(PLAIN, placement=Placement(folder="a")),
    "customization_spec": replace(PLAIN, customization_spec="spec"),
    "customization.windows": replace(PLAIN, customization=Customization(os=GuestOs.WINDOWS)),
    "customization.linux": replace(PLAIN, customization=Customization(os=GuestOs.LINUX)),
    "customization.transport": replace(
        PLAIN,
        customization=Customization(
            os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(transport="customization")
        ),
    ),
}
"""A request that makes use of each optional field, and of no other as far as that can be."""

IN_WORDS = {
    "hardware.disks.thick",
    "snapshot.memory",
    "customization.windows",
    "customization.linux",
    "customization.transport",
}


def test_every_optional_field_has_a_request_here() -> None:
    assert set(REQUESTS) == set(FIELDS)


def test_a_field_is_honoured_or_refused_by_name(rig: Rig, driver: Driver) -> None:
    source = find(driver, rig.parent)
    assert driver.features.request_fields <= set(FIELDS)
    refused = {name for name in REQUESTS if refusal_of(driver, source, REQUESTS[name])}
    assert refused == set(FIELDS) - driver.features.request_fields
    for name in refused:
        error = refusal_of(driver, source, REQUESTS[name])
        assert error is not None
        # Those without an option of their own everywhere are told in words.
        assert name in error.brief or name in IN_WORDS
        assert error.hint


def refusal_of(driver: Driver, source: Vm, request: CloneRequest) -> UnsupportedError | None:
    """Return why a request means nothing here; that it names what does not exist is no reason."""
    try:
        driver.resolve_target(source, request)
    except UnsupportedError as error:
        return error
    except LinkedCloneError:
        return None
    return None


def build_relocation(rig: Rig, driver: Driver) -> RelocateVm:
    vm = clone(driver, rig, "desk-001")
    target = target_of(driver, vm)
    if RelocateVm in driver.features.steps:
        target = driver.resolve_relocation(vm, Placement(datastore=rig.add_store()))
    return RelocateVm(vm=vm.id, vm_name=vm.name, target=target)


def build_attachment(rig: Rig, driver: Driver) -> AttachClone:
    create = step_for(driver, find(driver, rig.parent), "desk-001")
    driver.start(create)
    return do.attach(create)


def build_removal(rig: Rig, driver: Driver) -> RemoveStray:
    clone(driver, rig, "desk-001")
    path = rig.leave_orphan("desk-001")
    (stray,) = [one for one in driver.observe(scan=Scan()).strays if str(one.layer) == path]
    return do.remove_stray(stray)


def of_clone(build: Callable[[Vm], JobStep]) -> Callable[[Rig, Driver], JobStep]:
    return lambda rig, driver: build(clone(driver, rig, "desk-001"))


def of_parent(build: Callable[[Vm], JobStep]) -> Callable[[Rig, Driver], JobStep]:
    return lambda rig, driver: build(find(driver, rig.parent))


def of_bare(build: Callable[[Vm], JobStep]) -> Callable[[Rig, Driver], JobStep]:
    return lambda rig, driver: build(find(driver, rig.bare))


STEPS: Mapping[type[JobStep], Callable[[Rig, Driver], JobStep]] = {
    TakeSnapshot: of_bare(lambda vm: do.create_snapshot(vm, "mine")),
    CreateClone: lambda rig, driver: step_for(driver, find(driver, rig.parent), "desk-001"),
    AttachClone: build_attachment,
    CreateFolder: lambda rig, driver: CreateFolder(
        above=target_of(driver, find(driver, rig.parent)).folder, path="made"
    ),
    SetTemplate: of_bare(lambda vm: SetTemplate(vm=vm.id, vm_name=vm.name, template=True)),
    DisconnectMedia: of_bare(lambda vm: DisconnectMedia(vm=vm.id, vm_name=vm.name)),
    WriteMark: of_clone(
        lambda vm: do.write_mark(vm, vm.mark, vm.mark) if vm.mark else do.delete_vm(vm)
    ),
    SetPower: of_clone(lambda vm: do.set_power(vm, Power.ON)),
    RenameVm: of_clone(lambda vm: do.rename_vm(vm, "desk-002")),
    ReconfigureVm: of_clone(lambda vm: ReconfigureVm(vm=vm.id, vm_name=vm.name, cpus=2)),
    RelocateVm: build_relocation,
    DeleteVm: of_clone(do.delete_vm),
    UnregisterVm: of_clone(do.unregister_vm),
    DeleteSnapshot: of_parent(lambda vm: do.delete_snapshot(vm, current(vm).id)),
    DeleteMemory: of_parent(lambda vm: do.delete_memory(vm, current(vm).id)),
    RevertSnapshot: of_parent(lambda vm: do.revert_snapshot(vm, current(vm).id)),
    PromoteVm: of_clone(do.promote_vm),
    GrowDisk: of_bare(
        lambda vm: do.grow_disk(
            vm, vm.disks[0].label, (vm.disks[0].capacity_bytes or 0) + (64 << 20)
        )
    ),
    RemoveStray: build_removal,
}


@pytest.mark.parametrize("kind", sorted(ALL_STEPS, key=str))
def test_a_step_is_a_feature_or_is_refused_before_anything_changes(
    rig: Rig, driver: Driver, kind: type[JobStep]
) -> None:
    step = STEPS[kind](rig, driver)
    assert isinstance(step, kind)
    if kind in driver.features.steps:
        result_of(driver, driver.start(step))
        return
    before, files = driver.observe(), rig.files()
    with pytest.raises(UnsupportedError):
        driver.start(step)
    assert (driver.observe(), rig.files()) == (before, files)
