"""Disk files of no VM: found, read, removed."""
