"""All that is seen at an endpoint at once: its VMs, their files, and stray files.

Apart from ``observed``, because making clones needs none of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from linkedclone.model.findings import Finding
from linkedclone.model.values.document import NOT_TOLD
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer, Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A disk file that no VM here reads, but that may have another owner.

    A delta that a failed task left behind, the disk of a VM that is registered
    elsewhere or nowhere, an overlay that was made by hand.
    """

    chain: tuple[Layer, ...]  # the file itself last, and what it depends on below it, base first
    # What it occupies; None where unknown.
    used_bytes: int | None = field(default=None, metadata=NOT_TOLD)
    # What is known of it, for people (``of the unregistered VM old-gold``).
    about: str = field(default="", metadata=NOT_TOLD)
    # True if it can only be a leftover: it has a name that the hypervisor itself gives, in the
    # folder of a VM that is here. False for all files that may be in use elsewhere.
    orphaned: bool = False
    # True if the hypervisor keeps the layers below for its sake, though no VM reads it. vCenter
    # counts registered VMs only.
    holds: bool = False

    @property
    def layer(self) -> Layer:
        """The file itself."""
        return self.chain[-1]

    @property
    def id(self) -> str:
        """What tells it from all VMs and other strays; names of stores would not do."""
        return f"{self.layer.store}:{self.layer.path}"

    @property
    def name(self) -> str:
        """What people are shown."""
        return f"{self.layer} ({self.about})" if self.about else str(self.layer)

    @property
    def layers(self) -> frozenset[Layer]:
        """Every layer that it reads."""
        return frozenset(self.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """What is known of a layer's file."""

    used_bytes: int | None = None  # what it occupies; None where unknown
    missing: bool = False  # True if a chain names it and it cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A datastore, or the file system of a state folder."""

    id: StoreId
    name: str
    capacity_bytes: int | None = None  # how much fits; None where unknown
    free_bytes: int | None = None  # how much of it is free; None where unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All VMs of an endpoint that the user may see, with the disks of their snapshots."""

    vms: tuple[Vm, ...]
    strays: tuple[Stray, ...] = ()  # disk files of no VM here, as far as searched
    # What is known of the layers; empty unless sizes were asked for.
    files: Mapping[Layer, LayerFile] = field(default_factory=dict)
    stores: tuple[Store, ...] = ()  # the datastores; empty unless sizes were asked for
    # The age of the oldest size in ``files``; None where sizes are read as they are, or were not
    # asked for.
    measured: datetime | None = None
    # Places that could not be read, as sentences; unreadable VMs are listed separately.
    blind: tuple[str, ...] = ()
    # VMs that an endpoint of one datacenter has in another. Views leave them out; guards see them
    # as all others.
    outside: frozenset[VmId] = frozenset()
    # Those of ``blind`` that tell where was not looked because that was not asked for.
    unscanned: tuple[str, ...] = ()

    @property
    def unreadable(self) -> tuple[Vm, ...]:
        """The VMs that cannot be read: what they depend on is not known."""
        return tuple(vm for vm in self.vms if vm.unreadable)

    @property
    def not_seen(self) -> tuple[str, ...]:
        """All that could not be looked at, as sentences for people."""
        return (*self.blind, *tell_all_unreadable(self.unreadable))

    def used_bytes(self, layers: Iterable[Layer]) -> int | None:
        """Return what the files of these layers take, as far as known; None if of none it is."""
        found = (self.files.get(layer) for layer in layers)
        known = [file.used_bytes for file in found if file and file.used_bytes is not None]
        return sum(known) if known else None


def tell_unreadable(vm: Vm) -> str:
    """Say of a VM that it cannot be read, and why."""
    return f"{vm.name or vm.id} cannot be read: {vm.unreadable}"


def tell_all_unreadable(vms: Iterable[Vm]) -> tuple[str, ...]:
    """Say of VMs that they cannot be read: one sentence for each reason, few names in each."""
    by_reason: dict[str, list[str]] = {}
    for vm in vms:
        by_reason.setdefault(vm.unreadable, []).append(vm.name or vm.id)
    return tuple(
        f"{list_names(sorted(names))} cannot be read: {reason}"
        for reason, names in by_reason.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """An endpoint that was looked at without being opened."""

    findings: tuple[Finding, ...]
    # What is there, with sizes; None if it could not be read, or is not there yet.
    inventory: Inventory | None = None
