"""A folder of our own in a vCenter: all is made in it, and all of it goes at the end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from pyVmomi import vim, vmodl

from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import LinkedCloneError
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest, Placement, Target
from linkedclone.model.values.ids import FolderId, VmId
from linkedclone.model.vm import Mark, Power, Snapshot, Vm
from tests import do
from tests.live.settings import Settings

PREFIX = "linkedclone-live-"


class Lab:
    """What a check works with: a parent with a snapshot, in a folder of its own.

    Attributes:
        driver: Our driver, logged in.
        folder: The folder that everything is made in.
        parent: A full copy of the VM that was named, off, with the snapshot ``base``.
        simulated: True if the vCenter is the simulator.
    """

    def __init__(self, driver: VsphereDriver, settings: Settings) -> None:
        self.driver = driver
        self.session = driver._session
        about = self.session.content.about
        self.simulated = "simulator" in f"{about.name} {about.fullName}".lower()
        self.name = PREFIX + uuid.uuid4().hex[:8]
        self._settings = settings
        self._numbers = 0
        self.folder = FolderId("")
        self._parent: VmId | None = None
        self._target: Target | None = None

    # -- setting up, and taking down ----------------------------------------------------

    def set_up(self) -> None:
        """Make the folder, copy the parent into it, and take its snapshot."""
        (source,) = self.driver.find_vms([self._settings.parent])
        if source.power is not Power.OFF:
            msg = f"{source.name} has to be off: a running VM is not copied here"
            raise RuntimeError(msg)
        above = self.native(source.id).parent
        self.folder = FolderId(above.CreateFolder(self.name)._GetMoId())
        native, pool = self.native(source.id), source_pool(self.native(source.id))
        spec = vim.vm.CloneSpec(
            location=vim.vm.RelocateSpec(pool=pool), powerOn=False, template=False
        )
        made = self.result_of(
            self.driver._jobs.start(
                self.name,
                "clone",
                native.CloneVM_Task,
                folder=self.session.managed("Folder", self.folder),
                name=f"{self.name}-parent",
                spec=spec,
            )
        )
        self._parent = VmId(str(made))
        self.result_of(self.driver.start(do.create_snapshot(self._parent, "base", "")))
        request = CloneRequest(parent=self.parent.name, names=("any",), placement=Placement())
        self._target = self.driver.resolve_target(self.parent, request)

    def tear_down(self) -> list[str]:
        """Delete what stands in the folder, then the folder; return what could not be deleted."""
        if not self.folder:
            return []
        left: list[str] = []
        for _ in range(3):  # a task that was interrupted may still add one
            left = [self._remove(child) for child in self._children()]
            left = [name for name in left if name]
            if not left and not self._children():
                break
        if not self._children():
            task = self.session.managed("Folder", self.folder).Destroy_Task()
            self.result_of(self.driver._jobs.follow(self.name, "delete", task))
            return []
        return left or [self.name]

    def _children(self) -> Sequence[Any]:
        return list(self.session.managed("Folder", self.folder).childEntity)

    def _remove(self, child: Any) -> str:
        """Delete one VM or folder of ours; return its name if that failed."""
        name = str(child._GetMoId())
        try:
            name = child.name
            if isinstance(child, vim.Folder):
                left = [self._remove(below) for below in list(child.childEntity)]
                if any(left):
                    return next(filter(None, left))
                self.result_of(self.driver._jobs.follow(name, "delete", child.Destroy_Task()))
                return ""
            with suppress(LinkedCloneError):
                self.finish(self.driver.start(do.set_power(VmId(child._GetMoId()), Power.OFF)))
            state = self.finish(self.driver.start(do.delete_vm(VmId(child._GetMoId()))))
        except vmodl.fault.ManagedObjectNotFound:
            return ""
        except (LinkedCloneError, vmodl.MethodFault):
            return name
        return name if state.error else ""

    # -- what checks do -------------------------------------------------------------------

    @property
    def parent(self) -> Vm:
        """The parent as it is now."""
        assert self._parent
        (vm,) = self.driver.find_vms([self.driver.observe_vms([self._parent])[0].uuid])
        return vm

    def new_name(self) -> str:
        """Return a name that nobody has."""
        self._numbers += 1
        return f"{self.name}-{self._numbers:02}"

    def new_uuid(self) -> str:
        """Return a UUID that nobody has."""
        return str(uuid.uuid4())

    def step(
        self, source: Vm | None = None, *, name: str = "", snapshot: Snapshot | None = None
    ) -> CreateClone:
        """Return the step for a linked clone, off."""
        source = source or self.parent
        name = name or self.new_name()
        assert self._target
        wanted = self.new_uuid()
        mark = Mark(owner="linkedclone-live", uuid=wanted, run=self.name, parent_uuid=source.uuid)
        return CreateClone(
            source=source,
            snapshot=snapshot or next(one for one in source.snapshots if one.current),
            target=self._target,
            name=name,
            uuid=wanted,
            mark=mark,
            power_on=False,
        )

    def clone(self, source: Vm | None = None) -> Vm:
        """Make one linked clone, off; return it whole."""
        step = self.step(source)
        made = self.result_of(self.driver.start(step))
        return self.driver.observe_vms([VmId(str(made))])[0]

    def native(self, vm: VmId) -> Any:
        """Return the managed object of a VM."""
        return self.session.managed("VirtualMachine", vm)

    def finish(self, job: Job) -> JobState:
        """Wait for a job, whatever comes of it."""
        while True:
            (state,) = self.driver.wait([job], 5.0)
            if state.finished:
                return state

    def result_of(self, job: Job) -> str | None:
        """Wait for a job that has to succeed."""
        state = self.finish(job)
        if state.error is not None:
            raise state.error
        return state.result

    def fault_of(self, start: Callable[[], Job]) -> Any:
        """Start what has to fail; return the native fault, or None if it did not."""
        try:
            return getattr(self.finish(start()).error, "__cause__", None)
        except LinkedCloneError as error:
            return error.__cause__


def source_pool(native: Any) -> Any:
    """Return the pool to copy into: the VM's own, or the root pool of a template's cluster."""
    return native.resourcePool or native.runtime.host.parent.resourcePool


def _build_lab(driver: VsphereDriver, settings: Settings) -> Lab:
    if driver._session.is_vcenter:
        return Lab(driver, settings)
    from tests.live.host_lab import HostLab

    return HostLab(driver, settings)


@contextmanager
def open_lab(settings: Settings, *, tell: Callable[[str], None]) -> Iterator[Lab]:
    """Set up a lab and take it down again, whatever happens in it."""
    opened = open_driver(settings.endpoint)
    if not isinstance(opened, VsphereDriver):
        opened.close()
        msg = "this is no vCenter"
        raise TypeError(msg)
    with closing(opened):
        lab = _build_lab(opened, settings)
        try:
            lab.set_up()
            yield lab
        finally:
            tell("cleaning up …")
            left = lab.tear_down()
            if left:
                tell(f"NOT DELETED, look into the folder {lab.name}: {', '.join(left)}")
            else:
                tell(f"the folder {lab.name} and all in it is deleted")
