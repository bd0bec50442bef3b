"""Which clones of a batch have to be looked at to know whether all can be made."""

from collections.abc import Callable, Iterator, Sequence

from linkedclone.errors import InputError, LinkedCloneError, RefusedError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Hardware


def check_clones(
    steps: Sequence[CreateClone], check: Callable[[CreateClone], object], *, plain: bool = False
) -> tuple[LinkedCloneError, ...]:
    """Return the obstacles to creating these clones, each reason once.

    Args:
        steps: The clones of one batch.
        check: Refuses what the parent's hardware or the hypervisor does not allow.
        plain: Whether that may be so of a clone that is as its parent is.
    """
    findings: dict[str, LinkedCloneError] = {}
    for step in _choose(steps, plain=plain):
        try:
            check(step)
        except (InputError, RefusedError) as error:
            findings.setdefault(error.brief, error)
    return tuple(findings.values())


def _choose(steps: Sequence[CreateClone], *, plain: bool) -> Iterator[CreateClone]:
    """Yield one for all, but for those with MAC addresses of their own, and the longest name.

    Only a stored specification may tell that the guests are of Windows, whose
    names are short.
    """
    special = [
        step
        for step in steps
        if plain or step.hardware != Hardware() or step.guest is not None or step.instant
    ]
    yield from special[:1]
    yield from (step for step in steps if step.macs)
    stored = [step for step in special if step.guest and step.target.customization_spec]
    if stored:
        yield max(stored, key=lambda step: len(step.name))
