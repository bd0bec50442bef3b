"""What the server tells of VMs, and how they are found by name."""
