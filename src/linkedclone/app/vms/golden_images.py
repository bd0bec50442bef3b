"""Check a golden image, and mend of it what is asked for."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from linkedclone.app.proposal import Acting, Proposal
from linkedclone.drivers.features import require_steps
from linkedclone.errors import InterruptedByUserError
from linkedclone.execution.outage import REAL, Cancellation, Pace
from linkedclone.execution.progress import Progress
from linkedclone.model.findings import Finding, ParentReport, Verdict
from linkedclone.model.plan import Plan, Step, WriteMark
from linkedclone.model.report import ActionResult, Failure, Status
from linkedclone.model.request import Mending
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.golden_image import examine_parent, plan_mending


class Parents:
    """Looks after golden images of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._driver = acting.driver
        self._acting = acting

    def prepare(
        self, ref: str, mending: Mending, *, progress: Progress | None = None
    ) -> ParentReport:
        """Mend what is asked for, then check the VM: :meth:`propose_prepare`, and do it."""
        return self.propose_prepare(ref, mending).carry_out(progress)

    def propose_prepare(self, ref: str, mending: Mending) -> Proposal[Plan, ParentReport]:
        """Propose to mend what is asked for of a golden image, and then to check it.

        Raises:
            InputError: The snapshot's name is not one.
            NotFoundError, AmbiguousError: The VM is not found.
            RefusedError: A template was to be snapshotted, or an older snapshot
                has that name.
            UnsupportedError: Drives cannot be emptied at this endpoint.
        """
        if mending.snapshot:
            check_name(mending.snapshot)
        vms: list[Vm] = []

        def look() -> Plan:
            vms[:] = self._driver.find_vms([ref])
            plan = plan_mending(vms[0], mending, version=__version__)
            require_steps(self._driver.features, plan.steps)
            return plan

        def act(plan: Plan, progress: Progress | None, cancel: Cancellation) -> ParentReport:
            pace = cancel.govern(REAL)
            return self._mend(vms[0], plan, partial(self._do, progress=progress, pace=pace))

        return Proposal(look, act, instance=self._acting.instance)

    def _mend(self, vm: Vm, plan: Plan, do: Callable[[Step], ActionResult]) -> ParentReport:
        """Do one after the other, until one fails; without its mark an image is as good."""
        mended, owned = list[ActionResult](), list[Finding]()
        for step in plan.steps:
            result = do(step)
            if isinstance(step, WriteMark):
                owned.append(_describe_mark(vm, result.error))
                continue
            mended.append(result)
            if result.status is not Status.DONE:
                break
        if mended:
            (vm,) = self._driver.find_vms([vm.uuid])
        images = self._driver.services.golden_images
        native = images.examine_parent(vm.id) if images is not None else ()
        findings = (*examine_parent(vm), *_stale(vm, mended), *owned, *native)
        return ParentReport(
            endpoint=self._acting.address, name=vm.name, findings=findings, mended=tuple(mended)
        )

    def _do(self, step: Step, *, progress: Progress | None, pace: Pace) -> ActionResult:
        report = self._acting.carry_out(Plan(stages=((step,),)), progress, pace=pace)
        (result,) = report.results
        if report.interrupted:
            brief = f"interrupted: {result.action} of {result.name}"
            hint = "run the same command again: what is done by then is left out"
            raise InterruptedByUserError(brief, details=result.note, hint=hint)
        return result


def _describe_mark(vm: Vm, error: Failure | None) -> Finding:
    return Finding(
        check="owner",
        verdict=Verdict.WARNING if error else Verdict.OK,
        text=f"it could not be marked as ours: {error.brief}"
        if error
        else "linkedclone made it ready, so it is ours: it needs no ``force``",
        remedy=f"``adopt`` {vm.name}" if error else "",
    )


def _stale(vm: Vm, mended: Sequence[ActionResult]) -> Iterator[Finding]:
    """Report that clones have the snapshot's hardware [fact: vs-snapshot-hardware]."""
    done = [one.action for one in mended if one.status is Status.DONE]
    if "disconnect-media" in done and "snapshot" not in done and vm.snapshots:
        yield Finding(
            check="snapshot",
            verdict=Verdict.WARNING,
            text="its snapshots are older than what was mended, and clones have their hardware",
            remedy="take a new one with ``snapshot`` NAME",
        )
