"""Check a golden image, and mend of it what is asked for."""

from collections.abc import Iterator

from linkedclone.app.proposal import Acting
from linkedclone.drivers.features import require
from linkedclone.errors import InterruptedByUserError, RefusedError
from linkedclone.execution.progress import Progress
from linkedclone.model.findings import Finding, ParentReport, Verdict
from linkedclone.model.plan import DisconnectMedia, Plan, SetPower, WriteMark
from linkedclone.model.report import ActionResult, Status
from linkedclone.model.request import DEFAULT_OWNER, Mending
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name
from linkedclone.model.vm import Mark, Power, Vm
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from linkedclone.planning.vms.golden_image import examine_parent
from linkedclone.planning.vms.snapshots_and_disks import plan_create_snapshot


class Parents:
    """Looks after golden images of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._driver = acting.driver
        self._acting = acting

    def prepare(
        self, ref: str, mending: Mending, *, progress: Progress | None = None
    ) -> ParentReport:
        """Mend what is asked for, then check the VM.

        Raises:
            InputError: The snapshot's name is not one.
            NotFoundError, AmbiguousError: The VM is not found.
            RefusedError: A template was to be snapshotted, or an older snapshot
                has that name.
            UnsupportedError: Drives cannot be emptied at this endpoint.
            InterruptedByUserError: The user interrupted it.
        """
        if mending.snapshot:
            check_name(mending.snapshot)
        (vm,) = self._driver.find_vms([ref])
        images = self._driver.services.golden_images
        if mending.disconnect_media:
            require(self._driver.features, DisconnectMedia)
        _check_snapshot(vm, mending.snapshot)
        mended = tuple(self._mend(vm, mending, progress))
        owned: tuple[Finding, ...] = ()
        if _needs_snapshot(vm, mending) and all(one.status is Status.DONE for one in mended):
            # In this order: a VM that is reverted to the snapshot stays ours.
            owned = tuple(self._make_ours(vm, progress))
            plan = plan_create_snapshot(vm, mending.snapshot, SNAPSHOT_NOTE)
            mended = (*mended, self._carry_out(plan, progress))
        if mended:
            (vm,) = self._driver.find_vms([vm.uuid])
        native = images.examine_parent(vm.id) if images is not None else ()
        findings = (*examine_parent(vm), *_stale(vm, mended), *owned, *native)
        return ParentReport(
            endpoint=self._acting.address, name=vm.name, findings=findings, mended=mended
        )

    def _mend(self, vm: Vm, mending: Mending, progress: Progress | None) -> Iterator[ActionResult]:
        """Mend what the snapshot, which comes after, is to hold."""
        if mending.power_off and vm.power is not Power.OFF:
            step = SetPower(vm=vm.id, vm_name=vm.name, power=Power.OFF)
            result = self._carry_out(Plan(stages=((step,),)), progress)
            yield result
            if result.status is not Status.DONE:
                return
        if mending.disconnect_media:
            empty = DisconnectMedia(vm=vm.id, vm_name=vm.name)
            yield self._carry_out(Plan(stages=((empty,),)), progress)

    def _make_ours(self, vm: Vm, progress: Progress | None) -> Iterator[Finding]:
        """Mark a golden image that is made ready as ours, so that it needs no --force any more.

        Without the privilege for it the image is as good to clone from.
        """
        if vm.owner is not None:
            return
        mark = Mark(owner=DEFAULT_OWNER, uuid=vm.uuid, version=__version__)
        step = WriteMark(vm=vm.id, vm_name=vm.name, mark=mark, seen=vm.mark)
        error = self._carry_out(Plan(stages=((step,),)), progress).error
        yield Finding(
            check="owner",
            verdict=Verdict.WARNING if error else Verdict.OK,
            text=f"it could not be marked as ours: {error.brief}"
            if error
            else "linkedclone made it ready, so it is ours: it needs no ``force``",
            remedy=f"``adopt`` {vm.name}" if error else "",
        )

    def _carry_out(self, plan: Plan, progress: Progress | None) -> ActionResult:
        report = self._acting.carry_out(plan, progress)
        (result,) = report.results
        if report.interrupted:
            brief = f"interrupted: {result.action} of {result.name}"
            hint = "run the same command again: what is done by then is left out"
            raise InterruptedByUserError(brief, details=result.note, hint=hint)
        return result


def _needs_snapshot(vm: Vm, mending: Mending) -> bool:
    return bool(mending.snapshot) and not _current_is(vm, mending.snapshot)


def _current_is(vm: Vm, name: str) -> bool:
    return any(one.current and one.name == name for one in vm.snapshots)


def _check_snapshot(vm: Vm, name: str) -> None:
    """Refuse a snapshot that cannot be taken, before anything else is mended."""
    if not name or _current_is(vm, name):
        return
    if any(one.name == name for one in vm.snapshots):
        raise RefusedError(
            f"{vm.name} has an older snapshot called {name!r}, which is not current",
            hint="give the new one another name",
        )
    plan_create_snapshot(vm, name, SNAPSHOT_NOTE)


def _stale(vm: Vm, mended: tuple[ActionResult, ...]) -> Iterator[Finding]:
    """Report that clones have the snapshot's hardware [fact: vs-snapshot-hardware]."""
    done = [one.action for one in mended if one.status is Status.DONE]
    if "disconnect-media" in done and "snapshot" not in done and vm.snapshots:
        yield Finding(
            check="snapshot",
            verdict=Verdict.WARNING,
            text="its snapshots are older than what was mended, and clones have their hardware",
            remedy="take a new one with ``snapshot`` NAME",
        )
