"""The contract that every hypervisor driver keeps.

Promises, held by one contract test suite that runs against every driver:

1. **Never degrade to a full clone.** What cannot be linked is refused, with
   what would help.
2. **The mark is there from birth.** A :class:`~linkedclone.model.plan.CreateClone` writes its
   mark and instance UUID in the same call that makes the clone, so that
   a later run finds even a half-made one. The lock against two clones of one
   name is the name in its folder: the second is refused with
   :class:`~linkedclone.errors.DuplicateNameError`, also while the first is
   still being made. A reassigned instance UUID is written back into the mark.
3. **Long calls return a** :class:`~linkedclone.model.jobs.Job` **at once** and
   go on by themselves, also when the process that asked for them dies.
   :meth:`Driver.wait` is the only place that waits, for many at once.
4. **Deleting what is absent counts as done**, and deleting never touches a
   layer that anything else uses. The guards that look at lineage first live in
   ``planning``; a driver that cannot rely on its hypervisor for the reference
   count keeps it itself.
5. **Undo is the caller's** (``execution``): a driver reports a failed job and
   leaves the rest as the hypervisor left it.
6. **Native errors never escape.** They are translated by their type, never by
   their text, into :mod:`linkedclone.errors`, with the server's own words kept
   in ``details``.
7. **A clone never inherits** the parent's MAC addresses, instance-id or UUID.

Order of calls: a driver is ready when made, every method may be called from
several threads at once, and nothing may be called after :meth:`Driver.close`.
Reads are batched: no method makes one call per VM, except where its docstring
says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from linkedclone.drivers.features import Features
from linkedclone.drivers.services import Services
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Identity, Vm

if TYPE_CHECKING:
    from linkedclone.errors import LinkedCloneError
    from linkedclone.model.inventory import Inventory


class Driver(Protocol):
    """One open connection to one endpoint."""

    @property
    def features(self) -> Features:
        """What this endpoint can do. The same as long as it is open."""

    @property
    def services(self) -> Services:
        """What this endpoint offers beside. The same as long as it is open."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What people have to know of what was found when it was opened: sentences."""

    def without_guests(self, *, machines: bool = True) -> Driver:
        """Return this connection with looks that ask no guest, which may be slow or hostile.

        What guests tell is unknown then. What is changed at VMs, above all
        stopping and deleting them, depends on no guest's answer.

        Args:
            machines: Whether what runs is asked at all. Without, the looks are
                good for lineage alone.
        """

    def identify(self) -> Identity:
        """Say what the endpoint is. Costs no call: it was read when connecting."""

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        """Read all VMs with their disk chains and the disks of their snapshots.

        Everything that the guards and the lineage need. Pages are followed.

        Args:
            sizes: Whether the sizes of files and datastores are wanted too.
            scan: Where to look for disk files of no VM; None looks only where
                it costs nothing. Places that were not searched are listed in ``unscanned``.

        Raises:
            NotFoundError: A place to scan does not exist.
        """

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        """Read these VMs again, in one batch; those that are gone are left out.

        ``snapshots`` come without disks.
        """

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, inventory path or UUID, one for each ref, in order.

        The result is whole: with the disks of their snapshots.

        Raises:
            NotFoundError: Some do not exist; ``missing`` names all of them.
            AmbiguousError: A name fits several; the candidates are listed by path.
        """

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Look up where the clones of this request go, once for all of them.

        Defaults are the source's own folder, datastore and resource pool (for
        a template: the root pool of its cluster). Reads the stored
        customization specification if the request names one. Nothing that the
        request says of source and place is left out in silence: what the
        driver has no counterpart for is refused by name.

        Raises:
            NotFoundError: A named object does not exist.
            AmbiguousError: A name fits several.
            UnsupportedError: There is no such thing at this endpoint.
            RefusedError: The place cannot run clones of this source.
        """

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        """Look up where a VM is to go. What is not named stays as it is, with an empty id.

        Raises:
            NotFoundError: A named object does not exist.
            AmbiguousError: A name fits several.
            RefusedError: The place cannot run the VM: its hosts do not reach the
                datastores of its chain.
            UnsupportedError: There is no such thing at this endpoint.
        """

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        """Read the VMs with these names in the target's folder.

        Half-made ones too. ``snapshots`` come without disks.
        """

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        """Say from which of these VMs clones are being made right now, by anybody.

        Such clones are not in the inventory yet, so the guards cannot see
        them there.
        """

    # -- act --------------------------------------------------------------------------

    def check(self, steps: Sequence[CreateClone]) -> tuple[LinkedCloneError, ...]:
        """Return the obstacles to creating these clones in one batch; empty if nothing is known.

        An InputError where the parent's hardware does not go with what is wanted,
        a RefusedError where it has no room for what is to be added. Changes
        nothing. The steps may refer to what is yet to be made.
        """

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return the request that a step would be sent as, as plain data, for a dry run.

        Only of what :meth:`check` has nothing against.
        """

    def start(self, step: JobStep) -> Job:
        """Start the call of a step, and return at once. What each does, its class says.

        - A clone's job has its VmId as result, a snapshot's its SnapshotId, a folder's its
          FolderId. A clone that was made but could not be started ends as a
          failed job, and the VM is there. ``snapshot`` of a clone is set, unless a
          parent without snapshots is to be copied.
        - Attaching, after a DuplicateNameError, is done when the VM is
          complete; it fails with a :class:`~linkedclone.errors.GoneError` when neither the
          VM nor a running clone task of the same source is left.
        - What is so already counts as done: power, marks, names, templates, folders,
          what is deleted or shares nothing.
        - What the hypervisor cannot do to a VM as it is (promote one that has
          snapshots, reconfigure one that runs) fails with a RefusedError or a
          HypervisorError, and the VM is as it was.
        - A mark is made of the one that was ``seen``: what others have changed in it
          since is kept. Where they changed the same, and where a VM that is to be
          deleted bears another mark than the one ``seen``, if one is given, the
          job or the call fails with a :class:`~linkedclone.errors.ChangedError`.
        - A new name that is taken fails with a
          :class:`~linkedclone.errors.DuplicateNameError`, a file that something
          reads by then, as far as the hypervisor can tell, with an
          :class:`~linkedclone.errors.InUseError`.

        Raises:
            UnsupportedError: There is no such thing at this endpoint.
        """

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long; return the states of all.

        One batched read each time. Returns at once if a job has finished already.
        """

    def close(self) -> None:
        """End the connection; never raises. Jobs go on at the endpoint."""
