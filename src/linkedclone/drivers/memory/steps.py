"""What each step does to the estate."""

from collections.abc import Callable
from functools import partial
from typing import assert_never

from linkedclone.drivers.memory import snapshots
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.drivers.memory.inventory import Estate
from linkedclone.model import plan
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone, JobStep


def start(  # noqa: C901, PLR0912 - one case for each step
    hypervisor: MemoryHypervisor, estate: Estate, step: JobStep
) -> Job:
    """Start a step; to be called within ``access``."""
    effect: Callable[[], str | None]
    match step:
        case CreateClone():
            return hypervisor.start_clone(step)
        case plan.AttachClone():
            return hypervisor.watch_clone(step.create)
        case plan.RenameVm():
            effect = partial(hypervisor.rename, step.vm, step.new_name)
        case plan.TakeSnapshot():
            effect = partial(
                snapshots.take_snapshot,
                estate,
                step.vm,
                step.name,
                step.description,
                memory=step.memory,
            )
        case plan.DeleteSnapshot():
            effect = partial(snapshots.delete_snapshot, estate, step.vm, step.snapshot)
        case plan.DeleteMemory():
            effect = partial(snapshots.delete_memory, estate, step.vm, step.snapshot)
        case plan.RevertSnapshot():
            effect = partial(snapshots.revert, estate, step.vm, step.snapshot)
        case plan.WriteMark():
            vm, name = step.vm, step.vm_name
            change = plan.ReconfigureVm(vm=vm, vm_name=name, mark=step.mark, seen=step.seen)
            effect = partial(estate.reconfigure, change)
        case plan.SetPower():
            effect = partial(estate.set_power, step.vm, step.power)
        case plan.ReconfigureVm():
            effect = partial(estate.reconfigure, step)
        case plan.RelocateVm():
            effect = partial(estate.relocate, step)
        case plan.DeleteVm():
            effect = partial(estate.delete, step.vm, step.seen)
        case plan.UnregisterVm():
            effect = partial(estate.unregister, step.vm)
        case plan.PromoteVm():
            effect = partial(snapshots.promote, estate, step.vm)
        case plan.GrowDisk():
            effect = partial(snapshots.grow, estate, step.vm, step.disk, step.capacity_bytes)
        case plan.DisconnectMedia():
            effect = partial(estate.disconnect_media, step.vm)
        case plan.SetTemplate():
            effect = partial(estate.set_template, step.vm, template=step.template, pool=step.pool)
        case plan.CreateFolder():
            effect = partial(estate.places.make_folder, step.path)
        case plan.RemoveStray():
            effect = partial(estate.remove_stray, step.stray.layer)
        case _:
            assert_never(step)
    return hypervisor.start(step.action, step.about, effect)
