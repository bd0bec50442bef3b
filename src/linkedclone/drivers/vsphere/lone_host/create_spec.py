"""Builds the request that makes a clone at a lone ESXi host. Pure: a step in, a ConfigSpec out.

Such a host does not clone [fact: vs-esxi]. So all that CloneVM_Task takes over from the
snapshot is written here: what is not named is not in the clone [fact: vs-esxi-create].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.clone_spec import check_hardware
from linkedclone.drivers.vsphere.guest.specification import build_customizing
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, build_shape, is_card
from linkedclone.drivers.vsphere.inventory.marks import write_mark
from linkedclone.drivers.vsphere.lone_host.devices import (
    base_name,
    build_devices,
    check_devices,
)
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native, build_data, fields_of
from linkedclone.errors import RefusedError, UnsupportedError
from linkedclone.model.plan import CreateClone

_CARRIED: Final = (
    "version",
    "guestId",
    "alternateGuestName",
    "firmware",
    "consolePreferences",
    "rebootPowerOff",
    "memoryHotAddEnabled",
    "cpuHotAddEnabled",
    "cpuHotRemoveEnabled",
    "cpuAllocation",
    "latencySensitivity",
    "cpuAffinity",
    "memoryAffinity",
    "swapPlacement",
    "vcpuConfig",
    "vAssertsEnabled",
    "maxMksConnections",
    "guestAutoLockEnabled",
    "memoryReservationLockedToMax",
    "nestedHVEnabled",
    "vPMCEnabled",
    "messageBusTunnelEnabled",
    "sgxInfo",
    "sevEnabled",
    "sevSnpEnabled",
    "tdxEnabled",
    "vmxStatsCollectionEnabled",
    "vmOpNotificationToAppEnabled",
    "vmOpNotificationTimeout",
    "fixedPassthruHotPlugEnabled",
)
"""What the frozen configuration and the request call the same."""

_OF_HARDWARE: Final = (
    "virtualICH7MPresent",
    "virtualSMCPresent",
    "motherboardLayout",
    "simultaneousThreads",
)
_FLAGS: Final = (
    "disableAcceleration",
    "enableLogging",
    "monitorType",
    "htSharing",
    "snapshotDisabled",
    "diskUuidEnabled",
    "virtualMmuUsage",
    "virtualExecUsage",
    "snapshotPowerOffBehavior",
    "cbrcCacheEnabled",
    "vvtdEnabled",
    "vbsEnabled",
)
_BOOT: Final = (
    "bootDelay",
    "efiSecureBootEnabled",
    "bootRetryEnabled",
    "bootRetryDelay",
    "networkBootProtocol",
)
_TOOLS: Final = (
    "afterPowerOn",
    "afterResume",
    "beforeGuestStandby",
    "beforeGuestShutdown",
    "beforeGuestReboot",
    "toolsUpgradePolicy",
    "syncTimeWithHostAllowed",
    "syncTimeWithHost",
)
_POWER: Final = ("defaultPowerOffType", "defaultSuspendType", "defaultResetType", "standbyAction")

_SETTINGS: Final = frozenset(
    {
        "devices.hotplug",
        "disk.enableuuid",
        "keyboard.typematicmindelay",
        "snapshot.maxsnapshots",
        "vhv.enable",
        "vmci.filter.enable",
    }
)
_KINDS_OF_SETTINGS: Final = (
    "cpuid.",
    "hypervisor.",
    "isolation.",
    "mks.",
    "monitor.",
    "monitor_control.",
    "numa.",
    "smbios.",
    "svga.",
    "time.synchronize.",
    "tools.",
)
"""Settings that are of the hardware, in lower case. All others say who the parent is, name its
files, or tell of its past [fact: vs-esxi-settings]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenHardware:
    """The machine that is cloned, as its snapshot froze it, or as it is where it is copied."""

    config: Native  # a VirtualMachineConfigInfo, whole
    shape: Shape


def freeze(config: Native) -> FrozenHardware:
    """Return what was read of a snapshot's ``config``, or of a VM's."""
    hardware = config.hardware
    # 0 is that the host chooses.
    cores = None if hardware.autoCoresPerSocket else hardware.numCoresPerSocket
    shape = build_shape(
        hardware.device, cpus=hardware.numCPU, cores_per_socket=cores or None, whole=True
    )
    return FrozenHardware(config=config, shape=shape)


def check_create_spec(step: CreateClone, frozen: FrozenHardware) -> None:
    """Refuse a step whose machine cannot be made as it is, by the name of what hinders."""
    if frozen.config.keyId is not None:
        raise RefusedError(
            f"{step.source.name} is encrypted, and a lone ESXi host has no key provider",
            hint="decrypt it and take a new snapshot of it, or clone it by a vCenter",
        )
    check_devices(step, frozen.shape)
    check_hardware(step, frozen.shape)
    _build_settings(step, frozen)


def build_create_spec(
    step: CreateClone, frozen: FrozenHardware, directory: str, copies: Mapping[int, str]
) -> Native:
    """Return the ConfigSpec of the CreateVM_Task that makes a clone.

    Args:
        step: The step; :func:`check_create_spec` has passed it.
        frozen: The machine that is cloned.
        directory: The clone's own folder, as ``[datastore] name``.
        copies: The paths of the finished copies of disks, by device key; a disk that is
            not in it becomes an empty child of its frozen file.
    """
    config, hardware, wanted = frozen.config, frozen.config.hardware, step.hardware
    memory = memory_mib(wanted) or hardware.memoryMB
    spec = build_data(
        vim.vm.ConfigSpec,
        **_told(config, _CARRIED),
        **_told(hardware, _OF_HARDWARE),
        name=step.name,
        uuid=step.uuid,
        instanceUuid=step.uuid,
        files=build_data(vim.vm.FileInfo, vmPathName=f"{directory}/{base_name(directory)}.vmx"),
        annotation=config.annotation if step.annotation is None else step.annotation,
        numCPUs=wanted.cpus or hardware.numCPU,
        numCoresPerSocket=wanted.cores_per_socket or frozen.shape.cores_per_socket,
        memoryMB=memory,
        memoryAllocation=_build_memory(config, memory),
        flags=_rebuild(config.flags, _FLAGS),
        tools=_rebuild(config.tools, _TOOLS),
        powerOpInfo=_rebuild(config.defaultPowerOps, _POWER),
        bootOptions=_build_boot(frozen, step),
        cpuFeatureMask=[
            vim.vm.ConfigSpec.CpuIdInfoSpec(operation="add", info=mask)
            for mask in config.cpuFeatureMask or ()
        ],
        virtualNuma=_build_numa(config.numaInfo),
        deviceChange=list(build_devices(step, frozen.shape, directory, copies)),
        extraConfig=[
            build_data(vim.option.OptionValue, key=key, value=value)
            for key, value in _build_extra_config(step, frozen, directory).items()
        ],
    )
    for name, value in (
        ("cpuHotAddEnabled", wanted.cpu_hot_add),
        ("memoryHotAddEnabled", wanted.memory_hot_add),
    ):
        if value is not None:
            setattr(spec, name, value)
    return spec


def _told(source: Native, names: tuple[str, ...]) -> dict[str, Native]:
    """Return the fields of these names that are set; nothing is sent of what is not told."""
    found = ((name, getattr(source, name)) for name in names)
    return {name: value for name, value in found if value is not None and value not in ("", [])}


def _rebuild(source: Native, names: tuple[str, ...]) -> Native:
    """Return a part of the configuration with no other fields than these; None for none."""
    told = _told(source, names) if source is not None else {}
    return build_data(type(source), **told) if told else None


def _build_memory(config: Native, memory: int) -> Native:
    """Return what memory is reserved: all of it, where that was so, and never more than it."""
    had = config.memoryAllocation
    if had is None or not had.reservation:
        return had
    whole = config.memoryReservationLockedToMax or had.reservation > memory
    told = {name: value for name, _, value in fields_of(had) if value is not None}
    return build_data(type(had), **(told | ({"reservation": memory} if whole else {})))


def _build_boot(frozen: FrozenHardware, step: CreateClone) -> Native:
    """Return how it boots; the order names devices by their keys [fact: vs-esxi-device-keys]."""
    had = frozen.config.bootOptions
    if had is None:
        return None
    boot = _rebuild(had, (*_BOOT, "bootOrder"))
    if boot is not None and had.bootOrder:
        cards = [device for device in frozen.shape.devices if is_card(device)]
        gone = {cards[nic.index].key for nic in step.hardware.nics if nic.action == "remove"}
        boot.bootOrder = [one for one in had.bootOrder if getattr(one, "deviceKey", 0) not in gone]
    return boot


def _build_numa(told: Native) -> Native:
    if told is None:
        return None
    return vim.vm.VirtualNuma(
        coresPerNumaNode=None if told.autoCoresPerNumaNode else told.coresPerNumaNode,
        exposeVnumaOnCpuHotadd=told.vnumaOnCpuHotaddExposed,
    )


def _build_extra_config(
    step: CreateClone, frozen: FrozenHardware, directory: str
) -> dict[str, str]:
    """Return the settings: those of the parent's hardware, what is wanted, the mark."""
    kept = {
        option.key: option.value
        for option in frozen.config.extraConfig
        if isinstance(option.value, str) and is_of_hardware(option.key)
    }
    every = {
        **kept,
        "nvram": f"{base_name(directory)}.nvram",
        **_build_settings(step, frozen),
        **dict(step.hardware.extra_config),
        **write_mark(step.born),
    }
    # An empty value removes a setting, and a new VM has none.
    return {key: value for key, value in every.items() if value}


def is_of_hardware(key: str) -> bool:
    """Say whether a setting is of the hardware, so that a clone has it too."""
    key = key.lower()
    return key in _SETTINGS or key.startswith(_KINDS_OF_SETTINGS)


def _build_settings(step: CreateClone, frozen: FrozenHardware) -> Mapping[str, str]:
    """Return what cloud-init is told; there is no other customization [fact: vs-esxi-guest]."""
    if step.guest is None:
        return {}
    customizing = build_customizing(step, frozen.shape, None)
    if customizing.specification is not None:
        raise UnsupportedError(
            f"a lone ESXi host cannot customize {step.name}: a vCenter does that",
            hint="let cloud-init do it: os: cloud-init with transport: guestinfo in the "
            "customization",
            kind="NotSupported",
        )
    return customizing.settings
