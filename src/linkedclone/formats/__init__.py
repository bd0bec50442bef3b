"""Disk formats: bytes in, data out."""
