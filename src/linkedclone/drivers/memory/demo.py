"""Small inventories to try things on: ``memory:`` and ``memory:family``."""

from collections.abc import Callable, Mapping

from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.errors import NotFoundError
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.vm import Power


def make_scene(name: str) -> MemoryHypervisor:
    """Return a fresh hypervisor with one of the inventories."""
    fill = SCENES.get(name)
    if fill is None:
        known = ", ".join(f"memory:{scene}" for scene in SCENES)
        raise NotFoundError(f"there is no memory:{name}", hint=f"there are: {known}")
    hypervisor = MemoryHypervisor()
    fill(hypervisor)
    return hypervisor


def fill_demo(hypervisor: MemoryHypervisor) -> None:
    """Add two parents, one of them with a snapshot, and two namesakes."""
    golden = hypervisor.add_vm("golden")
    hypervisor.add_snapshot(golden, "base", "freshly installed")
    hypervisor.add_vm("bare")
    hypervisor.add_vm("twin", folder="Desktops")
    hypervisor.add_vm("twin", folder="Servers", power=Power.ON)


def fill_family(hypervisor: MemoryHypervisor) -> None:
    """Add all that a family may have.

    Clones, clones of a clone, one of another tool, a delta that a failed task
    left, and a clone whose parent was unregistered.
    """
    golden = hypervisor.add_vm("golden")
    base = hypervisor.add_snapshot(golden, "base", "freshly installed")
    desks = [
        hypervisor.add_clone(golden, base, f"desk-{number}", owner=DEFAULT_OWNER, run=True)
        for number in (1, 2, 3)
    ]
    patched = hypervisor.add_snapshot(desks[0], "patched")
    for name in ("kiosk-1", "kiosk-2"):
        hypervisor.add_clone(desks[0], patched, name, owner=DEFAULT_OWNER)
    newer = hypervisor.add_snapshot(golden, "2026-11")
    hypervisor.add_clone(golden, newer, "web")
    hypervisor.add_orphan(golden)
    old = hypervisor.add_vm("old-golden", store="ssd2")
    last = hypervisor.add_clone(old, hypervisor.add_snapshot(old, "base"), "attic", owner="lab")
    hypervisor.forget(old)
    hypervisor.add_snapshot(last, "before-move")
    hypervisor.add_vm("bare")


SCENES: Mapping[str, Callable[[MemoryHypervisor], None]] = {"": fill_demo, "family": fill_family}
"""The endpoint behind ``memory:``."""
