"""Builds the request of a linked clone. Pure: a step in, a CloneSpec out; no connection.

The parts that the clones of a batch have in common are the same objects: pyVmomi
checks every field of an object that it makes, which for a whole request takes
longer than to send it. So nobody may change what is returned here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.marks import write_mark
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.shapes import Shape
from linkedclone.errors import InputError
from linkedclone.model.plan import CreateClone
from linkedclone.model.spec import Hardware

LINKED: Final = "createNewChildDiskBacking"
"""A new, empty child on the target datastore; the source's files stay as they are.
Valid only together with a snapshot (handbook, section 1)."""

_COPIED: Final = "moveAllDiskBackingsAndDisallowSharing"

_MEMORY_STEP: Final = 4 << 20


def build_clone_spec(step: CreateClone, shape: Shape, customization: Native) -> Native:
    """Return the CloneSpec of a step.

    Args:
        step: The step; without a snapshot the spec has none either, and is
            good for showing only.
        shape: The snapshot's disks and cards that need care.
        customization: The stored Specification, or None.

    Raises:
        InputError: The memory size is not one that vCenter takes.
    """
    snapshot = step.snapshot and vim.vm.Snapshot(step.snapshot.id, None)
    return vim.vm.CloneSpec(
        location=_build_location(step.target.datastore, step.target.pool, shape.disks),
        template=False,
        powerOn=step.power_on,
        snapshot=snapshot or None,
        customization=customization,
        config=_build_config(step, shape),
    )


@lru_cache(maxsize=4)
def _build_location(store: str, pool: str, disks: tuple[tuple[int, bool], ...]) -> Native:
    datastore = vim.Datastore(store, None)
    return vim.vm.RelocateSpec(
        datastore=datastore,
        pool=vim.ResourcePool(pool, None) if pool else None,
        diskMoveType=LINKED,
        disk=_build_locators(disks, datastore),
    )


def _build_locators(disks: tuple[tuple[int, bool], ...], datastore: Native) -> list[Native]:
    """Return a locator for each disk if one of them is independent, else none.

    Independent disks are in no snapshot and have to be copied (CloudStack;
    handbook, section 1). As soon as there are locators, each has to name its
    move type: without one it means a full copy, in silence (CAPV #1611).
    """
    if not any(independent for _, independent in disks):
        return []
    return [
        vim.vm.RelocateSpec.DiskLocator(
            diskId=key, datastore=datastore, diskMoveType=_COPIED if independent else LINKED
        )
        for key, independent in disks
    ]


def _build_config(step: CreateClone, shape: Shape) -> Native:
    return vim.vm.ConfigSpec(
        instanceUuid=step.uuid,
        numCPUs=step.hardware.cpus,
        memoryMB=memory_mib(step.hardware),
        annotation=step.annotation,
        extraConfig=_build_options(write_mark(step.mark)),
        deviceChange=[_renew_mac(card) for card in shape.manual_cards],
    )


def build_reconfiguration(entries: dict[str, str]) -> Native:
    """Return the change that writes extraConfig entries and nothing else."""
    return vim.vm.ConfigSpec(extraConfig=_build_options(entries))


def _build_options(entries: dict[str, str]) -> list[Native]:
    """Return extraConfig entries as vSphere takes them."""
    return [_build_option(key, value) for key, value in entries.items()]


@lru_cache(maxsize=64)
def _build_option(key: str, value: str) -> Native:
    return vim.option.OptionValue(key=key, value=value)


def _renew_mac(card: Native) -> Native:
    """Return the edit that gives a card a fresh address.

    vCenter makes new addresses for ``assigned`` and ``generated`` cards by
    itself; one that was set by hand would be copied. That is hardware, so it
    stands in ``config``, not in ``location`` (handbook, section 6).
    """
    fresh = type(card)(
        key=card.key,
        controllerKey=card.controllerKey,
        unitNumber=card.unitNumber,
        backing=card.backing,
        connectable=card.connectable,
        addressType="assigned",
        wakeOnLanEnabled=card.wakeOnLanEnabled,
    )
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=fresh)


def memory_mib(hardware: Hardware) -> int | None:
    """Return the memory size in MiB, or None to keep the snapshot's.

    Raises:
        InputError: It is not a multiple of 4 MiB (VirtualMachineConfigSpec.memoryMB).
    """
    size = hardware.memory_bytes
    if size is None:
        return None
    if size % _MEMORY_STEP:
        raise InputError(
            f"{size:,} bytes of memory are not a multiple of 4 MiB",
            hint="vCenter takes memory in steps of 4 MiB, as 4096MiB",
        )
    return size >> 20
