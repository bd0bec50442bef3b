"""What an endpoint can do, as data, and the one way to refuse what it cannot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, get_args

from linkedclone.errors import UnsupportedError
from linkedclone.model.plan import (
    CreateClone,
    CreateFolder,
    DeleteMemory,
    DisconnectMedia,
    JobStep,
    PromoteVm,
    RelocateVm,
    SetTemplate,
    ShutDownGuest,
    Step,
    UnregisterVm,
)

ALL_STEPS: Final[frozenset[type[JobStep]]] = frozenset(get_args(JobStep))
"""What a driver can be asked to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What one endpoint can do; it does not change while the endpoint is open.

    Attributes:
        endpoint: What it is called in the texts of refusals.
        steps: What :meth:`~linkedclone.drivers.contract.Driver.start` takes.
        request_fields: The optional fields of a clone request that mean something
            here, as :data:`~linkedclone.drivers.rules.refusals.FIELDS` calls them.
        pool_section: The part of a pool's file that is about this hypervisor.
        parallel: How many clones may be in flight at once unless the user says otherwise.
        patience_seconds: How long a run waits for the endpoint to come back; 0
            where it cannot go away.
        customizes_always: Whether every clone's guest gets an identity, asked
            for or not. Then ``Vm.customization`` is set for all clones.
        grows_linked_disks: Whether a disk can grow that depends on another file.
        forks_snapshots: Whether an instant clone is made of a snapshot with memory; else
            it is made of the parent as it runs.
        keeps_spares: Whether an instant clone can stand still until another takes it over.
        asks_deaf_guests: Whether a guest may be asked to shut down that does not
            hear yet, so that it has to be asked again; to ask once more does no
            harm to one that heard.
    """

    endpoint: str
    steps: frozenset[type[JobStep]]
    request_fields: frozenset[str]
    pool_section: str
    parallel: int
    patience_seconds: float = 0.0
    customizes_always: bool = False
    grows_linked_disks: bool = False
    forks_snapshots: bool = False
    keeps_spares: bool = False
    asks_deaf_guests: bool = False


_DOING: Final[Mapping[type[JobStep], tuple[str, str]]] = {
    CreateClone: ("make clones", ""),
    CreateFolder: ("make folders", "name a folder that exists"),
    SetTemplate: ("make a VM of a template", "every VM here can be snapshotted as it is"),
    DisconnectMedia: ("empty the drives of VMs", "leave it out: VMs here have no drives to empty"),
    RelocateVm: ("move VMs", "leave them where they are, or make new clones elsewhere"),
    UnregisterVm: ("unregister VMs", "a base stays here anyway while anything needs it"),
    PromoteVm: ("make clones independent", "make full clones instead: ``disk_move.shared``"),
    DeleteMemory: ("delete the memory of a snapshot alone", "delete the snapshot"),
}
"""What a step does that not every endpoint takes, and what helps there."""


def require(features: Features, step: type[JobStep]) -> None:
    """Make sure that an endpoint can carry out a kind of step.

    Raises:
        UnsupportedError: It cannot.
    """
    if step not in features.steps:
        raise refuse(features, step)


def require_steps(features: Features, steps: Iterable[Step]) -> None:
    """Make sure that an endpoint can carry out all steps; whether guests hear is seen as they go.

    Raises:
        UnsupportedError: It cannot.
    """
    for step in steps:
        if not isinstance(step, ShutDownGuest):
            require(features, type(step))


def refuse(features: Features, step: type[JobStep]) -> UnsupportedError:
    """Return the error that an endpoint cannot carry out a kind of step."""
    what, hint = _DOING.get(step, (f"carry out {step.__name__}", ""))
    return _cannot(features.endpoint, what, hint)


_ServiceT = TypeVar("_ServiceT")


def require_service(
    service: _ServiceT | None,
    features: Features,
    what: str,
    *,
    hint: str = "local: can, plain QEMU on this machine",
) -> _ServiceT:
    """Return a service of an endpoint.

    Args:
        service: The service, if the endpoint has it.
        features: What the endpoint can do.
        what: What it would be good for, as "hold images".
        hint: What helps where there is none.

    Raises:
        UnsupportedError: It has none.
    """
    if service is None:
        raise _cannot(features.endpoint, what, hint)
    return service


def _cannot(endpoint: str, what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"{endpoint} cannot {what}", hint=hint, kind="NotSupported")
