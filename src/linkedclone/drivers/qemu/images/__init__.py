"""Disk images: check them, download them, build them."""
