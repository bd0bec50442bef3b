"""Names that QEMU is given at its start, and asked for by later."""

# Paths relative to the machine's folder, in which QEMU is started.
QMP_SOCKET = "qmp.sock"
AGENT_SOCKET = "agent.sock"
AGENT_CHARDEV = "agent0"


def disk_device(number: int) -> str:
    """Return the id of a disk, counted from 0 in the order of the hardware."""
    return f"disk{number}"
