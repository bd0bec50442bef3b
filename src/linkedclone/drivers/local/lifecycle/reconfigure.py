"""Change processors, memory, notes and mark of a VM that is off."""

from dataclasses import replace

from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.machine.starting import observe_power
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import locked, save_record
from linkedclone.drivers.rules.marks import merge_mark
from linkedclone.errors import RefusedError
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.vm import Power


def reconfigure_vm(state: StateFolder, machines: OpenMachine, step: ReconfigureVm) -> None:
    """Change what a step names; it counts from the next start on."""
    with locked(state, step.vm) as vm:
        machine, record = vm.record.machine, vm.record
        wanted = replace(
            machine,
            cpus=machine.cpus if step.cpus is None else step.cpus,
            memory_bytes=machine.memory_bytes if step.memory_bytes is None else step.memory_bytes,
        )
        if wanted != machine and observe_power(machines, vm) is not Power.OFF:
            raise RefusedError(
                f"{record.name} runs, and its hardware changes only while it is off",
                hint=f"``stop`` {record.name}",
            )
        changed = replace(
            record,
            machine=wanted,
            annotation=record.annotation if step.annotation is None else step.annotation,
            mark=record.mark
            if step.mark is None
            else merge_mark(record.name, step.mark, seen=step.seen, now=record.mark),
        )
        save_record(state, vm, changed)
