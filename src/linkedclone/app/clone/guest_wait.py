"""Wait for the guests of a batch as far as was asked for, and tell how long each stage took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linkedclone.errors import LinkedCloneError
from linkedclone.model.report import CloneResult, Failure, Stage, Status
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.vm import Power, Vm

if TYPE_CHECKING:
    from linkedclone.execution.clone_stage import Made
    from linkedclone.execution.runner import Runner
    from linkedclone.model.guest import Guest
    from linkedclone.planning.guests.progress import Followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A clone whose guest can be waited for.

    Attributes:
        vm: The VM as it was seen last.
        since: When it began to run, as far as this run knows, by ``time.monotonic``.
        guest: Who it was made to be; None for one that another run has made.
        fresh: Whether ``vm`` is how it was when this run had made it.
    """

    vm: Vm
    since: float
    guest: Guest | None = None
    fresh: bool = False


def list_started(existing: Sequence[Vm], made: Sequence[Made], now: float) -> dict[str, Started]:
    """Return the clones of a batch that are there, by name; those that were, from ``now`` on."""
    there = {vm.name.casefold(): Started(vm=vm, since=now) for vm in existing}
    return there | {
        m.item.name.casefold(): Started(vm=m.vm, since=m.landed, guest=m.item.guest, fresh=True)
        for m in made
        if m.vm is not None
    }


def await_guests(
    runner: Runner,
    request: CloneRequest,
    results: Mapping[str, CloneResult],
    started: Mapping[str, Started],
) -> tuple[dict[str, CloneResult], bool]:
    """Wait for the guests of all clones that run and are good.

    Returns:
        The results, with what their guests said, and whether the user
        interrupted the wait: then the report holds what is known until then.
    """
    waiting = {
        key: started[key]
        for key, result in results.items()
        if key in started and result.error is None and result.power is Power.ON
    }
    if request.wait is Wait.TASK or not waiting:
        return dict(results), False
    from linkedclone.execution.guest_watch import GuestWatch
    from linkedclone.planning.guests.stages import plan_course
    from linkedclone.planning.guests.timeouts import begin

    driver, now = runner.driver, runner.pace.now()
    guests = {}
    for one in waiting.values():
        course = plan_course(
            request,
            one.vm,
            one.guest,
            customizes_always=driver.features.customizes_always,
            has_events=driver.services.events is not None,
        )
        vm = replace(one.vm, power=Power.ON)
        guests[vm.id] = begin(course, vm, since=one.since, now=now)
    # A fork's guest answers at once: it is not asked the same twice.
    fresh = [one.vm for one in waiting.values() if one.fresh]
    seen = [vm for vm in fresh if vm.tools_running and vm.power is Power.ON]
    watch = GuestWatch(driver, guests, runner.progress, runner.outage, runner.pace)
    interrupted, trouble = False, None
    try:
        watch.follow(seen)
    except KeyboardInterrupt:
        interrupted = True
    except LinkedCloneError as error:
        trouble = Failure.from_error(Stage.WAIT, error)
    followed = {key: watch.guests[one.vm.id] for key, one in waiting.items()}
    return {
        key: describe_followed(result, followed[key], trouble) if key in followed else result
        for key, result in results.items()
    }, interrupted


def describe_followed(
    result: CloneResult, guest: Followed, trouble: Failure | None = None
) -> CloneResult:
    """Return the result with what the guest said until the wait ended.

    Args:
        result: The result of before.
        guest: How far the guest got.
        trouble: Why observation ended; reported for unfinished guests.
    """
    vm = guest.vm
    waited = max(0.0, guest.seen - guest.since)
    failure = guest.failure or (None if guest.finished else trouble)
    result = replace(
        result,
        power=vm.power,
        host_name=vm.host_name,
        addresses=vm.addresses,
        ssh=vm.ssh,
        seconds=(result.seconds or 0.0) + waited,
        own_bytes=result.own_bytes if vm.own_bytes is None else vm.own_bytes,
        shared_bytes=result.shared_bytes if vm.shared_bytes is None else vm.shared_bytes,
        stages=(*result.stages, *((stage.value, seconds) for stage, seconds in guest.passed)),
    )
    return replace(result, status=Status.FAILED, error=failure) if failure else result
