"""A machine without QEMU: whether it runs is kept in a file, so that every process sees it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.qmp.merge import LayerMerge
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.model.vm import Power


class PretendMachine(Machine):
    def __init__(self, folder: Path) -> None:
        self._switch = folder / "run" / "on"

    def start(self, deadline_seconds: float = 0.0) -> None:  # noqa: ARG002
        self._switch.parent.mkdir(exist_ok=True)
        self._switch.touch()

    def stop(self) -> None:
        self._switch.unlink(missing_ok=True)

    def ask_to_stop(self) -> bool:
        self._switch.unlink(missing_ok=True)
        return True

    def resume(self) -> None:
        pass

    def snapshot_disks(
        self,
        overlays: Mapping[int, Path],  # noqa: ARG002
        *,
        quiesce: bool = False,  # noqa: ARG002
    ) -> bool:
        return False

    def copy_disks(self, targets: Mapping[int, Path], commit: Callable[[bool], None]) -> None:
        raise NotImplementedError("there is no QEMU to copy anything")

    def merge_layers(self, merge: LayerMerge, commit: Callable[[bool], None]) -> None:
        raise NotImplementedError("there is no QEMU to merge anything")

    def read_chains(self) -> dict[int, tuple[Path, ...]]:
        raise NotImplementedError("there is no QEMU that has anything open")

    def cancel_jobs(self) -> None:
        raise NotImplementedError("there is no QEMU that does anything")

    def grow_disk(self, capacity_bytes: int, number: int = 0) -> None:
        raise NotImplementedError("there is no QEMU to grow anything")

    def read_files(self, files: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def run_command(self, command: Sequence[str], seconds: float) -> int:  # noqa: ARG002
        return 0

    def observe(self, *, guest: bool = True) -> MachineState:  # noqa: ARG002
        return MachineState(power=Power.ON if self._switch.exists() else Power.OFF)


def open_pretend_machine(vm: StoredVm) -> PretendMachine:
    return PretendMachine(vm.folder)
