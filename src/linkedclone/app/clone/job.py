"""The main job: N clones of one parent, linked unless asked for otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from linkedclone.app.clone.guest_wait import await_guests, list_started
from linkedclone.app.clone.report import (
    build_report,
    describe_existing,
    describe_made,
    describe_started,
    describe_unsent,
    mark_failed,
    tell_sharing,
)
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.features import require_service
from linkedclone.errors import LinkedCloneError, UnsupportedError
from linkedclone.execution.clone_stage import Made
from linkedclone.execution.outage import REAL, Pace
from linkedclone.execution.progress import Progress
from linkedclone.execution.runner import Runner
from linkedclone.execution.stages import Landing
from linkedclone.model.plan import CreateClone, SetPower, Step, TakeSnapshot, WriteMark
from linkedclone.model.report import CloneReport, CloneResult, Stage, Status
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.values.document import NOT_TOLD, Document, told_by
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name, expand_names
from linkedclone.planning.clone.outcome import Fate
from linkedclone.planning.clone.parallelism import find_parallel
from linkedclone.planning.clone.plan import ClonePlan, ClonePlanner, Run, Scene, needs_inventory

if TYPE_CHECKING:
    from linkedclone.model.findings import HostCheck
    from linkedclone.model.vm import Vm
    from linkedclone.planning.clone.differences import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Document):
    """A batch that was looked up and planned, before anything is changed.

    Attributes:
        request: What is wanted.
        scene: What was looked up.
        plan: What is to be done.
    """

    request: CloneRequest = field(metadata=NOT_TOLD)
    scene: Scene = field(metadata=NOT_TOLD)
    plan: ClonePlan = field(metadata=told_by(lambda _, plan: plan.document()))

    @property
    def parts(self) -> Mapping[str, str]:
        """What a token covers, each part with the words for it; no name made of the time."""
        timed = self.scene.run.snapshot_name
        return {line.replace(timed, ""): words for line, words in self.plan.parts.items()}

    @property
    def wanted(self) -> Wanted:
        """What clones that are there already are compared with."""
        from linkedclone.planning.clone.differences import Wanted

        return Wanted(request=self.request, target=self.scene.target, snapshot=self.plan.snapshot)

    @property
    def creates(self) -> tuple[CreateClone, ...]:
        """The clones that are to be made."""
        return tuple(step for step in self.plan.steps if isinstance(step, CreateClone))


def prepare(driver: Driver, request: CloneRequest) -> Prepared:
    """Look everything up once and plan the batch. Changes nothing.

    Raises:
        InputError: The request is malformed or names what does not exist.
        RefusedError: A promise would be broken; nothing was sent.
    """
    request = replace(request, names=expand_names(request.names))
    if request.wait is not Wait.TASK or request.network_filter:
        from linkedclone.planning.guests.stages import check_wait

        check_wait(request, customizes_always=driver.features.customizes_always)
    if request.macs:
        from linkedclone.planning.clone.macs import settle_macs

        request = settle_macs(request)
    if request.snapshot.kind == "new" and request.snapshot.name:
        check_name(request.snapshot.name)
    if request.customization is not None:
        from linkedclone.app.clone.guest_identities import settle

        request = settle(request)
    (source,) = driver.without_guests().find_vms([request.parent])
    if request.instant:
        from linkedclone.drivers.rules.refusals import require_field
        from linkedclone.planning.clone.instant import settle_instant

        require_field("instant", driver.features)
        forks_snapshots = driver.features.forks_snapshots
        request = settle_instant(request, source, forks_snapshots=forks_snapshots)
    scene = _resolve(driver, request, source)
    plan = ClonePlanner(request=request, scene=scene).plan()
    prepared = Prepared(request=request, scene=scene, plan=plan)
    for finding in driver.check(prepared.creates):
        raise finding
    return prepared


def _resolve(driver: Driver, request: CloneRequest, source: Vm) -> Scene:
    """Look up all that the plan is made of."""
    target = driver.resolve_target(source, request)
    # A folder that is yet to be made holds nothing.
    there = () if target.new_folder else driver.observe_names(target, request.names)
    some_missing = len({vm.name.casefold() for vm in there}) < len(request.names)
    return Scene(
        source=source,
        target=target,
        identity=driver.identify(),
        run=Run(
            id=uuid4().hex,
            version=__version__,
            snapshot_name=f"linkedclone-{datetime.now(UTC):%Y%m%d-%H%M%S}",
        ),
        there=there,
        vms=driver.observe().vms if some_missing and needs_inventory(request) else (),
    )


def check(driver: Driver, prepared: Prepared) -> tuple[HostCheck, ...]:
    """Let the hypervisor itself look at the first clone of the batch that goes to each place.

    The clones of a batch differ in nothing else that it could refuse.

    Raises:
        UnsupportedError: It has no such check, or the snapshot is yet to be taken.
    """
    checker = require_service(
        driver.services.checker,
        driver.features,
        "check clones by itself",
        hint="leave ``server_check`` out: the dry run still shows the requests",
    )
    if any(isinstance(step, TakeSnapshot) for step in prepared.plan.steps):
        raise UnsupportedError(
            "the server cannot check a clone of a snapshot that is yet to be taken",
            hint="take it first: ``snapshot create``",
            kind="NotSupported",
        )
    first = {(step.target.datastore, step.target.host): step for step in reversed(prepared.creates)}
    return tuple(found for step in first.values() for found in checker.check_clone(step))


def preview(driver: Driver, prepared: Prepared) -> tuple[Mapping[str, object], ...]:
    """Return the request of every clone exactly as it would be sent, as plain data."""
    return tuple(driver.preview_clone(step) for step in prepared.creates)


def planned_report(prepared: Prepared, endpoint: str) -> CloneReport:
    """Return the report of a dry run: nothing was made."""
    results = {
        step.name: CloneResult(
            name=step.name,
            status=Status.PLANNED,
            uuid=step.uuid,
            parent=prepared.scene.source.name,
            snapshot=prepared.plan.snapshot_name,
        )
        for step in prepared.creates
    } | {vm.name: describe_existing(prepared, vm) for vm in prepared.plan.existing}
    report = build_report(prepared, endpoint, results, seconds=0.0)
    return replace(report, notes=prepared.plan.notes)


class CloneJob:
    """Carries a prepared batch out."""

    def __init__(
        self, driver: Driver, prepared: Prepared, progress: Progress, pace: Pace = REAL
    ) -> None:
        self._driver = driver
        self._prepared = prepared
        self._progress = progress
        parallel = find_parallel(
            default=driver.features.parallel,
            hosts=prepared.scene.target.hosts,
            disk_move=prepared.request.disk_move,
            wanted=prepared.request.parallel,
        )
        self._runner = Runner(driver, progress, parallel, pace=pace)

    def run(self, endpoint: str) -> CloneReport:
        """Make the clones, prove each, wait as far as asked, and report.

        Raises:
            LinkedCloneError: The snapshot that all depend on could not be
                taken, or the folder that they go into not be made.
        """
        begun = time.monotonic()
        prepared = self._prepared
        self._progress.begin(prepared.request.names, "clone")
        landings = self._runner.carry_out(prepared.plan).landings
        made = [landing for landing in landings if isinstance(landing, Made)]
        results = self._describe(landings)
        clashed, clashes = self._find_clashes(results)
        results = self._wait_for_guests(results | clashed, made)
        return replace(
            build_report(prepared, endpoint, results, seconds=time.monotonic() - begun),
            interrupted=self._runner.interrupted,
            notes=(
                *prepared.plan.notes,
                *tell_sharing([m.vm for m in made if m.vm and not m.item.disk_move.linked]),
                *self._unused_snapshot(made),
                *clashes,
            ),
        )

    def _describe(self, landings: Sequence[Landing[Step]]) -> dict[str, CloneResult]:
        """Return what became of each clone, by name."""
        prepared = self._prepared
        results = {
            vm.name.casefold(): describe_existing(prepared, vm) for vm in prepared.plan.existing
        } | {step.name.casefold(): describe_unsent(step, self._runner) for step in prepared.creates}
        for landing in landings:
            key = landing.item.about.casefold()
            if isinstance(landing, Made):
                results[key] = describe_made(landing, prepared)
            elif isinstance(landing.item, SetPower):
                results[key] = describe_started(results[key], landing)
            elif isinstance(landing.item, WriteMark) and landing.error:
                results[key] = mark_failed(results[key], Stage.CLONE, landing.error)
        return results

    def _find_clashes(
        self, results: Mapping[str, CloneResult]
    ) -> tuple[dict[str, CloneResult], tuple[str, ...]]:
        """Look once more whether the addresses that were given out are single."""
        wanted = self._prepared.request.customization
        if wanted is None or not wanted.gives_addresses or self._runner.interrupted:
            return {}, ()
        from linkedclone.app.clone.guest_identities import tell_clashes

        try:
            vms = self._driver.observe().vms
        except LinkedCloneError as error:
            return {}, (f"could not check whether another VM has one of the addresses: {error}",)
        return tell_clashes(results, vms)

    def _unused_snapshot(self, made: Sequence[Made]) -> tuple[str, ...]:
        """Tell of a snapshot that this run took and that nothing of its own depends on."""
        taken = [step for step in self._prepared.plan.steps if isinstance(step, TakeSnapshot)]
        used = any(m.verdict.fate in {Fate.CREATED, Fate.KEPT} for m in made)
        if not taken or used or self._runner.interrupted:
            return ()
        name, parent = taken[0].name, taken[0].vm_name
        return (
            f"the new snapshot {name!r} of {parent} was kept, though no clone of this run uses it",
        )

    def _wait_for_guests(
        self, results: dict[str, CloneResult], made: Sequence[Made]
    ) -> dict[str, CloneResult]:
        """Follow the guests, those of other runs' clones too, as far as was asked for."""
        if self._runner.interrupted:
            return results
        now = self._runner.pace.now()
        started = list_started(self._prepared.plan.existing, made, now)
        request = self._prepared.request
        results, interrupted = await_guests(self._runner, request, results, started)
        self._runner.interrupted |= interrupted
        return results
