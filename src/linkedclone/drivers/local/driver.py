"""The driver of plain QEMU on this machine.

It keeps the contract of :mod:`linkedclone.drivers.contract` with these differences,
which come from there being no daemon:

- **Jobs are threads of this process.** They go on after :meth:`LocalDriver.close`,
  and the process ends after them. If it is killed they end with it, and then
  nothing of them is left half-made: what was not yet published is removed by
  the next command, and the name is free again. Machines that were started run on.
- There is one folder, one datastore and no resource pool.
- A running VM is stopped by a revert, as on vSphere. It runs again from a snapshot's memory if
  that can still be loaded.
- A running VM with snapshots is not promoted.
- Orphaned disk files in the VMs' folders are always reported; a scan also searches
  other folders.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final, get_args

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.features import ALL_STEPS, Features, refuse
from linkedclone.drivers.local.cloning import CLONE, plan_machine
from linkedclone.drivers.local.inventory.observe import (
    find_names,
    find_vms,
    observe_all,
    observe_some,
)
from linkedclone.drivers.local.inventory.unlinked_vms import tell_unlinked
from linkedclone.drivers.local.jobs import JobBoard
from linkedclone.drivers.local.lifecycle.naming import settle_versions
from linkedclone.drivers.local.machine.accelerator import read_qemu_version
from linkedclone.drivers.local.machine.memory_admission import check_batch
from linkedclone.drivers.local.machine.open import OpenMachine, open_machine
from linkedclone.drivers.local.placement import find_target
from linkedclone.drivers.local.recovery.garbage import recover
from linkedclone.drivers.local.recovery.interrupted_merge import resume_halted, settle_all
from linkedclone.drivers.local.services import Access, Folder, Guests, Images
from linkedclone.drivers.local.state.folder import MOVED_FROM, MOVING, StateFolder, open_state
from linkedclone.drivers.local.state.settings import find_accel, find_root
from linkedclone.drivers.local.state.staging import list_dead
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.drivers.local.state.trust import secure_state
from linkedclone.drivers.local.steps import Absent, build_work
from linkedclone.drivers.rules.clone_checks import check_clones
from linkedclone.drivers.rules.refusals import (
    OF_GUESTS,
    no_such_vms,
    refuse_step,
    refuse_unsupported,
)
from linkedclone.drivers.services import Services
from linkedclone.errors import LinkedCloneError
from linkedclone.model.inventory import Inventory
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import (
    CreateClone,
    JobStep,
    RelocateVm,
)
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Identity, Vm
from linkedclone.system.os_errors import translated

IMMUTABLE_VARIABLE = "LINKEDCLONE_LOCAL_IMMUTABLE"
"""Set to ``no``, sealed layers do not get the immutable flag; root can remove them by hand then."""


def open_local(endpoint: Endpoint) -> LocalDriver:
    """Open the state folder that the endpoint names, or the user's own.

    What a killed command left is removed first.
    """
    machines = partial(open_machine, accel=find_accel(endpoint.accel))
    root = find_root(endpoint)
    with translated(f"cannot open {root}"):
        closed = secure_state(root)
        if os.path.lexists(root / MOVING) or os.path.lexists(root / MOVED_FROM):
            from linkedclone.drivers.local.recovery.move_state import finish_move

            finish_move(root)
        state = open_state(root, immutable=os.environ.get(IMMUTABLE_VARIABLE, "yes") != "no")
        killed = recover(state)
        if killed:
            settle_all(state, machines)
            settle_versions(state)
        elif list_dead(state):  # others are at work, and it is left to a later command
            resume_halted(state, machines)
    return LocalDriver(
        state,
        address=endpoint.address,
        machines=machines,
        notes=(*closed, *killed, *tell_unlinked(state)),
    )


FEATURES: Final = Features(
    endpoint="local:",
    steps=ALL_STEPS - frozenset(get_args(Absent)),
    request_fields=frozenset(
        {
            "snapshot.quiesce",
            "snapshot.memory",
            "instant",
            "hardware.disks",
            "hardware.nics.remap",
            "hardware.nics.add",
            "hardware.nics.remove",
            "hardware.firmware",
            "hardware.display",
            "macs",
            "placement.folder",
            *(OF_GUESTS - {"customization.windows"}),
        }
    ),
    pool_section="local",
    parallel=max(4, os.cpu_count() or 1),
    customizes_always=True,
    grows_linked_disks=True,
    forks_snapshots=True,
    keeps_spares=True,
    asks_deaf_guests=True,
)
"""A delta may be larger than what it depends on. Every clone boots with a seed of its
own. While a guest boots, it ignores the power button."""


class LocalDriver:
    """One opened state folder; see :mod:`linkedclone.drivers.contract`."""

    def __init__(
        self,
        state: StateFolder,
        *,
        address: str = "local:",
        machines: OpenMachine = open_machine,
        board: JobBoard | None = None,
        notes: tuple[str, ...] = (),
        guests: bool | None = True,
    ) -> None:
        self.state = state
        self._address = address
        self._machines = machines
        self._board = board or JobBoard()
        self.notes = notes
        self._guests = bool(guests)
        self.features = FEATURES
        self.guests, self.access = Guests(state, machines), Access(state, machines)
        self.images, self.folder = Images(state, machines), Folder(state, machines)
        self.services = Services(
            guests=self.guests,
            console=self.access,
            access=self.access,
            images=self.images,
            disks=self.folder,
            state_folder=self.folder,
            diagnosis=self.folder,
        )
        self._looked_at = None if guests is None else machines  # then no QEMU is asked either

    def without_guests(self, *, machines: bool = True) -> LocalDriver:
        """Return this connection with looks that ask no agent; without ``machines`` no QEMU."""
        return LocalDriver(
            self.state,
            address=self._address,
            machines=self._machines,
            board=self._board,
            notes=self.notes,
            guests=False if machines else None,
        )

    def identify(self) -> Identity:
        """Say what the endpoint is: the id is that of the state folder, wherever it is."""
        return Identity(
            instance=self.state.store,
            product="QEMU",
            version=".".join(map(str, read_qemu_version("qemu-img"))) or "not installed",
            address=self._address,
        )

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        with translated("cannot read the VMs"):
            return observe_all(
                self.state, self._looked_at, sizes=sizes, scan=scan, guests=self._guests
            )

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        with translated("cannot read the VMs"):
            return observe_some(self.state, self._looked_at, ids, guests=self._guests)

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, path or UUID; names that differ only in case are the same."""
        with translated("cannot read the VMs"):
            ids = find_vms(self.state, refs)
            found = observe_some(
                self.state, self._looked_at, ids, with_snapshot_disks=True, guests=self._guests
            )
        seen = {vm.id: vm for vm in found}
        gone = [ref for ref, vm in zip(refs, ids, strict=True) if vm not in seen]
        if gone:
            raise no_such_vms(gone)
        return tuple(seen[vm] for vm in ids)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Return the one place that there is, if it has the memory for clones that are started."""
        refuse_unsupported(request, self.features)
        target = find_target(self.state, request)
        with translated("cannot read the VMs"):
            parent = load_vm(self.state, source.id).record.machine
            check_batch(self.state, request, parent.memory_bytes)
        return target

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:  # noqa: ARG002
        """Refuse: there is one place for all."""
        raise refuse(self.features, RelocateVm)

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:  # noqa: ARG002
        return self.observe_vms(find_names(self.state, names))

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:  # noqa: ARG002
        """Return nothing: the locks keep a layer that is being cloned from going away."""
        return frozenset()

    # -- act --------------------------------------------------------------------------

    def check(self, steps: Sequence[CreateClone]) -> tuple[LinkedCloneError, ...]:
        return check_clones(steps, partial(plan_machine, self.state))

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        machine = plan_machine(self.state, step)
        return {
            "method": "instant clone" if step.instant else CLONE,
            "source": step.source.id,
            "snapshot": step.snapshot.id if step.snapshot else None,
            "name": step.name,
            "uuid": step.uuid,
            "delta": {"format": "qcow2", "cluster_bytes": 65536, "extended_l2": True},
            "hardware": asdict(step.hardware),
            "macs": list(step.macs),
            "networks": [card.network for card in machine.cards],
            "annotation": step.annotation,
            "mark": asdict(step.mark),
            "power_on": step.power_on,
        }

    def start(self, step: JobStep) -> Job:
        refuse_step(step, self.features)
        return self._board.start(build_work(self.state, self._machines, step))

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        return self._board.wait(jobs, timeout_seconds)

    def close(self) -> None:
        """Take no more calls. Jobs go on, and the process ends after them."""
        self._board.close()
