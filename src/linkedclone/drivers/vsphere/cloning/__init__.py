"""The request of a clone."""
