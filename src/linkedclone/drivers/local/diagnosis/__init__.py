"""What ``doctor`` checks on this machine."""
