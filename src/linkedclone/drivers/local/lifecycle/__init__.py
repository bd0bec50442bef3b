"""Power, names, settings, growth and the end of VMs."""
