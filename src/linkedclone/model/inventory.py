"""All that is seen at an endpoint at once: its VMs, their files, and files of nobody.

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
    """A disk file that no VM here reads, but that may well be somebody's.

    A delta that a failed task left behind, the disk of a VM that is registered
    elsewhere or nowhere, an overlay that was made by hand.

    Attributes:
        chain: The file itself last, and what it hangs from below it, base first.
        used_bytes: What it occupies; None where unknown.
        about: What is known of it, for people (``of the unregistered VM old-gold``).
        orphaned: True if it can only be a leftover: it has a name that the
            hypervisor itself gives, in the folder of a VM that is here. False
            for all that somebody elsewhere may use.
        holds: True if the hypervisor keeps the layers below for its sake, though
            no VM reads it. vCenter counts registered VMs only.
    """

    chain: tuple[Layer, ...]
    used_bytes: int | None = field(default=None, metadata=NOT_TOLD)
    about: str = field(default="", metadata=NOT_TOLD)
    orphaned: bool = False
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
    """What is known of a layer's file.

    Attributes:
        used_bytes: What it occupies; None where unknown.
        missing: True if a chain names it and it cannot be read.
    """

    used_bytes: int | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A datastore, or the file system of a state folder.

    Attributes:
        id: Its id.
        name: What people call it.
        capacity_bytes: How much fits; None where unknown.
        free_bytes: How much of it is free; None where unknown.
    """

    id: StoreId
    name: str
    capacity_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All VMs of an endpoint that the user may see, with the disks of their snapshots.

    Attributes:
        vms: The VMs.
        strays: Disk files of nobody here, as far as they were looked for.
        files: What is known of the layers; empty unless sizes were asked for.
        stores: The datastores; empty unless sizes were asked for.
        measured: The age of the oldest size in ``files``; None where sizes are
            read as they are, or were not asked for.
        blind: What nobody could look at, as sentences for people; the VMs that
            cannot be read apart.
        outside: VMs that an endpoint of one datacenter has in another. Views
            leave them out; guards see them as all others.
        unscanned: Those of ``blind`` that tell where was not looked because
            that was not asked for.
    """

    vms: tuple[Vm, ...]
    strays: tuple[Stray, ...] = ()
    files: Mapping[Layer, LayerFile] = field(default_factory=dict)
    stores: tuple[Store, ...] = ()
    measured: datetime | None = None
    blind: tuple[str, ...] = ()
    outside: frozenset[VmId] = frozenset()
    unscanned: tuple[str, ...] = ()

    @property
    def unreadable(self) -> tuple[Vm, ...]:
        """The VMs that cannot be read: what they hang from is not known."""
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
    """An endpoint that was looked at without being opened.

    Attributes:
        findings: What was checked.
        inventory: What is there, with sizes; None if it could not be read, or is not there yet.
    """

    findings: tuple[Finding, ...]
    inventory: Inventory | None = None
