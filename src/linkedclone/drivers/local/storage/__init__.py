"""Layers: made, sealed, locked, repointed."""
