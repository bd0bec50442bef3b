"""Disks of the VMs of one endpoint, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from linkedclone.app.vms.presence import find_present
from linkedclone.drivers.features import require_service
from linkedclone.drivers.services import StateFolderService
from linkedclone.model.images import DiskExport, tell_nobody
from linkedclone.model.plan import GrowDisk, Plan
from linkedclone.planning.clone.snapshot_choice import find_snapshot
from linkedclone.planning.vms.promote import plan_promote
from linkedclone.planning.vms.snapshots_and_disks import plan_grow

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Care, Proposal
    from linkedclone.execution.progress import Progress
    from linkedclone.model.images import Rebased, TellBytes
    from linkedclone.model.report import ActionReport


class Disks:
    """Disks of the VMs of one endpoint; no guest is asked."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting.without_guests()
        self._driver = self._acting.driver

    def promote(
        self, refs: Sequence[str], *, progress: Progress | None = None, **care: Unpack[Care]
    ) -> ActionReport:
        """Make linked clones full ones: :meth:`propose_promote`, and do it."""
        return self.propose_promote(refs, **care).carry_out(progress)

    def propose_promote(
        self, refs: Sequence[str], **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to make linked clones full ones: each gets a copy of what it shares."""
        found = find_present(self._driver, refs, action="promote")
        vms, scan = found.vms, care.get("scan")
        force, despite = care.get("force", False), care.get("despite_unreadable", False)

        def plan() -> Plan:
            self._acting.refuse_busy(vms, action="promote")
            inventory = self._driver.observe(sizes=True, scan=scan)
            return plan_promote(vms, inventory, force=force, despite_unreadable=despite)

        return self._acting.propose(plan, found, scan=scan, despite=despite)

    def grow(
        self,
        ref: str,
        capacity_bytes: int,
        *,
        disk: str = "",
        progress: Progress | None = None,
        **care: Unpack[Care],
    ) -> ActionReport:
        """Make a disk larger: :meth:`propose_grow`, and do it."""
        return self.propose_grow(ref, capacity_bytes, disk=disk, **care).carry_out(progress)

    def propose_grow(
        self, ref: str, capacity_bytes: int, *, disk: str = "", **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to make a disk larger; the guest has to grow its file system itself."""
        scan, despite = care.get("scan"), care.get("despite_unreadable", False)
        (vm,) = self._driver.find_vms([ref])
        wanted = GrowDisk(vm=vm.id, vm_name=vm.name, disk=disk, capacity_bytes=capacity_bytes)

        def plan() -> Plan:
            self._acting.refuse_busy([vm], action="grow a disk of")
            linked_too = self._driver.features.grows_linked_disks
            inventory = self._driver.observe(scan=scan)
            return plan_grow(
                vm,
                wanted,
                inventory,
                linked_too=linked_too,
                force=care.get("force", False),
                despite_unreadable=despite,
            )

        return self._acting.propose(plan, scan=scan, despite=despite)

    # -- files ------------------------------------------------------------------------

    def export(
        self,
        ref: str,
        file: Path,
        file_format: Literal["qcow2", "raw", "vmdk"],
        *,
        snapshot: str = "",
        disk: str = "",
        tell: TellBytes | None = None,
    ) -> None:
        """Write a disk of a VM, or of one of its snapshots, to one file.

        Args:
            ref: The VM: name, path or UUID.
            file: Where to; nothing may be there.
            file_format: What it is to be.
            snapshot: The snapshot, by name, path or id; empty for a VM that is off.
            disk: The disk, by its label; empty for the first.
            tell: Is told how far it is.
        """
        disks = self._driver.services.disks
        files = require_service(disks, self._driver.features, "export disks")
        (vm,) = self._driver.find_vms([ref])
        wanted = DiskExport(
            vm=vm.id,
            file=file,
            format=file_format,
            snapshot=find_snapshot(vm, snapshot).id if snapshot else None,
            disk=disk,
        )
        files.export_disk(wanted, tell or tell_nobody)

    def move_state(self, target: Path, tell: TellBytes | None = None) -> None:
        """Move all that the endpoint keeps to another path; the connection ends with that."""
        self._folder().move_state(target, tell or tell_nobody)

    def rebase_layers(self, file: Path) -> Rebased:
        """Let all that miss a layer depend on the file that it is now."""
        return self._folder().rebase_layers(file)

    def accept_layer(self, file: Path) -> None:
        """Take a layer for unchanged of which a copy changed the time alone."""
        self._folder().accept_layer(file)

    def relink_vms(self) -> tuple[str, ...]:
        """Make VMs exist again whose files are there without their names; return the names."""
        return self._folder().relink_vms()

    def _folder(self) -> StateFolderService:
        folder = self._driver.services.state_folder
        return require_service(folder, self._driver.features, "move or rebase disk files")
