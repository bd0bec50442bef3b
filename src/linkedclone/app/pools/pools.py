"""Pools: look at one, plan it, and bring it to its spec, wave by wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

from linkedclone.app.clock import Clock, keep_time
from linkedclone.app.clone.guest_identities import settle
from linkedclone.app.pools.results import tell_absent
from linkedclone.app.proposal import Proposal
from linkedclone.drivers.rules.refusals import require_field
from linkedclone.errors import InputError, LinkedCloneError, RefusedError
from linkedclone.execution.member_health import HealthLook
from linkedclone.execution.outage import REAL, Cancellation, Pace
from linkedclone.model.plan import Plan
from linkedclone.model.pool import PoolPlan, PoolSpec, Stranger
from linkedclone.model.pool_report import PoolOutlook, PoolReport, PoolRow, PoolStatus
from linkedclone.model.report import ActionReport
from linkedclone.model.request import SnapshotChoice
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Snapshot, Vm
from linkedclone.planning.clone.snapshot_choice import choose_snapshot
from linkedclone.planning.clone.spec_digest import describe_shape
from linkedclone.planning.pool.instant import ForkImage, choose_image, refuse_blocked
from linkedclone.planning.pool.membership import (
    PoolIdentity,
    advise_on,
    choose_to_adopt,
    find_accepted,
    find_strangers,
    members_by_name,
    members_of,
    slot_of,
    state_of,
)
from linkedclone.planning.pool.plan import PoolSight, on_image, plan_pool
from linkedclone.planning.pool.requests import (
    NOT_A_MEMBER,
    Image,
    build_request,
    find_members,
    find_previous,
    match_members,
    refuse_missing,
    say_missing,
)
from linkedclone.planning.vms.guards import refuse_unread, refuse_unreadable

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting, Care
    from linkedclone.execution.progress import Progress
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


class Pools:
    """Pools of one endpoint; :class:`~linkedclone.app.connection.Connection` hands them out."""

    def __init__(self, acting: Acting, *, pace: Pace = REAL, clock: Clock | None = None) -> None:
        self._driver = acting.driver
        self._acting = acting
        self._pace = pace
        self._clock = keep_time(acting.driver, clock)

    # -- looking ----------------------------------------------------------------------

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
        image = self._choose_image(request, parent)
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

    def _choose_image(self, request: CloneRequest, parent: Vm) -> ForkImage:
        features = self._driver.features
        if request.instant:
            require_field("instant", features)
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

    # -- changing ---------------------------------------------------------------------

    def refuse_resting(self, scene: PoolScene) -> None:
        """Make sure that a snapshot with memory can be taken of the parent: it has to run.

        Raises:
            RefusedError: It does not run.
        """
        from linkedclone.planning.clone.instant import settle_instant

        new = replace(scene.request, snapshot=SnapshotChoice(kind="new"))
        settle_instant(new, scene.parent, forks_snapshots=True)

    def take_image(self, scene: PoolScene, progress: Progress | None = None) -> str:
        """Take a snapshot with memory of a pool's parent as it runs; return its name.

        Raises:
            RefusedError: The parent does not run.
            LinkedCloneError: It could not be taken.
        """
        from linkedclone.app.vms.snapshots import Snapshots
        from linkedclone.planning.clone.plan import SNAPSHOT_NOTE

        self.refuse_resting(scene)
        taken = {snapshot.name for snapshot in scene.parent.snapshots}
        stem = f"{scene.spec.pool}-{self._clock():%Y%m%d-%H%M%S}"
        names = (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3)))
        name = next(name for name in names if name not in taken)
        snapshots = Snapshots(self._acting)
        (result,) = snapshots.create(
            scene.parent.uuid, name, description=SNAPSHOT_NOTE, memory=True, progress=progress
        ).results
        if result.error is not None:
            error = result.error
            raise LinkedCloneError(error.brief, details=error.details, hint=error.hint)
        return name

    def apply(self, scene: PoolScene, *, progress: Progress | None = None) -> PoolReport:
        """Bring a pool to its spec, without a look at all that this takes; see ``PoolRun``."""
        return self._run(scene, progress, Cancellation())

    def propose_apply(self, scene: PoolScene) -> Proposal[PoolOutlook, PoolReport]:
        """Propose to bring a pool to its spec.

        The token covers what is done to which clone, not why. The run goes on from
        there: it looks again before each wave of changes, and does what is due then.
        """

        def act(_: PoolOutlook, progress: Progress | None, cancel: Cancellation) -> PoolReport:
            return self._run(scene, progress, cancel)

        return Proposal(partial(self.plan, scene), act, instance=self._acting.instance)

    def _run(self, scene: PoolScene, progress: Progress | None, cancel: Cancellation) -> PoolReport:
        from linkedclone.app.pools.run import PoolRun

        run = PoolRun(self, self._acting, scene, cancel, pace=self._pace, clock=self._clock)
        return tell_absent(run.run(progress), scene.absent)

    def keep(self, scene: PoolScene, progress: Progress | None = None) -> None:
        """Write into the marks that clones belong to a pool whose file was changed on purpose.

        Before the file is written: whichever of the two a stop leaves undone, no
        run takes these clones for those of another pool and deletes them.

        Raises:
            BusyError: Another run works on the pool.
            LinkedCloneError: Some marks could not be written.
        """
        from linkedclone.app.pools.holds import write_states

        vms = [vm for vm in self._driver.observe().vms if vm.id in scene.accepted]
        self._refuse_busy(vms, scene.spec.pool)
        identity = scene.identity
        report = write_states(self._acting, vms, lambda vm: identity.sign(state_of(vm)), progress)
        failed = [result for result in report.results if result.error]
        if failed:
            names = list_names([result.name for result in failed])
            raise LinkedCloneError(
                f"the marks of {render_count(len(failed), 'clone')} could not be written: {names}",
                details="; ".join(r.error.brief for r in failed if r.error),
                hint="nothing else was changed; run the command again",
            )

    def adopt(
        self, spec: PoolSpec, names: Sequence[str] = (), progress: Progress | None = None
    ) -> ActionReport:
        """Take clones into a pool that bear its name and do not fit its file.

        Clones that fit the file already are left alone, and names that fit no
        clone are reported as failed: an interrupted command can be repeated.

        Args:
            spec: The pool.
            names: Which, by name, path or UUID; empty for all that do not fit.
            progress: The progress listener.

        Raises:
            BusyError: Another run works on them.
            RefusedError: No name fits a clone, or one fits several.
        """
        from linkedclone.app.pools.holds import write_states
        from linkedclone.app.vms.presence import Found

        identity = self._identify(spec)
        inventory = self._driver.observe()
        vms, missing = choose_to_adopt(inventory, identity, names)
        self._refuse_busy(vms, spec.pool)
        report = write_states(
            self._acting,
            vms,
            lambda vm: (
                state_of(vm)
                if identity.fits(vm)
                else identity.sign(replace(state_of(vm), slot=slot_of(vm)))
            ),
            progress,
        )
        why = (f"not a clone that bears the name of the pool {spec.pool}", NOT_A_MEMBER)
        return Found(vms=vms, absent=missing, action="mark", failure=why).tell(report)

    def _refuse_busy(self, vms: Sequence[Vm], pool: str) -> None:
        from linkedclone.app.pools.lock import refuse_claimed

        refuse_claimed(vms, pool, self._clock())

    def hold(
        self,
        pool: PoolSpec | str,
        names: Sequence[str],
        reason: str,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Keep clones from being changed, or let them go again with an empty reason.

        Names that are not in the pool are reported as failed beside the others.

        Raises:
            InputError: None of them is in the pool.
            RefusedError: No more than a name was given, and several pools have it.
        """
        from linkedclone.app.pools.holds import set_hold
        from linkedclone.app.vms.presence import Found

        members, _ = self._find_members(pool)
        called = pool if isinstance(pool, str) else pool.pool
        vms, missing = match_members(members, names) if names else (members, ())
        if not vms:
            refuse_missing(missing, called)
        why = (say_missing(called), NOT_A_MEMBER)
        report = set_hold(self._acting, vms, reason, progress)
        return Found(vms=vms, absent=missing, action="mark", failure=why).tell(report)

    def delete(
        self, pool: PoolSpec | str, *, progress: Progress | None = None, **care: Unpack[Care]
    ) -> ActionReport:
        """Delete all clones of a pool: :meth:`propose_delete`, and do it."""
        return self.propose_delete(pool, **care).carry_out(progress)

    def propose_delete(
        self, pool: PoolSpec | str, **care: Unpack[Care]
    ) -> Proposal[Plan, ActionReport]:
        """Propose to delete all clones of a pool behind the guards; held ones only with force.

        Raises:
            RefusedError: Some are held, or no clone of the pool's name fits it, or
                no more than a name was given, and several pools have it.
        """
        from linkedclone.app.vms.vms import Vms
        from linkedclone.model.request import Deletion

        members, strangers = self._find_members(pool)
        called = pool if isinstance(pool, str) else pool.pool
        held = [vm.name for vm in members if state_of(vm).hold]
        wanted = Deletion(
            force=care.get("force", False),
            despite_unreadable=care.get("despite_unreadable", False),
        )
        if held and not wanted.force:
            raise RefusedError(
                f"{render_count(len(held), 'clone is', 'clones are')} held in the pool {called}: "
                f"{list_names(held)}",
                hint="release them first: ``pool release``; or delete them with ``force``",
            )
        if not members:
            if strangers:
                raise RefusedError(
                    f"no clone that bears the name of the pool {called} fits its file",
                    details="\n".join(
                        f"{one.vm.path or one.vm.name}: {one.because}" for one in strangers
                    ),
                    hint=advise_on(strangers),
                )
            return self._acting.propose(Plan)
        wanted = replace(
            wanted,
            marks={vm.id: vm.mark for vm in members if vm.mark and not wanted.force},
            notes=say_strangers(strangers, called),
        )
        refs = [vm.uuid for vm in members]
        return Vms(self._acting).propose_delete(refs, wanted, scan=care.get("scan"))

    # -- inside -----------------------------------------------------------------------

    def _find_members(self, pool: PoolSpec | str) -> tuple[tuple[Vm, ...], tuple[Stranger, ...]]:
        """Return the clones of a pool, and those that bear its name and do not fit it."""
        if isinstance(pool, str):
            return members_by_name(self._driver.observe(), pool), ()
        identity = self._identify(pool)
        inventory = self._driver.observe()
        return members_of(inventory, identity), find_strangers(inventory, identity)

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


def say_strangers(strangers: Sequence[Stranger], pool: str) -> tuple[str, ...]:
    """Say which clones bear a pool's name and are left alone, in one sentence; none for none."""
    if not strangers:
        return ()
    names = list_names([one.vm.path or one.vm.name for one in strangers])
    whys = list_names(list(dict.fromkeys(one.because for one in strangers)), most=2)
    count = render_count(len(strangers), "clone is", "clones are")
    return (
        f"{count} marked for a pool {pool}, not as its file says, and left alone: {names} ({whys})",
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
