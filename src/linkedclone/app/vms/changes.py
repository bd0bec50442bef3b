"""What is done to VMs that exist: each method looks, plans behind the guards, asks, and acts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from linkedclone.app.proposal import Acting, Confirm, look_again
from linkedclone.app.vms.presence import Found, find_present
from linkedclone.drivers.contract import Driver, GuestPower, ImageStore, Registration
from linkedclone.errors import LinkedCloneError, NotFoundError, UnsupportedError
from linkedclone.execution.progress import Progress
from linkedclone.lineage.family import Lineage
from linkedclone.model.garbage import Waste, WasteKind, WasteReport
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import GrowDisk, Plan, Step
from linkedclone.model.report import ActionReport
from linkedclone.model.request import DEFAULT_OWNER, Deletion, Scan
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name, list_names
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.snapshot_choice import find_snapshot
from linkedclone.planning.vms.adopt import plan_adopt
from linkedclone.planning.vms.delete import plan_delete
from linkedclone.planning.vms.garbage import find_waste, plan_removal
from linkedclone.planning.vms.guards import refuse_busy
from linkedclone.planning.vms.power import AskGuests, plan_power, plan_restart
from linkedclone.planning.vms.promote import plan_promote
from linkedclone.planning.vms.snapshots_and_disks import (
    plan_create_snapshot,
    plan_delete_snapshot,
    plan_grow,
    plan_revert,
)


class Changes:
    """Changes VMs of one endpoint; :class:`~linkedclone.app.connection.Connection` documents each.

    Attributes:
        acting: What carries the plans out.
    """

    def __init__(self, driver: Driver, acting: Acting) -> None:
        self._driver = driver
        self.acting = acting

    def delete(
        self,
        refs: Sequence[str],
        how: Deletion | None = None,
        *,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete VMs, unless something hangs from them."""
        how = how or Deletion()
        if how.keep_base and not isinstance(self._driver, Registration):
            raise UnsupportedError(
                "VMs cannot be unregistered here",
                hint="a base stays here anyway while anything needs it",
                kind="NotSupported",
            )
        found = self._find_deletable(refs)
        vms = found.vms

        def plan() -> Plan:
            going = vms
            if how.cascade:
                going = (*vms, *Lineage(self._driver.observe()).descendants(vms))
            # In this order: a clone that is made in between stands in the inventory.
            refuse_busy(going, self._sources(going), action="delete")
            inventory = self._driver.observe(scan=scan)
            planned = plan_delete(self._drop_gone(vms, inventory), inventory, how)
            return replace(planned, notes=(*planned.notes, *(found.notes if confirm else ())))

        despite = how.despite_unreadable
        report = self._guarded(plan, scan=scan, despite=despite, confirm=confirm, progress=progress)
        if confirm is not None and not report.results:
            return report  # The answer was no: nothing is told to be done.
        return found.tell(report, action="delete", counts_as_done=True)

    def _drop_gone(self, vms: Sequence[Vm], inventory: Inventory) -> Sequence[Vm]:
        """Leave out what was deleted since it was looked up: that counts as done.

        What the inventory does not show, and is there when it is asked for by
        itself, stays: the guards refuse it.
        """
        missing = {vm.id for vm in vms} - {vm.id for vm in inventory.vms}
        gone = missing and missing - {vm.id for vm in self._driver.observe_vms(tuple(missing))}
        return [vm for vm in vms if vm.id not in gone]

    def set_power(
        self,
        refs: Sequence[str],
        power: Power,
        *,
        force: bool = False,
        guests: AskGuests | None = None,
        parallel: int | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Start VMs, or stop them: hard, or by asking their guests."""
        self._require_guests(guests)
        found = find_present(self._driver, refs)
        plan = plan_power(found.vms, power, force=force, guests=guests)
        report = self.acting.carry_out(plan, progress, parallel=parallel)
        stop = "shut-down" if guests else "power-off"
        action = "power-on" if power is Power.ON else stop
        return found.tell(report, action=action, counts_as_done=False)

    def restart(
        self,
        refs: Sequence[str],
        *,
        force: bool = False,
        guests: AskGuests | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Stop VMs, hard or by asking their guests, and start them again."""
        self._require_guests(guests)
        found = find_present(self._driver, refs)
        plan = plan_restart(found.vms, force=force, guests=guests)
        report = self.acting.carry_out(plan, progress)
        return found.tell(report, action="power-on", counts_as_done=False)

    def create_snapshot(
        self,
        ref: str,
        name: str,
        *,
        description: str = "",
        quiesce: bool = False,
        memory: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Take a snapshot."""
        check_name(name)
        (vm,) = self._driver.find_vms([ref])
        plan = plan_create_snapshot(vm, name, description, quiesce=quiesce, memory=memory)
        return self.acting.carry_out(plan, progress)

    def delete_snapshot(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete a snapshot by name, path or id, unless something hangs from it."""
        (vm,) = self._driver.find_vms([ref])
        snapshot = find_snapshot(vm, name)

        def plan() -> Plan:
            refuse_busy([vm], self._sources([vm]), action="delete a snapshot of")
            inventory = self._driver.observe(scan=scan)
            return plan_delete_snapshot(
                vm, snapshot, inventory, force=force, despite_unreadable=despite_unreadable
            )

        despite = despite_unreadable
        return self._guarded(plan, scan=scan, despite=despite, confirm=confirm, progress=progress)

    def revert_snapshot(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Put a VM back to a snapshot; what it wrote since is lost."""
        (vm,) = self._driver.find_vms([ref])
        snapshot = find_snapshot(vm, name)

        def plan() -> Plan:
            inventory = self._driver.observe(scan=scan)
            return plan_revert(
                vm, snapshot, inventory, force=force, despite_unreadable=despite_unreadable
            )

        despite = despite_unreadable
        return self._guarded(plan, scan=scan, despite=despite, confirm=confirm, progress=progress)

    def promote(
        self,
        refs: Sequence[str],
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Make linked clones full ones: each gets a copy of what it shares."""
        found = find_present(self._driver, refs)
        vms = found.vms

        def plan() -> Plan:
            refuse_busy(vms, self._sources(vms), action="promote")
            inventory = self._driver.observe(sizes=True, scan=scan)
            planned = plan_promote(
                vms, inventory, force=force, despite_unreadable=despite_unreadable
            )
            return replace(planned, notes=(*planned.notes, *(found.notes if confirm else ())))

        despite = despite_unreadable
        report = self._guarded(plan, scan=scan, despite=despite, confirm=confirm, progress=progress)
        if confirm is not None and not report.results:
            return report
        return found.tell(report, action="promote", counts_as_done=False)

    def grow_disk(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        capacity_bytes: int,
        *,
        disk: str = "",
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Make a disk larger; the guest has to grow its file system itself."""
        (vm,) = self._driver.find_vms([ref])
        wanted = GrowDisk(vm=vm.id, vm_name=vm.name, disk=disk, capacity_bytes=capacity_bytes)

        def plan() -> Plan:
            refuse_busy([vm], self._sources([vm]), action="grow a disk of")
            linked_too = self._driver.grows_linked
            inventory = self._driver.observe(scan=scan)
            return plan_grow(
                vm,
                wanted,
                inventory,
                linked_too=linked_too,
                force=force,
                despite_unreadable=despite_unreadable,
            )

        despite = despite_unreadable
        return self._guarded(plan, scan=scan, despite=despite, confirm=None, progress=progress)

    def adopt(
        self,
        refs: Sequence[str],
        *,
        owner: str = DEFAULT_OWNER,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Mark linked clones of other tools as ours."""
        check_name(owner)
        found = find_present(self._driver, refs)

        def plan() -> Plan:
            inventory = self._driver.observe()
            return plan_adopt(found.vms, inventory, owner=owner, version=__version__, force=force)

        report = self._guarded(plan, confirm=None, progress=progress)
        return found.tell(report, action="mark", counts_as_done=False)

    def collect_waste(
        self,
        kinds: Collection[WasteKind] = (),
        *,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> WasteReport:
        """Find what nothing uses any more, and remove it."""

        def look() -> tuple[Waste, ...]:
            inventory = self._driver.observe(sizes=True, scan=scan)
            blind.update(dict.fromkeys(inventory.not_seen))
            store = self._driver if isinstance(self._driver, ImageStore) else None
            images = store.list_images() if store else ()
            return find_waste(inventory, images, despite_unreadable=despite_unreadable)

        blind: dict[str, None] = {}
        found = look()
        if not kinds:
            return WasteReport(endpoint=self.acting.address, found=found, notes=tuple(blind))

        def plan() -> Plan:
            # In this order: a clone that is finished in between is whole in the inventory.
            busy = self._driver.observe_sources(sources) if sources else frozenset()
            if busy:
                blind["clones are being made right now: files that they may need were kept"] = None
            shown, again = _by_step(found, kinds), _by_step(look(), kinds)
            kept = [waste.name for key, waste in shown.items() if key not in again]
            if kept:
                blind[f"not seen as waste when looked at again, so kept: {list_names(kept)}"] = None
            still = [waste for key, waste in again.items() if key in shown]
            return plan_removal(still, kinds, busy)

        sources = tuple({waste.source for waste in found if waste.source is not None})
        despite = despite_unreadable
        report = self._guarded(plan, scan=scan, despite=despite, confirm=confirm, progress=progress)
        became = {result.key: result for result in report.results}
        pairs = ((w, became.get(w.step.key)) for w in found if w.step is not None)
        return WasteReport(
            endpoint=self.acting.address,
            found=found,
            results=tuple((waste, result) for waste, result in pairs if result is not None),
            notes=tuple(blind),
            interrupted=report.interrupted,
        )

    def _require_guests(self, guests: AskGuests | None) -> None:
        if guests is not None and not isinstance(self._driver, GuestPower):
            raise UnsupportedError(
                "guests cannot be asked here", hint="leave ``guest`` out", kind="NotSupported"
            )

    def _find_deletable(self, refs: Sequence[str]) -> Found:
        """Find the VMs to delete; those that are not there count as deleted.

        Raises:
            NotFoundError: None of them exists, so that a wrong name is told.
        """
        try:
            return find_present(self._driver, refs)
        except NotFoundError as error:
            if not error.missing:
                raise
            hint = f"{error.hint}; what was deleted before needs nothing more"
            raise NotFoundError(error.brief, hint=hint, missing=error.missing) from error

    def _sources(self, vms: Sequence[Vm]) -> frozenset[VmId]:
        return self._driver.observe_sources([vm.id for vm in vms])

    def _guarded(
        self,
        plan: Callable[[], Plan],
        *,
        scan: Scan | None = None,
        despite: bool | None = None,
        confirm: Confirm | None,
        progress: Progress | None,
    ) -> ActionReport:
        def check(steps: Sequence[Step]) -> Sequence[tuple[Step, LinkedCloneError]]:
            return look_again(self._driver, steps, scan=scan, despite=despite)

        return self.acting.guarded(plan, confirm=confirm, progress=progress, check=check)


def _by_step(found: Sequence[Waste], kinds: Collection[WasteKind]) -> dict[str, Waste]:
    """Return what can be removed of some kinds, by the step that removes it."""
    return {
        waste.step.key: waste for waste in found if waste.step is not None and waste.kind in kinds
    }
