"""A machine without QEMU: whether it runs is kept in a file, so that every process sees it."""

from collections.abc import Callable
from pathlib import Path

from linkedclone.drivers.local.machine.config import MachineState
from linkedclone.drivers.local.store import StoredVm
from linkedclone.model.observed import Power


class PretendMachine:
    def __init__(self, folder: Path) -> None:
        self._switch = folder / "run" / "on"

    def start(self, deadline_seconds: float) -> None:  # noqa: ARG002
        self._switch.parent.mkdir(exist_ok=True)
        self._switch.touch()

    def stop(self, *, force: bool) -> None:  # noqa: ARG002
        self._switch.unlink(missing_ok=True)

    def resume(self) -> None:
        pass

    def snapshot_disk(self, new_overlay: Path) -> bool:  # noqa: ARG002
        return False

    def copy_disk(self, target: Path, commit: Callable[[], None]) -> None:
        raise NotImplementedError("there is no QEMU to copy anything")

    def cancel_copy(self) -> None:
        raise NotImplementedError("there is no QEMU that copies")

    def grow_disk(self, capacity_bytes: int) -> None:
        raise NotImplementedError("there is no QEMU to grow anything")

    def observe(self) -> MachineState:
        return MachineState(power=Power.ON if self._switch.exists() else Power.OFF)


def open_pretend_machine(vm: StoredVm) -> PretendMachine:
    return PretendMachine(vm.folder)
