"""The rows. Each module registers its own with :func:`bench.row.row`; importing finds them all."""

from importlib import import_module
from pkgutil import iter_modules

from bench.row import ROWS, Row


def load_rows() -> dict[str, Row]:
    """Import every module of this package and return all rows by name."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return ROWS
