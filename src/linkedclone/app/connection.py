"""One open endpoint, and everything that can be asked of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from linkedclone.app.clone import CloneJob, Prepared, planned_report, prepare, preview
from linkedclone.drivers.base import Driver, GuestAccess, ImageStore
from linkedclone.errors import RefusedError, UnsupportedError
from linkedclone.execution.progress import Progress, Silent
from linkedclone.execution.runlog import RunLog
from linkedclone.execution.runner import Runner, action_of, name_of
from linkedclone.model.findings import Finding
from linkedclone.model.ids import VmId
from linkedclone.model.images import Image, ImageImport
from linkedclone.model.lineage import Lineage
from linkedclone.model.names import check_name
from linkedclone.model.observed import Identity, Power, Snapshot, Vm
from linkedclone.model.plan import Plan
from linkedclone.model.report import ActionReport, CloneReport
from linkedclone.model.spec import CloneRequest
from linkedclone.model.views import TreeNode, VmRow, build_tree, describe_vm, describe_vms
from linkedclone.planning.actions import (
    plan_create_snapshot,
    plan_delete,
    plan_delete_snapshot,
    plan_power,
    plan_restart,
    plan_revert,
    refuse_busy,
)
from linkedclone.planning.snapshots import find_snapshot

Confirm = Callable[[Plan], bool]
"""Shown a plan that deletes something; True lets it go on."""


class Connection:
    """An open endpoint. Close it, or use it as a context manager.

    Every method may raise :class:`~linkedclone.errors.LinkedCloneError`; what
    went wrong with single VMs of a batch is in the report instead.
    """

    def __init__(self, driver: Driver, *, address: str, log_folder: Path | None = None) -> None:
        self._driver = driver
        self._address = address
        self._log_folder = log_folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. What was started goes on at the endpoint."""
        self._driver.close()

    @property
    def address(self) -> str:
        """The endpoint as it is shown, without a password."""
        return self._address

    def identify(self) -> Identity:
        """Say what the endpoint is."""
        return self._driver.identify()

    # -- clones -----------------------------------------------------------------------

    def prepare(self, request: CloneRequest) -> Prepared:
        """Look up and plan a batch of clones without changing anything."""
        return prepare(self._driver, request)

    def preview(self, prepared: Prepared) -> tuple[Mapping[str, object], ...]:
        """Return the requests of a planned batch exactly as they would be sent."""
        return preview(self._driver, prepared)

    def planned(self, prepared: Prepared) -> CloneReport:
        """Return the report of a batch that is only planned."""
        return planned_report(prepared, self._address)

    def clone(self, request: CloneRequest, progress: Progress | None = None) -> CloneReport:
        """Make linked clones, each proven; see :class:`~linkedclone.model.spec.CloneRequest`.

        Running it again makes nothing new: what is there is reported as
        existing, and what an earlier run left unfinished is finished.
        """
        return self.carry_out(self.prepare(request), progress)

    def carry_out(self, prepared: Prepared, progress: Progress | None = None) -> CloneReport:
        """Make the clones of a batch that was looked up and planned."""
        with self._log(prepared.run, progress) as log:
            return CloneJob(self._driver, prepared, log).run(self._address)

    # -- looking ----------------------------------------------------------------------

    def list(self) -> tuple[VmRow, ...]:
        """Return every VM with where it hangs, by name."""
        return describe_vms(self._driver.observe())

    def show(self, ref: str) -> VmRow:
        """Return one VM, given by name, inventory path or UUID."""
        inventory = self._driver.observe()
        (found,) = self._driver.find_vms([ref])
        return describe_vm(found, Lineage(inventory))

    def tree(self, parent: str | None = None) -> tuple[TreeNode, ...]:
        """Return the families, or the one below a VM."""
        found = self._driver.find_vms([parent])[0] if parent else None
        return build_tree(self._driver.observe(), found)

    def snapshots(self, ref: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a VM, parents before children."""
        (vm,) = self._driver.find_vms([ref])
        return vm.snapshots

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this endpoint."""
        return self._driver.diagnose()

    # -- acting -----------------------------------------------------------------------

    def delete(
        self,
        refs: Sequence[str],
        *,
        force: bool = False,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete VMs, unless something hangs from them.

        Args:
            refs: Names, inventory paths or UUIDs.
            force: Also what is not ours; also the last users of a base whose
                VM is gone. Never what others hang from.
            confirm: Shown the plan first; None goes on without asking.
            progress: Who is told.
        """
        vms = self._find(refs)

        def plan() -> Plan:
            # In this order: a clone that is made in between stands in the inventory.
            refuse_busy(vms, self._sources(vms), action="delete")
            return plan_delete(vms, self._driver.observe(), force=force)

        return self._guarded(plan, confirm=confirm, progress=progress)

    def set_power(
        self,
        refs: Sequence[str],
        power: Power,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Start VMs, or stop them hard."""
        plan = plan_power(self._find(refs), power, force=force)
        return self._execute(plan, progress)

    def restart(
        self, refs: Sequence[str], *, force: bool = False, progress: Progress | None = None
    ) -> ActionReport:
        """Stop VMs hard and start them again."""
        plan = plan_restart(self._find(refs), force=force)
        return self._execute(plan, progress)

    def create_snapshot(
        self, ref: str, name: str, *, description: str = "", progress: Progress | None = None
    ) -> ActionReport:
        """Take a snapshot without memory."""
        check_name(name)
        (vm,) = self._driver.find_vms([ref])
        return self._execute(plan_create_snapshot(vm, name, description), progress)

    def delete_snapshot(
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete a snapshot by name, path or id, unless clones hang from it."""
        (vm,) = self._driver.find_vms([ref])
        snapshot = find_snapshot(vm, name)

        def plan() -> Plan:
            refuse_busy([vm], self._sources([vm]), action="delete a snapshot of")
            return plan_delete_snapshot(vm, snapshot, self._driver.observe(), force=force)

        return self._guarded(plan, confirm=confirm, progress=progress)

    def revert_snapshot(
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Put a VM back to a snapshot; what it wrote since is lost."""
        (vm,) = self._driver.find_vms([ref])
        plan = plan_revert(vm, find_snapshot(vm, name), force=force)
        if confirm is not None and not confirm(plan):
            return ActionReport(endpoint=self._address)
        return self._execute(plan, progress)

    # -- what only some endpoints can -------------------------------------------------

    def import_image(self, wanted: ImageImport) -> VmRow:
        """Make a parent with the snapshot ``base`` of an image file; return it."""
        made = self._images().import_image(wanted)
        (vm,) = self._driver.observe_vms([made])
        return self.show(vm.uuid)

    def images(self) -> tuple[Image, ...]:
        """Return the imported images, by name."""
        return self._images().list_images()

    def remove_image(self, name: str) -> None:
        """Delete an image that nothing hangs from."""
        self._images().remove_image(name)

    def build_ssh(self, ref: str, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the argument list of ``ssh`` for a running VM."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        return access.build_ssh(vm.id, command)

    def attach_console(self, ref: str, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to a VM's serial console until Ctrl-] is typed."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        access.attach_console(
            vm.id, input_descriptor=input_descriptor, output_descriptor=output_descriptor
        )

    # -- inside -----------------------------------------------------------------------

    def _images(self) -> ImageStore:
        if isinstance(self._driver, ImageStore):
            return self._driver
        raise self._cannot("hold images")

    def _access(self) -> GuestAccess:
        if isinstance(self._driver, GuestAccess):
            return self._driver
        raise self._cannot("reach into guests")

    def _cannot(self, what: str) -> UnsupportedError:
        brief = f"{self._address} cannot {what}"
        hint = "local: can, plain QEMU on this machine"
        return UnsupportedError(brief, hint=hint, kind="NotSupported")

    def _find(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs, each once however often it was named."""
        return tuple({vm.id: vm for vm in self._driver.find_vms(refs)}.values())

    def _sources(self, vms: Sequence[Vm]) -> frozenset[VmId]:
        return self._driver.observe_sources([vm.id for vm in vms])

    def _guarded(
        self, plan: Callable[[], Plan], *, confirm: Confirm | None, progress: Progress | None
    ) -> ActionReport:
        """Ask, then look again right before the first call: a person may take their time."""
        shown = plan()
        if confirm is not None and not confirm(shown):
            return ActionReport(endpoint=self._address)
        if confirm is not None and plan() != shown:
            raise RefusedError(
                "what depends on these VMs has changed meanwhile; nothing was done",
                hint="run the command again and look at what it shows",
            )
        return self._execute(shown, progress)

    def _execute(self, plan: Plan, progress: Progress | None) -> ActionReport:
        with self._log(uuid4().hex, progress) as log:
            names = tuple(dict.fromkeys(name_of(step) for step in plan.steps))
            log.begin(names, action_of(plan.steps[-1]) if plan.steps else "nothing")
            return Runner(self._driver, log).run(plan, endpoint=self._address)

    def _log(self, run: str, progress: Progress | None) -> RunLog:
        return RunLog(self._log_folder, run, progress or Silent())
