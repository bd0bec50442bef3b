"""Wait until guests are as far as was asked for."""

import time
from collections.abc import Callable, Sequence

from linkedclone.drivers.base import Driver
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.ids import VmId
from linkedclone.model.jobs import JobStatus
from linkedclone.model.observed import Vm
from linkedclone.model.spec import Wait

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


def is_ready(vm: Vm, wait: Wait) -> bool:
    """Say whether a guest is as far as that."""
    match wait:
        case Wait.TASK:
            return True
        case Wait.TOOLS:
            return vm.tools_running
        case Wait.IP:
            return bool(vm.addresses)


def await_guests(
    driver: Driver,
    vms: Sequence[Vm],
    *,
    ready: Callable[[Vm], bool],
    quiet_seconds: float,
    progress: Progress,
) -> dict[VmId, Vm]:
    """Wait until every guest is ready, or nothing has changed for ``quiet_seconds``.

    One batched read per look; the looks get rarer as time passes. VMs that
    vanish meanwhile are left out of the result.

    Returns:
        The VMs as they were seen last.
    """
    latest = {vm.id: vm for vm in vms}
    begun = changed = time.monotonic()
    while waiting := [vm.id for vm in latest.values() if not ready(vm)]:
        now = time.monotonic()
        if now - changed > quiet_seconds:
            break
        time.sleep(min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 0.1 * (now - begun))))
        seen = {vm.id: vm for vm in driver.observe_vms(waiting)}
        for vm_id in waiting:
            vm = seen.get(vm_id)
            if vm is None:
                del latest[vm_id]
            elif vm != latest[vm_id]:
                changed = time.monotonic()
                latest[vm_id] = vm
                status = JobStatus.DONE if ready(vm) else JobStatus.RUNNING
                progress.update(Event(name=vm.name, action="wait", status=status))
    return latest
