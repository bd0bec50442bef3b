"""VMs of one endpoint: what is looked up of them, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypedDict, Unpack

from linkedclone.app.vms.presence import Found, find_present
from linkedclone.drivers.features import require, require_service
from linkedclone.errors import InputError, LinkedCloneError, NotFoundError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.proof import prove_kept
from linkedclone.model.plan import Plan, RelocateVm, UnregisterVm
from linkedclone.model.report import ActionReport, ActionResult, Failure, Stage, Status
from linkedclone.model.request import DEFAULT_OWNER, AskGuests, Deletion
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.adopt import plan_adopt
from linkedclone.planning.vms.delete import plan_delete
from linkedclone.planning.vms.power import plan_power, plan_restart
from linkedclone.planning.vms.relocate import plan_relocate
from linkedclone.planning.vms.rename import plan_rename

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Proposal
    from linkedclone.execution.progress import Progress
    from linkedclone.lineage.vm_rows import VmRow
    from linkedclone.model.inventory import Inventory
    from linkedclone.model.request import Placement, Scan


class Switching(TypedDict, total=False):
    """How VMs are started and stopped.

    Attributes:
        force: Also those that are not ours.
        guests: How their guests are asked before they are stopped; None stops hard.
        parallel: How many are in flight at once; left to the driver if None.
    """

    force: bool
    guests: AskGuests | None
    parallel: int | None


class Vms:
    """VMs of one endpoint.

    Each change looks, plans behind the guards, and acts. None of that depends on a
    guest's answer, so no guest is asked.
    """

    def __init__(self, acting: Acting) -> None:
        self._with_guests = acting.driver
        self._acting = acting.without_guests()
        self._driver = self._acting.driver

    # -- looking ----------------------------------------------------------------------

    def list(self) -> tuple[VmRow, ...]:
        """Return every VM with its parent, by name."""
        from linkedclone.lineage.vm_rows import describe_vms

        return describe_vms(self._with_guests.observe())

    def show(self, ref: str) -> VmRow:
        """Return one VM, given by name, inventory path or UUID."""
        from linkedclone.lineage.vm_rows import describe_vm

        # One look at the machine itself: one that does not answer is waited for once.
        inventory = self._with_guests.without_guests(machines=False).observe()
        (found,) = self._with_guests.find_vms([ref])
        return describe_vm(found, Lineage(inventory))

    def find(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Return VMs, given by name, inventory path or UUID."""
        return self._with_guests.find_vms(refs)

    def find_present(self, refs: Sequence[str], *, action: str = "") -> Found:
        """Return those of the VMs that exist, and the references that fit none.

        Raises:
            NotFoundError: None of them exists.
        """
        return find_present(self._with_guests, refs, action=action)

    # -- changing ---------------------------------------------------------------------

    def delete(
        self,
        refs: Sequence[str],
        how: Deletion | None = None,
        *,
        scan: Scan | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete VMs, unless something depends on them: :meth:`propose_delete`, and do it."""
        return self.propose_delete(refs, how, scan=scan).carry_out(progress)

    def propose_delete(
        self, refs: Sequence[str], how: Deletion | None = None, *, scan: Scan | None = None
    ) -> Proposal[Plan, ActionReport]:
        """Propose to delete VMs, unless something depends on them.

        Args:
            refs: Names, inventory paths or UUIDs.
            how: What else may go; never what others depend on.
            scan: Where to look for files of no VM that depend on them.
        """
        how = how or Deletion()
        if how.keep_base:
            require(self._driver.features, UnregisterVm)
        found = self._find_deletable(refs)
        vms = found.vms
        despite = how.despite_unreadable

        def plan() -> Plan:
            going = vms
            if how.cascade:
                going = (*vms, *Lineage(self._driver.observe()).descendants(vms))
            # In this order: a clone created in between is in the inventory.
            self._acting.refuse_busy(going, action="delete")
            inventory = self._driver.observe(scan=scan)
            return plan_delete(self._drop_gone(vms, inventory), inventory, how)

        return self._acting.propose(plan, found, scan=scan, despite=despite)

    def _drop_gone(self, vms: Sequence[Vm], inventory: Inventory) -> Sequence[Vm]:
        """Leave out what was deleted since it was looked up: that counts as done.

        What the inventory does not show, and is there when it is asked for by
        itself, stays: the guards refuse it.
        """
        missing = {vm.id for vm in vms} - {vm.id for vm in inventory.vms}
        gone = missing and missing - {vm.id for vm in self._driver.observe_vms(tuple(missing))}
        return [vm for vm in vms if vm.id not in gone]

    def _find_deletable(self, refs: Sequence[str]) -> Found:
        """Find the VMs to delete; those that are not there count as deleted.

        Raises:
            NotFoundError: None of them exists, so that a wrong name is reported.
        """
        try:
            return replace(find_present(self._driver, refs, action="delete"), failure=None)
        except NotFoundError as error:
            if not error.missing:
                raise
            hint = f"{error.hint}; what was deleted before needs nothing more"
            raise NotFoundError(error.brief, hint=hint, missing=error.missing) from error

    def set_power(
        self,
        refs: Sequence[str],
        power: Power,
        *,
        progress: Progress | None = None,
        **how: Unpack[Switching],
    ) -> ActionReport:
        """Start VMs, or stop them: :meth:`propose_set_power`, and do it."""
        return self.propose_set_power(refs, power, **how).carry_out(progress)

    def propose_set_power(
        self, refs: Sequence[str], power: Power, **how: Unpack[Switching]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to start VMs, or to stop them: hard, or by asking their guests first."""
        stop = "shut-down" if how.get("guests") else "power-off"
        action = "power-on" if power is Power.ON else stop
        return self._switch(partial(plan_power, power=power), refs, action, **how)

    def restart(
        self,
        refs: Sequence[str],
        *,
        progress: Progress | None = None,
        **how: Unpack[Switching],
    ) -> ActionReport:
        """Stop VMs, and start them again: :meth:`propose_restart`, and do it."""
        return self.propose_restart(refs, **how).carry_out(progress)

    def propose_restart(
        self, refs: Sequence[str], **how: Unpack[Switching]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to stop VMs, hard or by asking their guests first, and to start them again."""
        return self._switch(plan_restart, refs, "power-on", **how)

    def _switch(
        self,
        plan: Callable[..., Plan],
        refs: Sequence[str],
        action: str,
        **how: Unpack[Switching],
    ) -> Proposal[Plan, ActionReport]:
        guests, force = how.get("guests"), how.get("force", False)
        self._require_guests(guests)
        found = find_present(self._driver, refs, action=action)
        look = self._looks(found.vms)
        return self._acting.propose(
            lambda: plan(look(), force=force, guests=guests), found, parallel=how.get("parallel")
        )

    def _looks(self, vms: Sequence[Vm]) -> Callable[[], Sequence[Vm]]:
        """Return what gives VMs as they were found, and later as they are by then."""
        seen = [vms]

        def look() -> Sequence[Vm]:
            return seen.pop() if seen else self._driver.observe_vms([vm.id for vm in vms])

        return look

    def _require_guests(self, guests: AskGuests | None) -> None:
        if guests is not None:
            service, hint = self._driver.services.guests, "leave ``guest`` out"
            require_service(service, self._driver.features, "ask guests", hint=hint)

    def rename(
        self, ref: str, name: str, *, force: bool = False, progress: Progress | None = None
    ) -> ActionReport:
        """Give a VM another name: :meth:`propose_rename`, and do it."""
        return self.propose_rename(ref, name, force=force).carry_out(progress)

    def propose_rename(
        self, ref: str, name: str, *, force: bool = False
    ) -> Proposal[Plan, ActionReport]:
        """Propose another name for a VM; its UUID, its mark and its disks stay."""
        found = Found(vms=self._driver.find_vms([ref]))
        look = self._looks(found.vms)

        def plan() -> Plan:
            (vm,) = look() or found.vms
            return plan_rename(vm, name, force=force)

        return self._acting.propose(plan)

    def relocate(
        self,
        refs: Sequence[str],
        placement: Placement,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Move VMs: :meth:`propose_relocate`, and do it."""
        return self.propose_relocate(
            refs, placement, force=force, despite_unreadable=despite_unreadable
        ).carry_out(progress)

    def propose_relocate(
        self,
        refs: Sequence[str],
        placement: Placement,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
    ) -> Proposal[Plan, ActionReport]:
        """Propose to move VMs; each is proven to depend on the same disks as before.

        Args:
            refs: Names, inventory paths or UUIDs.
            placement: Where to: a datastore, a host, a cluster or a resource pool.
            force: Also those that are not ours.
            despite_unreadable: Also those that VMs which cannot be read may depend on.
        """
        driver = self._driver
        require(driver.features, RelocateVm)
        if not any(
            (placement.datastore, placement.host, placement.resource_pool, placement.cluster)
        ):
            raise InputError(
                "no destination is given",
                hint="name a ``placement.datastore``, ``placement.host``, ``placement.cluster`` "
                "or pool",
            )
        found = find_present(driver, refs, action="relocate")
        vms = found.vms
        targets = {vm.id: driver.resolve_relocation(vm, placement) for vm in vms}

        def plan() -> Plan:
            self._acting.refuse_busy(vms, action="move")
            inventory = self._driver.observe(sizes=True)
            moves_disks = bool(placement.datastore)
            return plan_relocate(
                vms,
                targets,
                inventory,
                moves_disks=moves_disks,
                force=force,
                despite_unreadable=despite_unreadable,
            )

        before = {vm.id: vm for vm in self._driver.observe_vms([vm.id for vm in vms])}
        proposal = self._acting.propose(plan, found, despite=despite_unreadable)
        return proposal.then(lambda report: self._proven(report, before))

    def _proven(self, report: ActionReport, before: dict[VmId, Vm]) -> ActionReport:
        """Read back what was moved; what depends on something else now has failed, loudly."""
        moved = [VmId(r.id) for r in report.results if r.id and r.status is Status.DONE]
        if not moved:
            return report
        failure: Failure | None = None
        try:
            after = {vm.id: vm for vm in self._driver.observe_vms(moved)}
        except LinkedCloneError as error:
            after, failure = {}, Failure.from_error(Stage.PROOF, error)

        def judge(result: ActionResult) -> ActionResult:
            vm = VmId(result.id or "")
            if vm not in moved:
                return result
            if failure is not None:
                return replace(result, status=Status.FAILED, error=failure)
            return _judge(result, before.get(vm), after.get(vm))

        return replace(report, results=tuple(map(judge, report.results)))

    def adopt(
        self,
        refs: Sequence[str],
        *,
        owner: str = DEFAULT_OWNER,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Mark linked clones of other tools as ours: :meth:`propose_adopt`, and do it."""
        return self.propose_adopt(refs, owner=owner, force=force).carry_out(progress)

    def propose_adopt(
        self, refs: Sequence[str], *, owner: str = DEFAULT_OWNER, force: bool = False
    ) -> Proposal[Plan, ActionReport]:
        """Propose to mark linked clones of other tools as ours."""
        check_name(owner)
        found = find_present(self._driver, refs, action="mark")

        def plan() -> Plan:
            inventory = self._driver.observe()
            return plan_adopt(found.vms, inventory, owner=owner, version=__version__, force=force)

        return self._acting.propose(plan, found)


def _judge(result: ActionResult, before: Vm | None, after: Vm | None) -> ActionResult:
    if before is None or after is None:
        return _failed(result, f"{result.name} no longer exists", "it was deleted in the meantime")
    proof = prove_kept(before, after)
    if proof.linked is False:
        return _failed(
            result,
            f"{result.name} was moved, but has another base than before",
            proof.reason,
        )
    return replace(result, note=proof.reason) if proof.reason else result


def _failed(result: ActionResult, brief: str, details: str) -> ActionResult:
    failure = Failure(
        stage=Stage.PROOF,
        brief=brief,
        details=details,
        hint="look at it with ``show``; a new clone at the target is linked again",
    )
    return replace(result, status=Status.FAILED, error=failure)
