"""What ``doctor`` checks on a server."""
