"""What a check works with at a lone ESXi host: VMs of our own, each in a directory of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.lone_host.directory import Directories, directory_of
from linkedclone.errors import LinkedCloneError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest, DiskMove
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark, Power, Snapshot, Vm
from tests import do
from tests.live.lab import Lab


class HostLab(Lab):
    """A lab without an inventory folder: what is ours is known by its name."""

    def set_up(self) -> None:
        """Copy the parent, and take a snapshot of the copy."""
        (source,) = self.driver.find_vms([self._settings.parent])
        if source.power is not Power.OFF:
            msg = f"{source.name} has to be off: a running VM is not copied here"
            raise RuntimeError(msg)
        name = f"{self.name}-parent"
        request = CloneRequest(parent=source.name, names=(name,), disk_move=DiskMove.COPIED)
        self._target = self.driver.resolve_target(source, request)
        uuid = self.new_uuid()
        step = CreateClone(
            source=source,
            snapshot=None,
            target=self._target,
            name=name,
            uuid=uuid,
            mark=Mark(owner="linkedclone-live", uuid=uuid, run=self.name),
            disk_move=DiskMove.COPIED,
            power_on=False,
        )
        self._parent = VmId(str(self.result_of(self.driver.start(step))))
        self.snapshot(self._parent)

    def tear_down(self) -> list[str]:
        """Unregister what is ours, then delete its directories; return what could not be."""
        for vm in self._ours():
            with suppress(LinkedCloneError):
                self.finish(self.driver.start(do.set_power(VmId(vm._GetMoId()), Power.OFF)))
            with suppress(vmodl.MethodFault):
                vm.UnregisterVM()
        if self._target is None:
            return []
        names = [f"{self.name}-parent"]
        names += [f"{self.name}-{number:02}" for number in range(1, self._numbers + 1)]
        return [name for name in names if not self._remove_directory(name)]

    def _ours(self) -> Sequence[Any]:
        (center,) = self.session.content.rootFolder.childEntity
        every = center.vmFolder.childEntity
        return [vm for vm in every if str(vm.name).startswith(self.name)]

    def _remove_directory(self, name: str) -> bool:
        assert self._target
        if self.files(f"[{self._target.datastore_name}] {name}") is None:
            return True
        call = self.session.content.fileManager.DeleteDatastoreFile_Task
        path = f"[{self._target.datastore_name}] {name}"
        return self.finish(self.driver._jobs.start(name, "delete", call, name=path)).error is None

    # -- what checks do -------------------------------------------------------------------

    def snapshot(self, vm: VmId) -> Snapshot:
        """Take a snapshot of a VM, and return it."""
        self.result_of(self.driver.start(do.create_snapshot(vm, "base", "")))
        return next(one for one in self.look(vm).snapshots if one.current)

    def look(self, vm: VmId) -> Vm:
        """Read a VM whole, with its snapshots."""
        return self.driver.find_vms([self.driver.observe_vms([vm])[0].uuid])[0]

    def files(self, directory: str) -> tuple[str, ...] | None:
        """List a directory; None if there is none."""
        assert self._target
        where = Directories(self.session, self.driver._collector)
        return where.list_files(directory, self._target.datastore)

    def directory(self, step: CreateClone) -> str:
        """Return the directory of a clone."""
        return directory_of(step)

    def run(self, call: Any, **arguments: object) -> Any:
        """Run a task that has to succeed."""
        return self.result_of(self.driver._jobs.start("it", "call", call, **arguments))

    def kind_of_fault(self, call: Any, **arguments: object) -> str:
        """Send what has to fail; return the name of its fault, or an empty string."""
        try:
            answer = self.session.call("try it", call, **arguments)
            if isinstance(answer, vim.Task):
                self.result_of(self.driver._jobs.follow("it", "call", answer))
        except LinkedCloneError as error:
            return str(getattr(error, "kind", "") or type(error).__name__)
        return ""

    def set_power(self, vm: Vm, power: Power) -> LinkedCloneError | None:
        """Start or stop a VM; return what kept it from that."""
        return self.finish(self.driver.start(do.set_power(vm, power))).error


def kinds_of(devices: Sequence[Any], *which: type) -> Mapping[int, str]:
    """Return the kinds of devices by their keys."""
    return {one.key: type(one).__name__ for one in devices if not which or isinstance(one, which)}
