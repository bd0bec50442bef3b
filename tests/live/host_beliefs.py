"""What the code believes of a lone ESXi host: one check each, those of most consequence first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.device_shape import is_card, is_disk
from linkedclone.drivers.vsphere.lone_host.create_spec import build_create_spec
from linkedclone.drivers.vsphere.lone_host.source import Sources
from linkedclone.drivers.vsphere.native import kind_of
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from tests.live import beliefs
from tests.live.beliefs import Seen, say, untold
from tests.live.host_lab import HostLab, kinds_of
from tests.live.lab import Lab

_Look = Callable[[HostLab], Seen]


def belief(name: str, believed: str, source: str) -> Callable[[_Look], _Look]:
    """Enter a check that needs a lone host."""

    def enter(look: _Look) -> _Look:
        def with_host(lab: Lab) -> Seen:
            assert isinstance(lab, HostLab)
            return look(lab)

        beliefs.belief(name, believed, source, alone=True)(with_host)
        return look

    return enter


def devices(lab: HostLab, vm: Vm) -> list[Any]:
    """Return the devices of a VM."""
    return list(lab.native(vm.id).config.hardware.device)


def family(lab: HostLab) -> tuple[Vm, Vm]:
    """Make a clone with a snapshot of its own, and a clone of that; no other VM counts."""
    base = lab.clone()
    snapshot = lab.snapshot(base.id)
    step = lab.step(lab.look(base.id), snapshot=snapshot)
    child = lab.result_of(lab.driver.start(step))
    return lab.look(base.id), lab.look(VmId(str(child)))


def spec_of(lab: HostLab, step: CreateClone, directory: str) -> Any:
    """Return the request for a clone in another directory than its own."""
    source = Sources(lab.session, lab.driver._collector).read(step)
    return build_create_spec(step, source.frozen, directory, {})


def arguments(lab: HostLab, spec: Any) -> dict[str, Any]:
    """Return the arguments of a CreateVM_Task."""
    return {"config": spec, "pool": lab.native(lab.parent.id).resourcePool}


def folder(lab: HostLab) -> Any:
    """Return the folder of all VMs."""
    return lab.native(lab.parent.id).parent


@belief(
    "host child disk",
    "CreateVM makes an empty child of the frozen file, at the path that is asked for",
    "[fact: vs-esxi-child-disk]",
)
def _child(lab: HostLab) -> Seen:
    parent, clone = lab.parent, lab.clone()
    (base,) = [one for one in parent.snapshots if one.current]
    frozen = [disk.top.path for disk in base.disks or ()]
    disks = [one for one in devices(lab, clone) if is_disk(one)]
    below = [one.backing.parent and one.backing.parent.fileName for one in disks]
    sizes = [one.capacityInBytes for one in devices(lab, parent) if is_disk(one)]
    held = (
        all(str(file).endswith(path) for file, path in zip(below, frozen, strict=True))
        and [one.capacityInBytes for one in disks] == sizes
        and all(f"] {clone.name}/{clone.name}" in one.backing.fileName for one in disks)
    )
    formats = {f"{kind_of(one.backing)} {one.backing.deltaDiskFormat}" for one in disks}
    return say(held, f"{[one.backing.fileName for one in disks]} over {below}, {formats}")


@belief(
    "host identity",
    "a VM has the UUIDs, the notes and the mark of its request from birth",
    "[fact: vs-esxi-create]",
)
def _identity(lab: HostLab) -> Seen:
    step = lab.step()
    made = lab.driver.start(step)
    config = lab.native(VmId(str(lab.result_of(made)))).config
    marks = {one.key: one.value for one in config.extraConfig if one.key == "linkedclone.uuid"}
    return say(
        {config.uuid, config.instanceUuid, *marks.values()} == {step.uuid},
        f"{config.uuid} / {config.instanceUuid} / {marks}, wanted {step.uuid}",
    )


@belief(
    "host hardware",
    "a VM has the version, guest, firmware, processors and memory of its request",
    "[fact: vs-esxi-create]",
)
def _hardware(lab: HostLab) -> Seen:
    def facts(vm: Vm) -> tuple[object, ...]:
        config = lab.native(vm.id).config
        wanted = ("version", "guestId", "firmware")
        return (
            *(getattr(config, name) for name in wanted),
            config.hardware.numCPU,
            config.hardware.memoryMB,
        )

    both = facts(lab.clone()), facts(lab.parent)
    return say(both[0] == both[1], both)


@belief(
    "host device keys",
    "controllers, disks and cards keep the keys of the request",
    "[fact: vs-esxi-device-keys]",
)
def _keys(lab: HostLab) -> Seen:
    wanted = (
        vim.vm.device.VirtualController,
        vim.vm.device.VirtualDisk,
        vim.vm.device.VirtualEthernetCard,
    )
    both = [kinds_of(devices(lab, vm), *wanted) for vm in (lab.clone(), lab.parent)]
    return say(both[0] == both[1], dict(set(both[0].items()) ^ set(both[1].items())) or "as asked")


@belief("host PCI slots", "network cards keep their PCI slots", "[fact: vs-esxi-device-keys]")
def _slots(lab: HostLab) -> Seen:
    def slots(vm: Vm) -> list[object]:
        cards = [one for one in devices(lab, vm) if is_card(one)]
        return [one.slotInfo and one.slotInfo.pciSlotNumber for one in cards]

    clone = lab.clone()
    trouble = lab.set_power(clone, Power.ON)
    both = slots(clone), slots(lab.parent)
    lab.set_power(clone, Power.OFF)
    if trouble is not None or None in both[1]:
        return untold(f"{both}, {trouble}")
    return say(both[0] == both[1], both)


@belief(
    "host default devices",
    "a host makes the default devices by itself, and each once",
    "[fact: vs-esxi-default-devices]",
)
def _defaults(lab: HostLab) -> Seen:
    both = [Counter(map(kind_of, devices(lab, vm))) for vm in (lab.clone(), lab.parent)]
    return say(both[0] == both[1], (both[0] - both[1]) + (both[1] - both[0]) or "alike")


@belief(
    "host MAC",
    "a host generates MAC addresses in 00:0c:29, each once",
    "[fact: vs-esxi-mac]",
)
def _mac(lab: HostLab) -> Seen:
    vms = [lab.clone(), lab.clone(), lab.parent]
    every = [str(one.macAddress) for vm in vms for one in devices(lab, vm) if is_card(one)]
    if not every:
        return untold("the parent has no network card")
    fresh = every[: -len(every) // 3]
    held = len(set(every)) == len(every) and all(one.startswith("00:0c:29") for one in fresh)
    return say(held, every)


@belief(
    "host settings",
    "what the parent's settings tell of the parent is not in a clone",
    "[fact: vs-esxi-settings]",
)
def _settings(lab: HostLab) -> Seen:
    def settings(vm: Vm) -> dict[str, str]:
        names = ("nvram", "sched.swap.deriveName", "uuid.bios", "vc.uuid")
        every = {one.key: str(one.value) for one in lab.native(vm.id).config.extraConfig}
        return {name: every[name] for name in names if every.get(name)}

    clone, parent = settings(lab.clone()), settings(lab.parent)
    return say(not set(clone.items()) & set(parent.items()), f"{clone} / {parent}")


@belief(
    "host directory",
    "a directory is made once: the second call is FileAlreadyExists",
    "[fact: vs-esxi-directory]",
)
def _directory(lab: HostLab) -> Seen:
    path = lab.directory(lab.step())
    make = lab.session.content.fileManager.MakeDirectory
    lab.session.call("make it", make, name=path, createParentDirectories=False)
    kind = lab.kind_of_fault(make, name=path, createParentDirectories=False)
    return say(kind == "FileAlreadyExists", kind or "it was made twice")


@belief(
    "host second VM",
    "CreateVM does not overwrite the configuration of a VM that is there",
    "[fact: vs-esxi-directory]",
)
def _second(lab: HostLab) -> Seen:
    step = lab.step()
    lab.result_of(lab.driver.start(step))
    spec = spec_of(lab, step, lab.directory(step))
    kind = lab.kind_of_fault(folder(lab).CreateVM_Task, **arguments(lab, spec))
    return say(bool(kind), kind or "a second VM was made in the directory")


@belief(
    "host double name",
    "two VMs can have one display name, in directories of their own",
    "[fact: vs-esxi-directory]",
)
def _double(lab: HostLab) -> Seen:
    step, other = lab.step(), lab.step()
    lab.result_of(lab.driver.start(step))
    spec = spec_of(lab, step, lab.directory(other))
    spec.uuid = spec.instanceUuid = other.uuid
    kind = lab.kind_of_fault(folder(lab).CreateVM_Task, **arguments(lab, spec))
    return say(not kind, kind or "both were made")


@belief("host ids", "a VM gets a new reference when it is registered again", "[fact: vs-esxi-ids]")
def _ids(lab: HostLab) -> Seen:
    clone = lab.clone()
    native = lab.native(clone.id)
    path, pool, home = native.config.files.vmPathName, native.resourcePool, native.parent
    native.UnregisterVM()
    there = lab.files(path.rpartition("/")[0]) or ()
    again = lab.run(home.RegisterVM_Task, path=path, asTemplate=False, pool=pool)
    held = str(again) != str(clone.id) and path.rpartition("/")[2] in there
    return say(held, f"{clone.id}, then {again}; unregistered it left {there}")


@belief(
    "host copy",
    "a copied disk depends on nothing, and no copy replaces a file",
    "[fact: vs-esxi-copy]",
)
def _copy(lab: HostLab) -> Seen:
    # The parent is such a copy; its snapshot's file is what was copied.
    (base,) = [one for one in lab.parent.snapshots if one.current]
    depths = [len(disk.chain) for disk in base.disks or ()]
    clones = [one.backing.fileName for one in devices(lab, lab.clone()) if is_disk(one)]
    source = next(one for one in devices(lab, lab.parent) if is_disk(one)).backing.parent.fileName
    call = lab.session.content.virtualDiskManager.CopyVirtualDisk_Task
    kind = lab.kind_of_fault(call, sourceName=source, destName=clones[0])
    return say(set(depths) == {1} and kind == "FileAlreadyExists", f"{depths} files, {kind}")


@belief(
    "host locks",
    "clones of one base are made at once, and run at once",
    "[fact: vs-esxi-locks]",
)
def _locks(lab: HostLab) -> Seen:
    jobs = [lab.driver.start(lab.step()) for _ in range(2)]
    clones = [lab.look(VmId(str(lab.result_of(job)))) for job in jobs]
    errors = [lab.set_power(clone, Power.ON) for clone in clones]
    for clone in clones:
        lab.set_power(clone, Power.OFF)
    return say(errors == [None, None], errors)


@belief(
    "host Destroy",
    "Destroy of the last child may take a base that no VM is registered for; nothing relies on it",
    "[fact: vs-esxi-deletion]",
)
def _destroy(lab: HostLab) -> Seen:
    base, child = family(lab)
    native = lab.native(base.id)
    directory = native.config.files.vmPathName.rpartition("/")[0]
    before = lab.files(directory) or ()
    native.UnregisterVM()
    lab.run(lab.native(child.id).Destroy_Task)
    gone = sorted(set(before) - set(lab.files(directory) or ()))
    return say(True, f"Destroy took {gone} of the base" if gone else "Destroy spared the base")


@belief(
    "host merge",
    "nothing keeps a host from merging a snapshot below clones, which do not start afterwards",
    "[fact: vs-esxi-merge]",
)
def _merge(lab: HostLab) -> Seen:
    base, child = family(lab)
    # Something has to be written that is merged; a guest that boots does so.
    lab.set_power(base, Power.ON)
    lab.set_power(base, Power.OFF)
    # Not by a step of ours: the driver refuses it.
    native = lab.native(base.id).snapshot.currentSnapshot
    kind = lab.kind_of_fault(native.RemoveSnapshot_Task, removeChildren=False, consolidate=True)
    trouble = lab.set_power(child, Power.ON)
    lab.set_power(child, Power.OFF)
    return say(not kind and trouble is not None, f"{kind or 'merged'}, then {trouble or 'it runs'}")


@belief(
    "host NVRAM",
    "NVRAM is a file beside the configuration, which the host makes at the first start",
    "[fact: vs-esxi-nvram]",
)
def _nvram(lab: HostLab) -> Seen:
    clone = lab.clone()
    config = lab.native(clone.id).config
    directory = config.files.vmPathName.rpartition("/")[0]
    trouble = lab.set_power(clone, Power.ON)
    files = lab.files(directory) or ()
    lab.set_power(clone, Power.OFF)
    if trouble is not None or not any(file.endswith(".nvram") for file in files):
        return untold(f"{files}, {trouble}")
    return say(f"{clone.name}.nvram" in files, files)


@belief(
    "host licence",
    "a licence that allows changes is not esxBasic",
    "[fact: vs-esxi-licence]",
)
def _licence(lab: HostLab) -> Seen:
    keys = {one.editionKey for one in lab.session.content.licenseManager.licenses}
    return say(keys != {"esxBasic"}, keys)


@belief(
    "host id",
    "about names no instance; the hardware has a UUID",
    "[fact: vs-esxi-host-id]",
)
def _host_id(lab: HostLab) -> Seen:
    about = lab.session.content.about.instanceUuid
    host = lab.native(lab.parent.id).runtime.host
    return say(not about and bool(host.hardware.systemInfo.uuid), f"{about!r}")
