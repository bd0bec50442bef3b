"""Changes to existing VMs."""
