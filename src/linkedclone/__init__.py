"""Virtual machines in seconds, as linked clones."""

__version__ = "0.1.0"
