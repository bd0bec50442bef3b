"""Builds the change of a VM that is off: processors, memory, notes, mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.rules.marks import merge_mark
from linkedclone.drivers.vsphere.inventory.marks import PATHS, read_mark, write_mark
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import GoneError
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.request import Hardware
from linkedclone.model.vm import Mark

_VERSION: Final = "config.changeVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """The mark that a VM bears by now, and the version of the configuration that it stands in."""

    mark: Mark | None
    version: str


def read_bearing(collector: Collector, vm: Native, name: str) -> Bearing | None:
    """Read a VM's mark again, in one call; None if there is no such VM any more."""
    wanted = {"VirtualMachine": (_VERSION, *PATHS)}
    seen = next(iter(collector.read(f"read {name}", [vm], wanted).values()), None)
    if seen is None:
        return None
    told = {path: option.value for path in PATHS if (option := seen.told(path)) is not None}
    return Bearing(mark=read_mark(told), version=seen.demand(_VERSION))


def build_changes(step: ReconfigureVm, bearing: Bearing | None = None) -> Native:
    """Return the ConfigSpec of a step; what is None there is left out, so it stays.

    A mark is written only into the version of the configuration that it was
    made of: to another one vCenter answers with ConcurrentAccess (API
    reference, VirtualMachineConfigSpec.changeVersion).
    """
    spec = vim.vm.ConfigSpec(
        numCPUs=step.cpus,
        memoryMB=memory_mib(Hardware(memory_bytes=step.memory_bytes)),
        annotation=step.annotation,
    )
    if step.mark is not None:
        if bearing is None:
            raise GoneError(f"{step.vm_name} is gone", hint="look again: ``list``")
        merged = merge_mark(step.vm_name, step.mark, seen=step.seen, now=bearing.mark)
        spec.changeVersion = bearing.version
        spec.extraConfig = [
            vim.option.OptionValue(key=key, value=value)
            for key, value in write_mark(merged).items()
        ]
    return spec
