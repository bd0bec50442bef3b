"""A small inventory to try things on."""

from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.model.observed import Power


def make_demo() -> MemoryHypervisor:
    """Return a hypervisor with two parents, one of them with a snapshot, and two namesakes."""
    hypervisor = MemoryHypervisor()
    golden = hypervisor.add_vm("golden")
    hypervisor.add_snapshot(golden, "base", "freshly installed")
    hypervisor.add_vm("bare")
    hypervisor.add_vm("twin", folder="Desktops")
    hypervisor.add_vm("twin", folder="Servers", power=Power.ON)
    return hypervisor
