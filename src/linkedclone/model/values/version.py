"""The version of linkedclone, as it is written into the mark of what it makes."""

__version__ = "0.1.0"
