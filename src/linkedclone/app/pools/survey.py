"""Pools: look at one, and plan it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from linkedclone.app.clock import Clock, keep_time
from linkedclone.app.clone.guest_identities import settle
from linkedclone.drivers.rules.refusals import refuse_spares, require_field
from linkedclone.errors import InputError, RefusedError
from linkedclone.execution.member_health import HealthLook
from linkedclone.execution.outage import REAL, Pace
from linkedclone.model.pool import PoolPlan, PoolSpec
from linkedclone.model.pool_report import PoolOutlook, PoolRow, PoolStatus
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Snapshot, Vm
from linkedclone.planning.clone.snapshot_choice import choose_snapshot
from linkedclone.planning.clone.spec_digest import describe_shape
from linkedclone.planning.pool.instant import ForkImage, choose_image, refuse_blocked
from linkedclone.planning.pool.membership import (
    PoolIdentity,
    find_accepted,
    members_by_name,
    members_of,
    slot_of,
    state_of,
)
from linkedclone.planning.pool.plan import plan_pool
from linkedclone.planning.pool.requests import (
    Image,
    build_request,
    find_members,
    find_previous,
    say_missing,
)
from linkedclone.planning.pool.sight import PoolSight, on_image
from linkedclone.planning.pool.spares import find_ready
from linkedclone.planning.vms.guards import refuse_unread, refuse_unreadable

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting
    from linkedclone.model.guest import Secrets
    from linkedclone.model.request import CloneRequest, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolScene:
    """What was looked up once for a run.

    Attributes:
        spec: The pool.
        request: What its clones have in common.
        parent: The golden image.
        snapshot: What they are to depend on; None where instant clones are made of the
            parent as it runs, or have no snapshot yet.
        target: Where they go.
        instance: The endpoint's own id.
        asked: Clones that the user wants to recreate.
        absent: Clones to recreate that are not in the pool.
        accepted: Clones that belong to the pool though their marks do not say so yet.
        despite_unreadable: Whether clones go that VMs which cannot be read may depend on.
        blocked: Why no clone can be made now; None if it can.
        forks_snapshots: Whether its clones are forked from a snapshot with memory.
    """

    spec: PoolSpec
    request: CloneRequest
    parent: Vm
    snapshot: Snapshot | None
    target: Target
    instance: str
    asked: frozenset[VmId] = field(default_factory=frozenset)
    absent: tuple[str, ...] = ()
    accepted: frozenset[VmId] = field(default_factory=frozenset)
    despite_unreadable: bool = False
    blocked: RefusedError | None = None
    forks_snapshots: bool = False

    @property
    def identity(self) -> PoolIdentity:
        """What a clone has to fit to belong to the pool."""
        return PoolIdentity(
            spec=self.spec,
            parent=self.parent,
            place=self.target.folder_path,
            accepted=self.accepted,
            origin=(self.instance, self.target.folder),
        )

    @property
    def image(self) -> tuple[str, str]:
        """The names of parent and snapshot; the second is empty for the parent as it runs."""
        return self.parent.name, self.snapshot.name if self.snapshot else ""


class PoolSurvey:
    """Looks at the pools of one endpoint, and plans them."""

    def __init__(self, acting: Acting, *, pace: Pace = REAL, clock: Clock | None = None) -> None:
        self._driver = acting.driver
        self._acting = acting
        self._pace = pace
        self._clock = keep_time(acting.driver, clock)

    def survey(
        self,
        spec: PoolSpec,
        *,
        asked: Sequence[str] = (),
        everything: bool = False,
        secrets: Secrets = (),
        before: PoolSpec | None = None,
    ) -> PoolScene:
        """Look up what a pool is made of.

        Args:
            spec: The pool.
            asked: Clones that are to be made anew, by slot, name or UUID.
            everything: Whether all are to be made anew.
            secrets: The passwords of its customization.
            before: What the spec was, if a person has just changed it on purpose:
                the clones that belonged to the pool then do so still.

        Raises:
            InputError: The spec names what does not exist, or none of the clones
                that are asked for is in the pool.
        """
        request = build_request(spec, section=self._driver.features.pool_section)
        request = replace(request, secrets=secrets)
        (parent,) = self._driver.find_vms([spec.parent])
        image = self._choose_image(request, parent, spec.spares)
        request, snapshot = image.request, image.snapshot
        # Before anything goes: no clone seems to depend on what cannot be read.
        refuse_unread([parent], action="keep a pool of")
        if snapshot is not None:
            refuse_unreadable(parent, snapshot)
        target = self._driver.resolve_target(parent, request)
        if spec.customization is not None:
            # Before anything goes: whether each name makes a host name, and all secrets are there.
            request = replace(settle(replace(request, names=spec.slots)), names=())
        scene = PoolScene(
            spec=spec,
            request=request,
            parent=parent,
            snapshot=snapshot,
            target=target,
            instance=self._driver.identify().instance,
            blocked=image.blocked,
            forks_snapshots=spec.instant and self._driver.features.forks_snapshots,
        )
        if before is not None:
            inventory = self._driver.observe()
            found_before = self._identify_before(before)
            accepted = find_accepted(inventory, scene.identity, found_before, before.parent)
            scene = replace(scene, accepted=accepted)
        if not asked and not everything:
            return scene
        members = members_of(self._driver.observe(), scene.identity)
        found, absent = (members, ()) if everything else find_members(members, asked, spec)
        return replace(scene, asked=frozenset(vm.id for vm in found), absent=absent)

    def _choose_image(self, request: CloneRequest, parent: Vm, spares: int) -> ForkImage:
        features = self._driver.features
        if request.instant:
            require_field("instant", features)
            refuse_spares(spares, features)
            return choose_image(request, parent, forks_snapshots=features.forks_snapshots)
        snapshot = choose_snapshot(parent, request.snapshot)
        if snapshot is None:
            raise RefusedError(
                f"{parent.name} has no snapshot for a pool to use",
                hint=f"take one: ``snapshot create`` {parent.name} NAME",
            )
        return ForkImage(request=request, snapshot=snapshot)

    def look(self, scene: PoolScene, health: HealthLook, *, sizes: bool = False) -> PoolSight:
        """Observe a pool: one read of the inventory, and a look at each clone's health.

        Args:
            scene: What was looked up once.
            health: Who looks at the clones.
            sizes: Whether all sizes are wanted, too; else only those that the spec asks for.
        """
        spec = scene.spec
        inventory = self._driver.observe(sizes=sizes or spec.refresh_above is not None)
        members = members_of(inventory, scene.identity)
        return PoolSight(
            parent=scene.parent,
            snapshot=scene.snapshot,
            folder=scene.target.folder_path,
            shape=describe_shape(scene.request, scene.target),
            inventory=inventory,
            health=health.look(members),
            now=self._clock(),
            asked=scene.asked,
            accepted=scene.accepted,
            origin=scene.identity.origin,
            despite_unreadable=scene.despite_unreadable,
            blocked=scene.blocked,
        )

    def plan(self, scene: PoolScene) -> PoolOutlook:
        """Say what would be done."""
        sight = self.look(scene, self._health(scene))
        plan = plan_pool(scene.spec, sight)
        refuse_blocked(plan, scene.blocked)
        called = scene.spec.pool
        absent = tuple(f"{say_missing(called)}: {name}" for name in scene.absent)
        return self._outlook(scene, replace(plan, notes=(*plan.notes, *absent)))

    def status(self, scene: PoolScene) -> PoolStatus:
        """Return the state of each clone."""
        spec, health = scene.spec, self._health(scene)
        sight = self.look(scene, health, sizes=True)
        plan = plan_pool(spec, sight)
        rows = (_describe(vm, sight) for vm in sight.members(spec))
        return PoolStatus(
            endpoint=self._acting.address,
            pool=spec.pool,
            size=spec.size,
            seen=sight.now,
            image=scene.image,
            rows=tuple(sorted(rows, key=lambda row: (row.slot, row.name))),
            pending=len(plan.changes),
            spares=spec.spares,
            spares_ready=len(find_ready(spec, sight)),
            refused=plan.refused,
        )

    def previous(self, spec: PoolSpec) -> tuple[str, str]:
        """Return parent and snapshot of the image before the last recompose, as a file names them.

        By name, where the name is unique to one VM or snapshot; else by UUID
        and id. The parent is empty where it is the spec's own. The image of the spec
        may be gone: its clones know it by name still.

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
            marks = [vm.valid_mark for vm in self._members_before(spec)]
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
        image = find_previous(self._members_before(spec), spec.pool, current)
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
            f"the image that {spec.pool} used before no longer exists",
            details=f"parent {image.parent}, snapshot {image.snapshot}",
            hint="name another one: ``pool recompose`` FILE ``snapshot`` S",
        )

    def _identify(self, spec: PoolSpec) -> PoolIdentity:
        request = build_request(spec, section=self._driver.features.pool_section)
        (parent,) = self._driver.find_vms([spec.parent])
        target = self._driver.resolve_target(parent, request)
        origin = (self._driver.identify().instance, target.folder)
        return PoolIdentity(spec=spec, parent=parent, place=target.folder_path, origin=origin)

    def _identify_before(self, spec: PoolSpec) -> PoolIdentity | None:
        """Return what a pool was; None where its parent or place is not there any more."""
        try:
            return self._identify(spec)
        except (InputError, RefusedError):
            return None

    def _members_before(self, spec: PoolSpec) -> tuple[Vm, ...]:
        """Return the clones of a pool whose parent may be gone; they know it by name still."""
        inventory = self._driver.observe()
        identity = self._identify_before(spec)
        if identity is not None:
            return members_of(inventory, identity)
        return members_by_name(inventory, spec.pool)

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
