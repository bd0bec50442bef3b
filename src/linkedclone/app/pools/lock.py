"""One run's claim to a pool: taken before anything is changed, renewed, and given back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from linkedclone.errors import BusyError, ChangedError, LinkedCloneError
from linkedclone.execution.pool_lock import RENEW_SECONDS, Claimant, is_valid, parse_claim, present
from linkedclone.execution.runner import Runner
from linkedclone.model.plan import WriteMark
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.membership import state_of

if TYPE_CHECKING:
    from linkedclone.drivers.contract import Driver
    from linkedclone.execution.outage import Pace
    from linkedclone.execution.progress import Progress

_TRIES: Final = 3
"""On how many clones it is tried, as one may be locked by a backup, and how often on one
whose mark changes at the same time."""


def refuse_claimed(vms: Iterable[Vm], pool: str, now: datetime) -> None:
    """Refuse to change the marks of clones while a run works on their pool.

    Raises:
        BusyError: One does.
    """
    for vm in vms:
        state = state_of(vm)
        claimant = parse_claim(state.claim)
        if claimant is not None and is_valid(state, now):
            raise _busy(pool, claimant, state.claimed, now)


def _busy(pool: str, claimant: Claimant, claimed: int, now: datetime) -> BusyError:
    since = datetime.fromtimestamp(claimed, tz=now.tzinfo)
    return BusyError(
        f"another run works on the pool {pool}",
        details=f"process {claimant.pid} on {claimant.host}, last seen at {since:%H:%M:%S}",
        hint="wait until it ends; the claim of a run that was killed on another machine "
        "lapses after ten minutes",
    )


class PoolClaim:
    """The claim of one run.

    Attributes:
        text: The text of a mark.
    """

    def __init__(
        self,
        driver: Driver,
        pool: str,
        run: str,
        *,
        pace: Pace,
        clock: Callable[[], datetime],
        progress: Progress,
    ) -> None:
        self.text = str(present(run))
        self._driver = driver
        self._pool = pool
        self._run = run
        self._pace = pace
        self._clock = clock
        self._progress = progress
        self._anchor: VmId | None = None
        self._written = 0.0

    def take(self, members: Sequence[Vm], leaving: Collection[VmId]) -> bool:
        """See that no other run works on the pool, and say that this one does.

        Args:
            members: The pool's clones, read just now.
            leaving: Those that the next changes take away, and the claim with them.

        Returns:
            Whether the claim is on a clone that stays; else the first new
            clone should bear it from its birth on.

        Raises:
            BusyError: Another run does.
            LinkedCloneError: The claim cannot be written.
        """
        self._refuse_others(members)
        staying = [vm for vm in members if vm.id not in leaving]
        mine = [vm for vm in staying if self._is_mine(vm)]
        if mine:
            self._anchor = mine[0].id
            self._written = state_of(mine[0]).claimed
            self.renew()
        elif members:
            self._write_anew(staying or members)
        return bool(staying)

    def stand_on(self, vm_id: VmId) -> None:
        """Take note of a new clone that bears the claim from its birth on."""
        self._anchor, self._written = vm_id, self._clock().timestamp()

    def renew(self) -> None:
        """Say again that the run works on the pool, if it was long ago or a clock was set."""
        age = self._clock().timestamp() - self._written
        if self._anchor is not None and abs(age) > RENEW_SECONDS:
            self._write(self._anchor, self.text)

    def leave(self, claimed: Iterable[VmId]) -> None:
        """Take the claim back, and those of runs that were killed.

        Where the endpoint is gone, a claim ends by itself.

        Args:
            claimed: The clones that were seen to bear a claim, anybody's.
        """
        ids = dict.fromkeys(claimed)
        if self._anchor is not None:
            ids[self._anchor] = None
        try:
            for vm in self._driver.observe_vms(tuple(ids)) if ids else ():
                state = state_of(vm)
                mine = self._is_mine(vm)
                if state.claim and (mine or not is_valid(state, self._clock())):
                    self._write(vm.id, "")
        except LinkedCloneError:
            return

    # -- others -----------------------------------------------------------------------

    def _refuse_others(self, vms: Sequence[Vm]) -> None:
        """Refuse to go on beside another run.

        Where two have begun to make an empty pool in the same moment, each
        bears a claim on other clones: the lower one goes on.
        """
        now = self._clock()
        claimed = any(self._is_mine(vm) for vm in vms)
        for vm in vms:
            claimant = parse_claim(state_of(vm).claim)
            if claimant is None or claimant.run == self._run or not is_valid(state_of(vm), now):
                continue
            if not claimed or claimant.run < self._run:
                raise _busy(self._pool, claimant, state_of(vm).claimed, now)

    def _is_mine(self, vm: Vm) -> bool:
        claimant = parse_claim(state_of(vm).claim)
        return claimant is not None and claimant.run == self._run

    # -- writing ----------------------------------------------------------------------

    def _write_anew(self, vms: Sequence[Vm]) -> None:
        trouble: LinkedCloneError | None = None
        for vm in sorted(vms, key=lambda vm: vm.uuid)[:_TRIES]:
            trouble = self._write(vm.id, self.text)
            if trouble is None:
                self._anchor = vm.id
                return
        if trouble is not None:
            raise trouble

    def _write(self, vm_id: VmId, claim: str) -> LinkedCloneError | None:
        """Write a claim; return why it could not be written.

        One that another run writes at the same time is found by the next look.
        """
        trouble: LinkedCloneError | None = None
        for _ in range(_TRIES):
            trouble = self._write_once(vm_id, claim)
            if not isinstance(trouble, ChangedError):
                break
        return trouble

    def _write_once(self, vm_id: VmId, claim: str) -> LinkedCloneError | None:
        seen = self._driver.observe_vms([vm_id])
        if claim:
            self._refuse_others(seen)
        now = self._clock().timestamp()
        for vm in seen:
            mark = vm.valid_mark
            if mark is None:
                continue
            state = replace(state_of(vm), claim=claim, claimed=int(now) if claim else 0)
            step = WriteMark(vm=vm.id, vm_name=vm.name, mark=replace(mark, pool=state), seen=mark)
            runner = Runner(self._driver, self._progress, pace=self._pace)
            landings = runner.run_stage([step])
            if runner.interrupted:
                raise KeyboardInterrupt
            if landings[0].error:
                return landings[0].error
        self._written = now
        return None
