"""Builds the request of a clone. Pure: a step in, a CloneSpec out; no connection.

The parts that the clones of a batch have in common are the same objects: pyVmomi
checks every field of an object that it makes, which for a whole request takes
longer than to send it. So callers must not change the returned object.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.network_cards import (
    CardChanges,
    build_card_changes,
    choose_new_cards,
)
from linkedclone.drivers.vsphere.inventory.device_shape import Shape
from linkedclone.drivers.vsphere.inventory.marks import write_mark
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native, build_data
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import InputError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import DiskMove, Hardware

if TYPE_CHECKING:
    from linkedclone.drivers.vsphere.guest.specification import Customizing


def build_clone_spec(
    step: CreateClone,
    shape: Shape,
    stored: Native,
    *,
    knows_tpm: bool = True,
    version: tuple[int, ...] = (),
) -> Native:
    """Return the CloneSpec of a step; one that lacks the snapshot to link to is for showing only.

    ``stored`` is the stored Specification, or None. ``knows_tpm`` tells whether the
    server knows what may become of a virtual TPM [fact: vs-tpm]; an unknown ``version``
    is empty.
    """
    cards = _build_card_changes(step, shape)
    customizing = _build_customizing(step, shape, stored, version)
    snapshot = step.snapshot and vim.vm.Snapshot(step.snapshot.id, None)
    return vim.vm.CloneSpec(
        location=_build_location(step, shape, cards.location),
        template=False,
        powerOn=step.power_on,
        snapshot=snapshot or None,
        customization=customizing.specification if customizing else None,
        config=_build_config(step, (*cards.config, *_build_disk_changes(step, shape)), customizing),
        tpmProvisionPolicy=_build_tpm_policy(step, shape, knows_tpm=knows_tpm),
    )


def check_clone_spec(
    step: CreateClone, shape: Shape, stored: Native, *, version: tuple[int, ...] = ()
) -> None:
    """Refuse a step whose CloneSpec the hardware that is cloned does not allow.

    Args:
        step: The step.
        shape: As for :func:`build_clone_spec`.
        stored: As there.
        version: As there.
    """
    check_hardware(step, shape)
    # Whether the server accepts a customization depends on all of it.
    _build_customizing(step, shape, stored, version)


def check_hardware(step: CreateClone, shape: Shape) -> None:
    """Refuse hardware that cannot be made of what is cloned."""
    _check_processors(step.hardware, shape)
    memory_mib(step.hardware)
    if shape.devices or shape.manual_cards:
        choose_new_cards(step, shape)
    if step.hardware.disks:
        from linkedclone.drivers.vsphere.cloning.disks import find_slots

        find_slots(step, shape)
    if step.hardware.keep_tpm and not shape.tpm:
        raise InputError(f"{step.source.name} has no virtual TPM to keep")


def _build_card_changes(step: CreateClone, shape: Shape) -> CardChanges:
    return build_card_changes(step, shape) if shape.devices or shape.manual_cards else CardChanges()


def _build_customizing(
    step: CreateClone, shape: Shape, stored: Native, version: tuple[int, ...]
) -> Customizing | None:
    """Return what is said of the guest; the code for it is loaded only if there is something."""
    if step.guest is None and stored is None:
        return None
    from linkedclone.drivers.vsphere.guest.specification import build_customizing

    return build_customizing(step, shape, stored, version)


def _build_disk_changes(step: CreateClone, shape: Shape) -> Sequence[Native]:
    if not step.hardware.disks and step.hardware.disk_bytes is None:
        return ()
    from linkedclone.drivers.vsphere.cloning.disks import build_disk_changes

    return build_disk_changes(step, shape)


def _build_tpm_policy(step: CreateClone, shape: Shape, *, knows_tpm: bool) -> str | None:
    """Return what becomes of a virtual TPM: a copy would have the parent's secrets."""
    if not shape.tpm or not knows_tpm:
        return None
    return "copy" if step.hardware.keep_tpm else "replace"


def _check_processors(hardware: Hardware, shape: Shape) -> None:
    """Refuse CPUs that do not fill whole sockets; the snapshot says what the request does not."""
    if hardware.cpus is None and hardware.cores_per_socket is None:
        return
    cpus = hardware.cpus or shape.cpus
    cores = hardware.cores_per_socket or shape.cores_per_socket
    if cpus and cores and cpus % cores:
        raise InputError(
            f"{cpus} CPUs cannot be spread over sockets of {cores} cores",
            hint="give ``hardware.cpus`` and ``hardware.cores_per_socket`` that go together; "
            "what is not given is the snapshot's",
        )


def _build_location(step: CreateClone, shape: Shape, changes: Sequence[Native]) -> Native:
    target = step.target
    place = (target.datastore, target.pool, target.host)
    if not changes:
        return _build_plain_location(place, step.disk_move, shape.disks)
    location = _build_plain_location.__wrapped__(place, step.disk_move, shape.disks)
    location.deviceChange = list(changes)
    return location


@lru_cache(maxsize=4)
def _build_plain_location(
    place: tuple[str, str, str], move: DiskMove, disks: tuple[tuple[int, bool], ...]
) -> Native:
    """Return a RelocateSpec without changes of devices: the same for all clones of one place."""
    store, pool, host = place
    datastore = vim.Datastore(store, None)
    return vim.vm.RelocateSpec(
        datastore=datastore,
        pool=pool_of(pool) if pool else None,
        host=vim.HostSystem(host, None) if host else None,
        diskMoveType=move.value,
        disk=_build_locators(move, disks, datastore),
    )


def _build_locators(
    move: DiskMove, disks: tuple[tuple[int, bool], ...], datastore: Native
) -> list[Native]:
    """Return a locator for each disk if one is independent and the others link, else none.

    Independent disks have to be copied [fact: vs-independent-disks]. As soon as
    there are locators, each has to name its move type [fact: vs-move-unset].
    """
    if not move.linked or not any(independent for _, independent in disks):
        return []
    return [
        vim.vm.RelocateSpec.DiskLocator(
            diskId=key,
            datastore=datastore,
            diskMoveType=(DiskMove.COPIED if independent else move).value,
        )
        for key, independent in disks
    ]


def _build_config(
    step: CreateClone, changes: Sequence[Native], customizing: Customizing | None
) -> Native:
    hardware = step.hardware
    settings = customizing.settings if customizing else {}
    return vim.vm.ConfigSpec(
        instanceUuid=step.uuid,
        numCPUs=hardware.cpus,
        numCoresPerSocket=hardware.cores_per_socket,
        memoryMB=memory_mib(hardware),
        cpuHotAddEnabled=hardware.cpu_hot_add,
        memoryHotAddEnabled=hardware.memory_hot_add,
        annotation=step.annotation,
        extraConfig=[
            *_build_options(write_mark(step.mark) | dict(hardware.extra_config)),
            # Not remembered: they may hold passwords.
            *(
                build_data(vim.option.OptionValue, key=key, value=value)
                for key, value in settings.items()
            ),
        ],
        deviceChange=list(changes),
        vAppConfigRemoved=True if customizing and customizing.removes_vapp else None,
    )


def _build_options(entries: dict[str, str]) -> list[Native]:
    return [_build_option(key, value) for key, value in entries.items()]


@lru_cache(maxsize=64)
def _build_option(key: str, value: str) -> Native:
    return vim.option.OptionValue(key=key, value=value)
