"""Machines: QEMU processes that outlive the command that started them.

A machine lives in a folder and is found again through the sockets in it. The
QMP library and the guest agent are spoken to nowhere else.
"""

from linkedclone.drivers.local.machine.accelerator import Accelerator, choose_accelerator
from linkedclone.drivers.local.machine.config import MachineConfig
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.ssh_key import build_ssh_command, ensure_key

__all__ = (
    "Accelerator",
    "Machine",
    "MachineConfig",
    "MachineState",
    "build_ssh_command",
    "choose_accelerator",
    "ensure_key",
)
