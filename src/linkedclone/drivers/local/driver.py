"""The driver of plain QEMU on this machine.

It keeps the contract of :mod:`linkedclone.drivers.contract` with these differences,
which come from there being no daemon:

- **Jobs are threads of this process.** They go on after :meth:`LocalDriver.close`,
  and the process ends after them. If it is killed they end with it, and then
  nothing of them is left half-made: what was not yet published is removed by
  the next command, and the name is free again. Machines that were started run on.
- There is one folder, one datastore and no resource pool.
- A running VM is stopped by a revert, as on vSphere for snapshots without memory.
- A running VM with snapshots is not promoted.
- Orphaned disk files in the VMs' folders are always reported; a scan also searches
  other folders.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.cloning import (
    CLONE,
    NewClone,
    await_clone,
    build_clone,
    plan_machine,
    reserve_name,
)
from linkedclone.drivers.local.guest import access
from linkedclone.drivers.local.images import images
from linkedclone.drivers.local.inventory.finder import find_names, find_vms
from linkedclone.drivers.local.inventory.observe import observe_some
from linkedclone.drivers.local.inventory.unlinked_vms import tell_unlinked
from linkedclone.drivers.local.jobs import JobBoard, Work
from linkedclone.drivers.local.lifecycle import delete as removal
from linkedclone.drivers.local.lifecycle.image_versions import settle_versions
from linkedclone.drivers.local.lifecycle.power import set_power, shut_down_guest
from linkedclone.drivers.local.machine.memory_admission import check_batch
from linkedclone.drivers.local.machine.open import OpenMachine, open_machine
from linkedclone.drivers.local.placement import REFUSED, find_target
from linkedclone.drivers.local.recovery.garbage import recover
from linkedclone.drivers.local.recovery.interrupted_merge import settle_all, settle_source
from linkedclone.drivers.local.snapshots import snapshots
from linkedclone.drivers.local.state.folder import MOVED_FROM, MOVING, StateFolder, open_state
from linkedclone.drivers.local.state.settings import find_accel, find_root
from linkedclone.drivers.local.state.store import load_vm, write_ssh_config
from linkedclone.drivers.local.state.trust import secure_state
from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.errors import HypervisorError, NoSnapshotError, UnsupportedError
from linkedclone.model.findings import Finding
from linkedclone.model.images import (
    DiskExport,
    Image,
    ImageBuild,
    ImageImport,
    Rebased,
    TellBytes,
    tell_nobody,
)
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, ReconfigureVm
from linkedclone.model.request import CloneRequest, Scan, Target
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Identity, Mark, Power, Vm
from linkedclone.system.os_errors import translated

if TYPE_CHECKING:
    from linkedclone.model.access import ConsoleAddress, GuestLogin, SshLogin
    from linkedclone.model.inventory import Inventory, Stray

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
    return LocalDriver(
        state,
        address=endpoint.address,
        machines=machines,
        notes=(*closed, *killed, *tell_unlinked(state)),
    )


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
        self._state = state
        self._address = address
        self._machines = machines
        self._board = board or JobBoard()
        self._notes = notes
        self._guests = bool(guests)
        self._looked_at = None if guests is None else machines  # then no QEMU is asked either

    def without_guests(self) -> LocalDriver:
        """Return this connection with looks that ask no guest's agent."""
        return LocalDriver(
            self._state,
            address=self._address,
            machines=self._machines,
            board=self._board,
            notes=self._notes,
            guests=False,
        )

    def without_machines(self) -> LocalDriver:
        """Return this connection with looks that ask no QEMU: whether VMs run is unknown to it."""
        return LocalDriver(
            self._state,
            address=self._address,
            machines=self._machines,
            board=self._board,
            notes=self._notes,
            guests=None,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was removed of killed commands, and what a person has to know of the folder."""
        return self._notes

    @property
    def state(self) -> StateFolder:
        """The state folder."""
        return self._state

    @property
    def default_parallel(self) -> int:
        """How many clones may be in flight at once unless the user says otherwise."""
        return max(4, os.cpu_count() or 1)

    @property
    def patience_seconds(self) -> float:
        """Nothing is between this process and its hypervisor that could go away."""
        return 0.0

    @property
    def customizes_always(self) -> bool:
        """Yes: every clone boots with a seed of its own."""
        return True

    def identify(self) -> Identity:
        """Say what the endpoint is: the id is that of the state folder, wherever it is."""
        return Identity(
            instance=self._state.store,
            product="QEMU",
            version=_qemu_version(),
            address=self._address,
        )

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        """Read all VMs with their chains, and the disk files of nobody; see ``observing_all``."""
        from linkedclone.drivers.local.inventory.observe_all import observe_all

        with translated("cannot read the VMs"):
            return observe_all(
                self._state, self._looked_at, sizes=sizes, scan=scan, guests=self._guests
            )

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        """Read these VMs again; those that are gone are left out."""
        with translated("cannot read the VMs"):
            return observe_some(self._state, self._looked_at, ids, guests=self._guests)

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, path or UUID; names that differ only in case are the same."""
        with translated("cannot read the VMs"):
            ids = find_vms(self._state, refs)
            found = observe_some(
                self._state, self._looked_at, ids, with_snapshot_disks=True, guests=self._guests
            )
        seen = {vm.id: vm for vm in found}
        gone = [ref for ref, vm in zip(refs, ids, strict=True) if vm not in seen]
        if gone:
            raise no_such_vms(gone)
        return tuple(seen[vm] for vm in ids)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Return the one place that there is, if it has the memory for clones that are started."""
        target = find_target(self._state, request)
        with translated("cannot read the VMs"):
            parent = load_vm(self._state, source.id).record.machine
            check_batch(self._state, request, parent.memory_bytes)
        return target

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:  # noqa: ARG002
        """Read the VMs that have these names."""
        return self.observe_vms(find_names(self._state, names))

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:  # noqa: ARG002
        """Return nothing: the locks keep a layer that is being cloned from going away."""
        return frozenset()

    # -- act --------------------------------------------------------------------------

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return what :meth:`create_clone` would make, as plain data."""
        machine = plan_machine(self._state, step)
        return {
            "method": CLONE,
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

    def create_clone(self, step: CreateClone) -> Job:
        """Start to make one linked clone; its name is kept from the moment this returns."""
        if step.snapshot is None:
            raise NoSnapshotError(
                f"no snapshot is given for {step.name}",
                hint="take one first: ``snapshot create``",
            )
        plan_machine(self._state, step)
        with ExitStack() as stack, translated(f"cannot {CLONE} {step.name}"):
            entry = stack.enter_context(reserve_name(self._state, step.name))
            run = partial(self._clone, NewClone.from_step(step), entry, power_on=step.power_on)
            kept = stack.pop_all()
            return self._board.start(
                Work(about=step.name, action=CLONE, run=run, release=kept.close)
            )

    def _clone(self, wanted: NewClone, entry: Path, *, power_on: bool) -> str:
        settle_source(self._state, self._machines, wanted.source)
        vm = build_clone(self._state, wanted, entry)
        if power_on:
            set_power(self._state, self._machines, vm, Power.ON)
        return vm

    def attach_clone(self, step: CreateClone) -> Job:
        """Wait for the clone of this name that somebody else is making."""
        run = partial(await_clone, self._state, step.name)
        return self._board.start(Work(about=step.name, action="attach", run=run))

    def create_snapshot(
        self,
        vm: VmId,
        name: str,
        description: str,
        *,
        quiesce: bool = False,
        memory: bool = False,
    ) -> Job:
        """Start to take a snapshot of the disks; the job's result is its SnapshotId."""
        if memory:
            raise UnsupportedError(
                "snapshots with memory mean nothing to local:",
                hint=REFUSED["--snapshot-memory"],
                kind="NotSupported",
            )
        create = partial(snapshots.create_snapshot, self._state, self._machines)
        return self._start("snapshot", vm, partial(create, vm, name, description, quiesce=quiesce))

    def delete_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to delete one snapshot; its children stay, and so do layers in use."""
        delete = partial(snapshots.delete_snapshot, self._state, self._machines)
        return self._start("delete-snapshot", vm, partial(delete, vm, snapshot))

    def revert_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to put the VM back to the snapshot; a running one is stopped."""
        revert = partial(snapshots.revert_snapshot, self._state, self._machines)
        return self._start("revert", vm, partial(revert, vm, snapshot))

    def promote_vm(self, vm: VmId) -> Job:
        """Start to make a VM independent, running or not; see ``promotion``."""
        from linkedclone.drivers.local.snapshots.promote import promote_vm

        return self._start("promote", vm, partial(promote_vm, self._state, self._machines, vm))

    @property
    def grows_linked(self) -> bool:
        """Yes: a delta may be larger than what it hangs from."""
        return True

    def grow_disk(self, vm: VmId, disk: str, capacity_bytes: int) -> Job:
        """Start to make a disk larger, running or not; see ``growth``."""
        from linkedclone.drivers.local.lifecycle.grow_disk import grow_disk

        grow = partial(grow_disk, self._state, self._machines)
        return self._start("grow", vm, partial(grow, vm, disk, capacity_bytes))

    def remove_stray(self, stray: Stray) -> Job:
        """Start to delete a disk file of no VM from the state folder; see ``orphans``."""
        from linkedclone.drivers.local.inventory.orphans import remove_stray

        run = partial(remove_stray, self._state, stray)
        return self._board.start(Work(about=str(stray.layer), action="remove", run=run))

    def delete_vm(self, vm: VmId, seen: Mark | None = None) -> Job:
        """Start to delete a powered-off VM; layers that others read stay."""
        delete = partial(removal.delete_vm, self._state, self._machines)
        return self._start("delete", vm, partial(delete, vm, seen))

    def set_power(self, vm: VmId, power: Power) -> Job:
        """Start or stop a VM; already there counts as done."""
        action = "power-on" if power is Power.ON else "power-off"
        return self._start(action, vm, partial(set_power, self._state, self._machines, vm, power))

    @property
    def asks_deaf_guests(self) -> bool:
        """Yes: while a guest boots, nobody in it listens to the power button."""
        return True

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest by its agent or its power button; see ``power``."""
        with translated(f"cannot shut down the guest of {self._name(vm)}"):
            shut_down_guest(self._state, self._machines, vm)

    def rename_vm(self, vm: VmId, name: str) -> Job:
        """Give a VM another name; see ``renaming``."""
        from linkedclone.drivers.local.lifecycle.rename import rename_vm

        return self._start("rename", vm, partial(rename_vm, self._state, vm, name))

    @property
    def section(self) -> str:
        """The part of a pool's file that is about this machine."""
        return "local"

    def reconfigure_vm(self, step: ReconfigureVm, action: str = "reconfigure") -> Job:
        """Change a VM that is off."""
        from linkedclone.drivers.local.lifecycle.reconfigure import reconfigure_vm

        run = partial(reconfigure_vm, self._state, self._machines, step)
        return self._start(action, step.vm, run)

    def write_mark(self, vm: VmId, mark: Mark, seen: Mark | None) -> Job:
        """Put a mark on a VM."""
        step = ReconfigureVm(vm=vm, vm_name=self._name(vm), mark=mark, seen=seen)
        return self.reconfigure_vm(step, action="mark")

    def _start(self, action: str, vm: VmId, run: Callable[[], str | None]) -> Job:
        return self._board.start(Work(about=self._name(vm), action=action, run=run))

    def _name(self, vm: VmId) -> str:
        try:
            return load_vm(self._state, vm).record.name
        except (HypervisorError, OSError):
            return vm

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long; return the states of all."""
        return self._board.wait(jobs, timeout_seconds)

    # -- images -----------------------------------------------------------------------

    def import_image(self, wanted: ImageImport, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM with the snapshot ``base`` of an image; see ``images``."""
        with translated(f"cannot import {wanted.file or 'the image'}"):
            return images.import_image(self._state, wanted, tell)

    def build_image(self, wanted: ImageBuild, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM of a distribution's packages; see ``building``."""
        from linkedclone.drivers.local.images.build import build_image

        with translated(f"cannot build {wanted.name}"):
            return build_image(self._state, wanted, tell)

    def list_images(self) -> tuple[Image, ...]:
        """Return all imported images, by name."""
        with translated("cannot read the images"):
            return images.list_images(self._state)

    def remove_image(self, name: str) -> None:
        """Delete an image that nothing hangs from; see ``images``."""
        with translated(f"cannot remove {name}"):
            images.remove_image(self._state, self._machines, name)

    # -- guests -----------------------------------------------------------------------

    def build_ssh(self, vm: VmId, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Build the argument list of ``ssh`` for a running VM; see ``access``."""
        with translated("cannot read the VM"):
            return access.build_ssh(self._state, self._machines, vm, command)

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:
        """Say how one logs in to running guests by SSH; see ``access``."""
        with translated("cannot read the VMs"):
            return access.describe_logins(self._state, vms)

    def attach_console(self, vm: VmId, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to a VM's serial console; see ``access``."""
        with translated("cannot attach to the console"):
            access.attach_console(
                self._state,
                vm,
                input_descriptor=input_descriptor,
                output_descriptor=output_descriptor,
            )

    def run_in_guest(
        self,
        vm: VmId,
        command: Sequence[str],
        *,
        login: GuestLogin | None,  # noqa: ARG002 - the agent is root, and asks for nobody
        seconds: float,
    ) -> int:
        """Run a command through the guest's agent, as root; see ``machine.commands``."""
        with translated(f"cannot run {command[0]} in the guest of {self._name(vm)}"):
            return self._machines(load_vm(self._state, vm)).run_command(command, seconds)

    def find_port(self, vm: Vm, port: int) -> tuple[str, int] | None:
        """Say how a port of a guest is reached from here; see ``access``."""
        with translated("cannot read the VM"):
            return access.find_port(self._state, vm, port)

    def connect_ssh(self, vm: VmId) -> socket.socket:
        """Connect to the SSH server of a running VM; see ``access``."""
        with translated("cannot read the VM"):
            return access.connect_ssh(self._state, vm)

    def write_ssh_config(self) -> Path:
        """Write what plain ``ssh NAME`` needs; return the file to include; see ``sshconfig``."""
        with translated("cannot write the SSH configuration"):
            return write_ssh_config(self._state)

    def build_unit(self) -> str:
        """Return a systemd unit that starts VMs; see ``unit``."""
        from linkedclone.drivers.local.guest.systemd_unit import render_unit

        return render_unit(self._state.root)

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        """Say where the screen of a running VM is; see ``access``."""
        with translated("cannot read the VM"):
            return access.describe_console(self._state, vm)

    # -- the rest ---------------------------------------------------------------------

    def move_state(self, target: Path, tell: TellBytes = tell_nobody) -> None:
        """Move the whole state folder; see ``moving``."""
        from linkedclone.drivers.local.recovery.move_state import move_state

        with translated(f"cannot move to {target}"):
            move_state(self._state, self._machines, target, tell)

    def rebase_layers(self, file: Path) -> Rebased:
        """Let all that miss a layer hang from where it is now; see ``rebasing``."""
        from linkedclone.drivers.local.recovery.rebase import rebase_layers

        with translated(f"cannot hang anything from {file}"):
            return rebase_layers(self._state, self._machines, file)

    def accept_layer(self, file: Path) -> None:
        """Seal a layer anew whose time alone was changed; see ``layers``."""
        from linkedclone.drivers.local.storage.new_layer import accept_layer

        with translated(f"cannot accept {file}"):
            accept_layer(self._state, file)

    def relink_vms(self) -> tuple[str, ...]:
        """Link VMs again whose folders lost their links; see ``unlinked``."""
        from linkedclone.drivers.local.inventory.unlinked_vms import relink_vms

        with translated("cannot link VMs again"):
            return relink_vms(self._state)

    def export_disk(self, wanted: DiskExport, tell: TellBytes = tell_nobody) -> None:
        """Write a disk to one file; see ``exporting``."""
        from linkedclone.drivers.local.images.export import export_disk

        with translated(f"cannot export to {wanted.file}"):
            export_disk(self._state, self._machines, wanted, tell)

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this machine, for ``doctor``."""
        from linkedclone.drivers.local.diagnosis.doctor import diagnose

        return diagnose(self._state.root, self._machines)

    def close(self) -> None:
        """Take no more calls. Jobs go on, and the process ends after them."""
        self._board.close()


@cache
def _qemu_version() -> str:
    """Return QEMU's version, or that there is none."""
    try:
        done = subprocess.run(
            ["qemu-img", "--version"],  # noqa: S607 - the user's own, by PATH
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "not installed"
    return done.stdout.split("version ", 1)[-1].split()[0]
