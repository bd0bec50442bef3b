"""Families of one endpoint: who depends on whom, what it takes, and what nothing uses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from linkedclone.app.ansible_inventory import AnsibleHost
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.tree import build_tree
from linkedclone.lineage.usage import measure
from linkedclone.lineage.vm_rows import VmRow, describe_vm, restrict
from linkedclone.model.garbage import Waste, WasteKind, WasteReport
from linkedclone.model.plan import Plan
from linkedclone.model.report import Mode
from linkedclone.model.values.vm_names import list_names
from linkedclone.planning.vms.garbage import find_waste, plan_removal

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Proposal
    from linkedclone.execution.progress import Progress
    from linkedclone.lineage.tree import TreeNode
    from linkedclone.lineage.usage import Usage
    from linkedclone.model.access import SshLogin
    from linkedclone.model.report import ActionReport
    from linkedclone.model.request import Scan
    from linkedclone.model.vm import Vm


class Families:
    """Families of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._driver = acting.driver
        self._quiet = acting.without_guests()

    def tree(self, parent: str | None = None, *, scan: Scan | None = None) -> tuple[TreeNode, ...]:
        """Return the families, or the one below a VM.

        Args:
            parent: A name, inventory path or UUID; None means all.
            scan: Where to look for disk files of no VM that depend on them.
        """
        found = self._driver.find_vms([parent])[0] if parent else None
        return build_tree(restrict(self._driver.observe(sizes=True, scan=scan)), found)

    def usage(self, parent: str | None = None, *, scan: Scan | None = None) -> Usage:
        """Measure what the families take and save, or only the one that a VM is in."""
        found = self._driver.find_vms([parent])[0] if parent else None
        return measure(restrict(self._driver.observe(sizes=True, scan=scan)), found)

    def hosts(self, parent: str | None = None, *, every: bool = False) -> tuple[AnsibleHost, ...]:
        """Return VMs as Ansible hosts, by name; linked clones unless ``every`` one.

        Args:
            parent: Only what depends on this VM, directly or by way of others.
            every: Also what depends on nothing. Templates never, and no spares of pools: nothing
                runs in them.
        """
        found = self._driver.find_vms([parent]) if parent else ()
        inventory = self._driver.observe()
        lineage = Lineage(inventory)
        vms = lineage.descendants(found) if parent else inventory.vms
        seen = (vm for vm in vms if vm.id not in inventory.outside)
        rows = [describe_vm(vm, lineage) for vm in seen if not (vm.template or _is_spare(vm))]
        chosen = [row for row in rows if every or row.mode is not Mode.FULL]
        logins = {}
        if (guests := self._driver.services.guests) is not None:
            logins = dict(guests.describe_logins([row.vm for row in chosen]))
        hosts = (
            _build_host(row, lineage, self._acting.address, logins.get(row.vm.id)) for row in chosen
        )
        return tuple(sorted(hosts, key=lambda host: (host.vm.name, host.vm.path)))

    def collect_waste(
        self,
        kinds: Collection[WasteKind] = (),
        *,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        progress: Progress | None = None,
    ) -> WasteReport:
        """Find what nothing uses any more, and remove some kinds of it; nothing unless given."""
        if not kinds:
            found, blind = self._look_for_waste(scan, despite=despite_unreadable)
            return WasteReport(endpoint=self._quiet.address, found=found, notes=blind)
        proposal = self.propose_collect(kinds, despite_unreadable=despite_unreadable, scan=scan)
        return proposal.carry_out(progress)

    def propose_collect(
        self,
        kinds: Collection[WasteKind],
        *,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
    ) -> Proposal[Plan, WasteReport]:
        """Propose to remove what nothing uses any more.

        Args:
            kinds: What is removed of it.
            despite_unreadable: Also what VMs that cannot be read may depend on.
            scan: Where to look for files.
        """
        despite = despite_unreadable
        found, not_seen = self._look_for_waste(scan, despite=despite)
        blind, shown = dict.fromkeys(not_seen), _by_step(found, kinds)
        sources = tuple({waste.source for waste in found if waste.source is not None})

        def plan() -> Plan:
            # In this order: a clone that is finished in between is whole in the inventory.
            busy = self._quiet.driver.observe_sources(sources) if sources else frozenset()
            if busy:
                blind["clones are being made right now: files that they may need were kept"] = None
            now, not_seen = self._look_for_waste(scan, despite=despite)
            blind.update(dict.fromkeys(not_seen))
            again = _by_step(now, kinds)
            kept = [waste.name for key, waste in shown.items() if key not in again]
            if kept:
                blind[f"not seen as waste when looked at again, so kept: {list_names(kept)}"] = None
            return plan_removal([w for key, w in again.items() if key in shown], kinds, busy)

        def tell(report: ActionReport) -> WasteReport:
            became = {result.key: result for result in report.results}
            pairs = ((w, became.get(w.step.key)) for w in found if w.step is not None)
            return WasteReport(
                endpoint=self._quiet.address,
                found=found,
                results=tuple((waste, result) for waste, result in pairs if result is not None),
                notes=tuple(blind),
                interrupted=report.interrupted,
            )

        return self._quiet.propose(plan, scan=scan, despite=despite).then(tell)

    def _look_for_waste(
        self, scan: Scan | None, *, despite: bool
    ) -> tuple[tuple[Waste, ...], tuple[str, ...]]:
        """Return what nothing uses, and the places that could not be read."""
        inventory = self._quiet.driver.observe(sizes=True, scan=scan)
        store = self._quiet.driver.services.images
        images = store.list_images() if store else ()
        return find_waste(inventory, images, despite_unreadable=despite), inventory.not_seen


def _is_spare(vm: Vm) -> bool:
    return vm.valid_mark is not None and vm.valid_mark.spare


def _by_step(found: Sequence[Waste], kinds: Collection[WasteKind]) -> dict[str, Waste]:
    """Return what can be removed of some kinds, by the step that removes it."""
    return {
        waste.step.key: waste for waste in found if waste.step is not None and waste.kind in kinds
    }


def _build_host(row: VmRow, lineage: Lineage, endpoint: str, login: SshLogin | None) -> AnsibleHost:
    origin, mark = lineage.origin(row.vm), row.vm.valid_mark
    parent_id = origin.parent.uuid if origin.parent else (mark.parent_uuid if mark else "")
    snapshot_id = origin.snapshot.id if origin.snapshot else (mark.snapshot if mark else "")
    return AnsibleHost(
        vm=row.vm,
        endpoint=endpoint,
        parent=row.parent,
        parent_id=parent_id,
        snapshot=row.snapshot,
        snapshot_id=snapshot_id,
        linked=row.linked,
        login=login,
    )
