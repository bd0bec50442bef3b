"""QEMU processes that outlive the command that started them, found again by their sockets."""
