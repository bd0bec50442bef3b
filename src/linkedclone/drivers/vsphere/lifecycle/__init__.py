"""Power, settings, growth and moves of VMs."""
