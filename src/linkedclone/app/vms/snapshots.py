"""Snapshots of the VMs of one endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

from linkedclone.model.plan import Plan
from linkedclone.model.values.vm_names import check_name
from linkedclone.planning.clone.snapshot_choice import find_snapshot
from linkedclone.planning.vms.guards import refuse_busy
from linkedclone.planning.vms.snapshots_and_disks import (
    plan_create_snapshot,
    plan_delete_snapshot,
    plan_revert,
)

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Guarded
    from linkedclone.execution.progress import Progress
    from linkedclone.model.report import ActionReport
    from linkedclone.model.vm import Snapshot


class Snapshots:
    """Snapshots of the VMs of one endpoint; no guest is asked."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting.without_guests()
        self._driver = self._acting.driver

    def list(self, ref: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a VM, parents before children."""
        (vm,) = self._driver.find_vms([ref])
        return vm.snapshots

    def create(
        self,
        ref: str,
        name: str,
        *,
        description: str = "",
        quiesce: bool = False,
        memory: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Take a snapshot; of a running VM quiesced by its guest, or with its memory, if wanted."""
        check_name(name)
        (vm,) = self._driver.find_vms([ref])
        plan = plan_create_snapshot(vm, name, description, quiesce=quiesce, memory=memory)
        return self._acting.carry_out(plan, progress)

    def delete(self, ref: str, name: str, **how: Unpack[Guarded]) -> ActionReport:
        """Delete a snapshot by name, path or id, unless something hangs from it."""
        return self._change(plan_delete_snapshot, ref, name, busy="delete a snapshot of", **how)

    def revert(self, ref: str, name: str, **how: Unpack[Guarded]) -> ActionReport:
        """Put a VM back to a snapshot; what it wrote since is lost."""
        return self._change(plan_revert, ref, name, **how)

    def _change(
        self,
        plan_change: Callable[..., Plan],
        ref: str,
        name: str,
        *,
        busy: str = "",
        **how: Unpack[Guarded],
    ) -> ActionReport:
        """Plan, ask and act; ``busy``, if given, is what a VM may not be cloned from meanwhile."""
        (vm,) = self._driver.find_vms([ref])
        snapshot = find_snapshot(vm, name)
        scan, despite = how.get("scan"), how.get("despite_unreadable", False)

        def plan() -> Plan:
            if busy:
                refuse_busy([vm], self._driver.observe_sources([vm.id]), action=busy)
            inventory = self._driver.observe(scan=scan)
            force = how.get("force", False)
            return plan_change(vm, snapshot, inventory, force=force, despite_unreadable=despite)

        asked, progress = how.get("confirm"), how.get("progress")
        return self._acting.guarded(
            plan, scan=scan, despite=despite, confirm=asked, progress=progress
        )
