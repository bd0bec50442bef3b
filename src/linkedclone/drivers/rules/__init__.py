"""Rules that all drivers share."""
