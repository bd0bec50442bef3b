"""Carrying plans out: many jobs at once, progress, proof, undo, and the run log."""
