"""Writing to the disks of a running machine as a guest would: QEMU's own ``qemu-io``."""

import subprocess
import tempfile
from pathlib import Path

from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.values.ids import VmId


class Guest:
    """Writes to a running VM, and keeps in mind what has to be there."""

    def __init__(self, state: StateFolder, vm: VmId) -> None:
        self.state = state
        self.vm = vm
        tops = load_vm(state, vm).disk_tops
        self.wanted = [bytearray(read_raw(top)) for top in tops]

    def write(self, at: int, length: int, fill: int, *, disk: int = 0) -> None:
        self.tell(f'qemu-io disk{disk} "write -P {fill} {at} {length}"')
        self.wanted[disk][at : at + length] = bytes([fill]) * length

    def tell(self, line: str) -> str:
        async def work(session: Session) -> str:
            arguments = {"command-line": line}
            told = await session.monitor.execute("human-monitor-command", **arguments)
            return told.text()

        return open_machine(load_vm(self.state, self.vm))._demand(work)

    def check(self) -> None:
        """Compare the disks with what was written; the VM is off, so that all is in the files."""
        tops = load_vm(self.state, self.vm).disk_tops
        assert len(tops) == len(self.wanted)
        for number, top in enumerate(tops):
            seen = read_raw(top)
            assert len(seen) == len(self.wanted[number])
            assert seen == bytes(self.wanted[number]), f"disk {number} differs"


def read_raw(disk: Path) -> bytes:
    """Return what a guest would read, through qemu-img."""
    with tempfile.NamedTemporaryFile() as flat:
        command = ("qemu-img", "convert", "-U", "-f", disk.suffix[1:], "-O", "raw", disk, flat.name)
        subprocess.run(command, check=True, capture_output=True)
        return Path(flat.name).read_bytes()
