"""Import ahead of time what is needed later, while the program waits for others."""

from importlib import import_module
from threading import Thread


def import_ahead(*modules: str) -> None:
    """Import modules in the background, one after the other.

    Worth it only right before the calling thread waits, for a network or a
    hypervisor: threads that compute take turns on one processor, so whatever
    the caller imports itself would come later. Importing such a module anew
    waits until it is there, and tells if it cannot be imported.
    """
    Thread(target=_import_all, args=(modules,), name="import ahead", daemon=True).start()


def _import_all(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)
