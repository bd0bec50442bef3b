"""Builds the change of a VM that is off: processors, memory, notes, mark. Pure."""

from __future__ import annotations

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.marks import write_mark
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.request import Hardware


def build_changes(step: ReconfigureVm) -> Native:
    """Return the ConfigSpec of a step; what is None there is left out, so it stays."""
    entries = write_mark(step.mark) if step.mark else {}
    return vim.vm.ConfigSpec(
        numCPUs=step.cpus,
        memoryMB=memory_mib(Hardware(memory_bytes=step.memory_bytes)),
        annotation=step.annotation,
        extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in entries.items()],
    )
