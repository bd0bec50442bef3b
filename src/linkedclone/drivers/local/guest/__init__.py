"""The seed of a guest's first boot, and access to the guest."""
