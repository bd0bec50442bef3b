"""Names that QEMU is given at its start, and asked for by later."""

# Paths relative to the machine's folder, in which QEMU is started.
QMP_SOCKET = "qmp.sock"
AGENT_SOCKET = "agent.sock"
AGENT_CHARDEV = "agent0"


def disk_device(number: int) -> str:
    return f"disk{number}"
