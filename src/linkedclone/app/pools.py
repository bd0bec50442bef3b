"""Pools: look at one, plan it, and bring it to its spec, wave by wave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from linkedclone.app.customizing import settle
from linkedclone.errors import InputError, RefusedError
from linkedclone.execution.health import HealthLook
from linkedclone.execution.outage import REAL, Pace
from linkedclone.model.ids import VmId
from linkedclone.model.names import list_names
from linkedclone.model.observed import Snapshot, Vm
from linkedclone.model.pool import PoolPlan, PoolSpec
from linkedclone.model.poolreport import PoolOutlook, PoolReport, PoolRow, PoolStatus
from linkedclone.model.report import ActionReport
from linkedclone.planning.pool import (
    PoolSight,
    members_of,
    on_image,
    plan_pool,
    slot_of,
    state_of,
)
from linkedclone.planning.poolwork import Image, build_request, find_members, find_previous
from linkedclone.planning.shape import describe_shape
from linkedclone.planning.snapshots import choose_snapshot

if TYPE_CHECKING:
    from linkedclone.app.acting import Acting, Confirm
    from linkedclone.drivers.base import Driver
    from linkedclone.execution.progress import Progress
    from linkedclone.model.guest import Secrets
    from linkedclone.model.spec import CloneRequest, Target

ConfirmPool = Callable[[PoolOutlook], bool]
"""Shown what would be done; True lets it be done."""

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolScene:
    """What was looked up once for a run.

    Attributes:
        spec: The pool.
        request: What its clones have in common.
        parent: The golden image.
        snapshot: What they are to hang from.
        target: Where they go.
        asked: Clones that somebody wants made anew.
    """

    spec: PoolSpec
    request: CloneRequest
    parent: Vm
    snapshot: Snapshot
    target: Target
    asked: frozenset[VmId] = field(default_factory=frozenset)

    @property
    def image(self) -> tuple[str, str]:
        """The names of parent and snapshot."""
        return self.parent.name, self.snapshot.name


class Pools:
    """Pools of one endpoint; :class:`~linkedclone.app.connection.Connection` hands them out."""

    def __init__(
        self, driver: Driver, acting: Acting, *, pace: Pace = REAL, clock: Clock = _now
    ) -> None:
        self._driver = driver
        self._acting = acting
        self._pace = pace
        self._clock = clock

    # -- looking ----------------------------------------------------------------------

    def survey(
        self,
        spec: PoolSpec,
        *,
        asked: Sequence[str] = (),
        everything: bool = False,
        secrets: Secrets = (),
    ) -> PoolScene:
        """Look up what a pool is made of.

        Args:
            spec: The pool.
            asked: Clones that are to be made anew, by slot, name or UUID.
            everything: Whether all are to be made anew.
            secrets: The passwords of its customization.

        Raises:
            InputError: The spec names what does not exist, or asks for clones
                that are not in the pool.
        """
        request = build_request(spec, section=self._driver.section)
        request = replace(request, secrets=secrets)
        (parent,) = self._driver.find_vms([spec.parent])
        snapshot = choose_snapshot(parent, request.snapshot)
        if snapshot is None:
            raise RefusedError(
                f"{parent.name} has no snapshot that a pool could hang from",
                hint=f"take one: linkedclone snapshot create {parent.name} NAME",
            )
        target = self._driver.resolve_target(parent, request)
        if spec.customization is not None:
            # Before anything goes: whether each name makes a host name, and all secrets are there.
            settle(replace(request, names=spec.slots))
        scene = PoolScene(
            spec=spec, request=request, parent=parent, snapshot=snapshot, target=target
        )
        if not asked and not everything:
            return scene
        members = members_of(self._driver.observe(), spec.pool)
        # A clone that is missing is made anew anyway.
        found = (
            members if everything else find_members(members, asked, spec.pool, making=spec.slots)
        )
        return replace(scene, asked=frozenset(vm.id for vm in found))

    def look(self, scene: PoolScene, health: HealthLook, *, sizes: bool = False) -> PoolSight:
        """See how a pool stands: one read of the inventory, and a look at each clone's health.

        Args:
            scene: What was looked up once.
            health: Who looks at the clones.
            sizes: Whether all sizes are wanted, too; else only those that the spec asks for.
        """
        spec = scene.spec
        inventory = self._driver.observe(sizes=sizes or spec.refresh_above is not None)
        members = members_of(inventory, spec.pool)
        return PoolSight(
            parent=scene.parent,
            snapshot=scene.snapshot,
            folder=scene.target.folder_path,
            shape=describe_shape(scene.request),
            inventory=inventory,
            health=health.look(members),
            now=self._clock(),
            asked=scene.asked,
        )

    def plan(self, scene: PoolScene) -> PoolOutlook:
        """Say what would be done."""
        sight = self.look(scene, self._health(scene))
        return self._outlook(scene, plan_pool(scene.spec, sight))

    def status(self, scene: PoolScene) -> PoolStatus:
        """Say how each clone stands."""
        spec, health = scene.spec, self._health(scene)
        sight = self.look(scene, health, sizes=True)
        plan = plan_pool(spec, sight)
        rows = (_describe(vm, sight) for vm in members_of(sight.inventory, spec.pool))
        return PoolStatus(
            endpoint=self._acting.address,
            pool=spec.pool,
            size=spec.size,
            image=scene.image,
            rows=tuple(sorted(rows, key=lambda row: (row.slot, row.name))),
            pending=len(plan.changes),
        )

    def previous(self, scene: PoolScene) -> tuple[str, str]:
        """Return parent and snapshot of the image before the last recompose, as a file names them.

        By name, where a name stands for one VM or snapshot alone; else by UUID
        and id. The parent is empty where it is the spec's own.

        Raises:
            RefusedError: No clone knows of one, or it is not there any more.
        """
        current = Image(parent=scene.parent.uuid, snapshot=scene.snapshot.id)
        return self._find_previous(scene.spec, scene.parent, current)

    def previous_of(self, spec: PoolSpec) -> tuple[str, str]:
        """Return what :meth:`previous` does, also where the image of the spec is gone.

        A broken snapshot may have been deleted by hand, and its clones know it
        by name still.

        Raises:
            RefusedError: No clone knows of an image before, or it is not there any more.
        """
        parent: Vm | None = None
        try:
            (parent,) = self._driver.find_vms([spec.parent])
            snapshot = choose_snapshot(parent, build_request(spec, section="").snapshot)
        except (InputError, RefusedError):
            snapshot = None
        if parent is not None and snapshot is not None:
            current = Image(parent=parent.uuid, snapshot=snapshot.id)
        else:
            marks = [vm.valid_mark for vm in members_of(self._driver.observe(), spec.pool)]
            current = next(
                (
                    Image(parent=mark.parent_uuid, snapshot=mark.snapshot)
                    for mark in marks
                    if mark and spec.snapshot in {mark.snapshot, mark.snapshot_name}
                ),
                Image(parent="", snapshot=""),
            )
        return self._find_previous(spec, parent, current)

    def _find_previous(self, spec: PoolSpec, wanted: Vm | None, current: Image) -> tuple[str, str]:
        inventory = self._driver.observe()
        image = find_previous(members_of(inventory, spec.pool), spec.pool, current)
        parents = [vm for vm in inventory.vms if vm.uuid == image.parent]
        for parent in parents:
            for snapshot in parent.snapshots:
                if snapshot.id == image.snapshot:
                    same = [s for s in parent.snapshots if s.name == snapshot.name]
                    named = snapshot.name if len(same) == 1 else snapshot.id
                    if wanted is not None and parent.id == wanted.id:
                        return "", named
                    called = [vm for vm in inventory.vms if vm.name == parent.name]
                    return parent.name if len(called) == 1 else parent.uuid, named
        raise RefusedError(
            f"the image that {spec.pool} hung from before is not there any more",
            details=f"parent {image.parent}, snapshot {image.snapshot}",
            hint="name another one: linkedclone pool recompose FILE --snapshot S",
        )

    # -- changing ---------------------------------------------------------------------

    def apply(
        self,
        scene: PoolScene,
        *,
        confirm: ConfirmPool | None = None,
        progress: Progress | None = None,
    ) -> PoolReport:
        """Bring a pool to its spec; see :class:`~linkedclone.app.poolrun.PoolRun`."""
        from linkedclone.app.poolrun import PoolRun

        if confirm is not None:
            outlook = self.plan(scene)
            if not outlook.plan.empty and not confirm(outlook):
                return PoolReport(
                    endpoint=self._acting.address, pool=scene.spec.pool, image=scene.image
                )
        run = PoolRun(self._driver, self._acting, self, scene, pace=self._pace, clock=self._clock)
        return run.run(progress)

    def hold(
        self, pool: str, names: Sequence[str], reason: str, progress: Progress | None = None
    ) -> ActionReport:
        """Keep clones from being changed, or let them go again with an empty reason."""
        from linkedclone.app.poolholds import set_hold

        return set_hold(self._driver, self._acting, pool, names, reason, progress)

    def delete(
        self,
        pool: str,
        *,
        force: bool = False,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete all clones of a pool behind the guards; held ones only with force."""
        from linkedclone.app.changing import Changes
        from linkedclone.model.spec import Deletion

        members = members_of(self._driver.observe(), pool)
        held = [vm.name for vm in members if state_of(vm).hold]
        if held and not force:
            raise RefusedError(
                f"{len(held)} of the pool {pool} are held: {list_names(held)}",
                hint="release them first: linkedclone pool release; or delete them with --force",
            )
        if not members:
            return ActionReport(endpoint=self._acting.address)
        return Changes(self._driver, self._acting).delete(
            [vm.uuid for vm in members],
            Deletion(force=force),
            confirm=confirm,
            progress=progress,
        )

    # -- inside -----------------------------------------------------------------------

    def _health(self, scene: PoolScene) -> HealthLook:
        return HealthLook(
            self._driver,
            scene.spec,
            secrets=scene.request.secrets,
            pace=self._pace,
            clock=self._clock,
        )

    def _outlook(self, scene: PoolScene, plan: PoolPlan) -> PoolOutlook:
        return PoolOutlook(
            endpoint=self._acting.address,
            pool=scene.spec.pool,
            image=scene.image,
            plan=plan,
        )


def _describe(vm: Vm, sight: PoolSight) -> PoolRow:
    state, mark = state_of(vm), vm.valid_mark
    found = sight.health.get(vm.id)
    return PoolRow(
        slot=slot_of(vm),
        name=vm.name,
        id=vm.id,
        power=vm.power,
        fitness=sight.fitness(vm),
        reason=found.reason if found else "",
        image=mark.snapshot_name if mark else "",
        current=on_image(vm, sight),
        own_bytes=vm.own_bytes,
        created=vm.created,
        hold=state.hold,
        in_use=bool(found and found.in_use),
        failures=state.failures,
        addresses=vm.addresses,
    )
