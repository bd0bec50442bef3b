"""The `local:` driver: plain QEMU on this machine, its state in one folder, no daemon."""
