"""Whether the memory that snapshots keep can still be loaded, for ``doctor``. Changes nothing."""

from collections.abc import Iterator

from linkedclone.drivers.local.diagnosis.state_checks import build_command
from linkedclone.drivers.local.inventory.vm import allocated_bytes
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import load_all
from linkedclone.drivers.local.storage.memory import find_stale, find_whole_change
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.sizes import render_size

CHECK = "memory"


def check_memory(state: StateFolder) -> Iterator[Finding]:
    """Look into the memory of all snapshots, whole; nothing is told where there is none."""
    sound = 0
    for vm in load_all(state).vms:
        for snapshot in (one for one in vm.record.snapshots if one.memory):
            stale = find_stale(vm, snapshot, content=True) or find_whole_change(vm, snapshot)
            if not stale:
                sound += 1
                continue
            name, files = vm.record.name, snapshot.memory.files if snapshot.memory else ()
            used = sum(allocated_bytes(vm.folder / file) or 0 for file in files)
            text = f"no VM can be forked from {snapshot.name} of {name}: {stale}; "
            told = f"its disks are good, and {render_size(used)} of memory are kept in vain"
            remedy = build_command(state, "``snapshot delete``", name, snapshot.name)
            yield Finding(
                check=CHECK,
                verdict=Verdict.WARNING,
                text=text + told,
                remedy=f"{remedy}, and take it anew",
            )
    if sound:
        text = f"VMs can be forked from {sound} of the snapshots with memory"
        yield Finding(check=CHECK, verdict=Verdict.OK, text=text)
