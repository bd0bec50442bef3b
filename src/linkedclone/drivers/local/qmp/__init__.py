"""QEMU's monitor and the guest agent."""
