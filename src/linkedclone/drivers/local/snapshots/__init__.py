"""Snapshots: taken, reverted, merged, promoted."""
