"""Snapshots of the VMs of one endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict, Unpack

from linkedclone.model.plan import Plan
from linkedclone.model.values.vm_names import check_name
from linkedclone.planning.clone.snapshot_choice import find_snapshot, require_seen
from linkedclone.planning.vms.snapshots_and_disks import (
    plan_create_snapshot,
    plan_delete_memory,
    plan_delete_snapshot,
    plan_revert,
)

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Care, Proposal
    from linkedclone.execution.progress import Progress
    from linkedclone.model.report import ActionReport
    from linkedclone.model.vm import Snapshot


class Taking(TypedDict, total=False):
    """How a snapshot is taken.

    Attributes:
        description: A text for people.
        quiesce: Whether the guest has to bring its file systems to rest.
        memory: Whether the memory of a running VM is kept, too.
    """

    description: str
    quiesce: bool
    memory: bool


class Snapshots:
    """Snapshots of the VMs of one endpoint; no guest is asked."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting.without_guests()
        self._driver = self._acting.driver

    def list(self, ref: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a VM, parents before children."""
        (vm,) = self._driver.find_vms([ref])
        return require_seen(vm)

    def create(
        self, ref: str, name: str, *, progress: Progress | None = None, **how: Unpack[Taking]
    ) -> ActionReport:
        """Take a snapshot: :meth:`propose_create`, and do it."""
        return self.propose_create(ref, name, **how).carry_out(progress)

    def propose_create(
        self, ref: str, name: str, **how: Unpack[Taking]
    ) -> Proposal[Plan, ActionReport]:
        """Propose a snapshot; of a running VM quiesced by its guest, or with its memory."""
        check_name(name)

        def plan() -> Plan:
            (vm,) = self._driver.find_vms([ref])
            return plan_create_snapshot(vm, name, **how)

        return self._acting.propose(plan)

    def delete(
        self, ref: str, name: str, *, progress: Progress | None = None, **care: Unpack[Care]
    ) -> ActionReport:
        """Delete a snapshot: :meth:`propose_delete`, and do it."""
        return self.propose_delete(ref, name, **care).carry_out(progress)

    def propose_delete(
        self, ref: str, name: str, **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to delete a snapshot by name, path or id, unless something depends on it."""
        return self._propose(plan_delete_snapshot, ref, name, busy="delete a snapshot of", **care)

    def delete_memory(
        self, ref: str, name: str, *, progress: Progress | None = None, **care: Unpack[Care]
    ) -> ActionReport:
        """Delete a snapshot's memory: :meth:`propose_delete_memory`, and do it."""
        return self.propose_delete_memory(ref, name, **care).carry_out(progress)

    def propose_delete_memory(
        self, ref: str, name: str, **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to delete the memory that a snapshot holds; the snapshot of the disks stays."""
        busy = "delete the memory of a snapshot of"
        return self._propose(plan_delete_memory, ref, name, busy=busy, **care)

    def revert(
        self, ref: str, name: str, *, progress: Progress | None = None, **care: Unpack[Care]
    ) -> ActionReport:
        """Put a VM back to a snapshot: :meth:`propose_revert`, and do it."""
        return self.propose_revert(ref, name, **care).carry_out(progress)

    def propose_revert(
        self, ref: str, name: str, **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to put a VM back to a snapshot; what it wrote since is lost."""
        return self._propose(plan_revert, ref, name, **care)

    def _propose(
        self,
        plan_change: Callable[..., Plan],
        ref: str,
        name: str,
        *,
        busy: str = "",
        **care: Unpack[Care],
    ) -> Proposal[Plan, ActionReport]:
        """Look and plan; ``busy``, if given, is what a VM may not be cloned from meanwhile."""
        (vm,) = self._driver.find_vms([ref])
        snapshot = find_snapshot(vm, name)
        scan, despite = care.get("scan"), care.get("despite_unreadable", False)

        def plan() -> Plan:
            if busy:
                self._acting.refuse_busy([vm], action=busy)
            inventory = self._driver.observe(scan=scan)
            force = care.get("force", False)
            return plan_change(vm, snapshot, inventory, force=force, despite_unreadable=despite)

        return self._acting.propose(plan, scan=scan, despite=despite)
