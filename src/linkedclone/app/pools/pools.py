"""Pools: bring one to its spec, wave by wave, and change what its clones are marked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

from linkedclone.app.pools.results import tell_absent
from linkedclone.app.pools.survey import PoolScene, PoolSurvey
from linkedclone.app.proposal import Proposal
from linkedclone.errors import LinkedCloneError, RefusedError
from linkedclone.execution.outage import Cancellation
from linkedclone.model.plan import Plan
from linkedclone.model.pool import PoolSpec, Stranger
from linkedclone.model.pool_report import PoolOutlook, PoolReport
from linkedclone.model.report import ActionReport
from linkedclone.model.request import SnapshotChoice
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.membership import (
    advise_on,
    choose_to_adopt,
    find_strangers,
    members_by_name,
    members_of,
    slot_of,
    spares_of,
    state_of,
)
from linkedclone.planning.pool.requests import (
    NOT_A_MEMBER,
    match_members,
    refuse_missing,
    say_missing,
)

if TYPE_CHECKING:
    from linkedclone.app.proposal import Care
    from linkedclone.execution.progress import Progress


class Pools(PoolSurvey):
    """Pools of one endpoint; :class:`~linkedclone.app.connection.Connection` hands them out."""

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

        found, _ = self._find_members(pool)
        members = tuple(vm for vm in found if not state_of(vm).spare)
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
        """Return a pool's clones and spares, and the clones of its name that do not fit it."""
        if isinstance(pool, str):
            return members_by_name(self._driver.observe(), pool), ()
        identity = self._identify(pool)
        inventory = self._driver.observe()
        found = (*members_of(inventory, identity), *spares_of(inventory, identity))
        return found, find_strangers(inventory, identity)


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
