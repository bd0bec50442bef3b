"""Whether memory that a snapshot kept can be loaded by this host, into a VM as it is now."""

from dataclasses import replace
from typing import Any

import pytest

from linkedclone.drivers.local.storage.memory import Host, tell_stale
from tests.unit.drivers.local.state.test_record import MEMORY

HOST = Host(
    qemu=(7, 2, 22),
    kvm=False,
    host_cpu="",
    shape=MEMORY.shape,
    cpus=MEMORY.cpus,
    memory_bytes=MEMORY.memory_bytes,
)
KVM_MEMORY = replace(MEMORY, accel="kvm", cpu="host", host_cpu="abc")
KVM_HOST = replace(HOST, kvm=True, host_cpu="abc")


@pytest.mark.parametrize("version", [(7, 2, 22), (7, 2, 23), (7, 10, 0), (10, 0, 2)])
def test_memory_is_loaded_by_the_qemu_that_saved_it_and_by_newer_ones(
    version: tuple[int, ...],
) -> None:
    assert tell_stale(MEMORY, replace(HOST, qemu=version)) == ""


def test_memory_of_software_emulation_is_loaded_where_there_is_kvm_too() -> None:
    assert tell_stale(MEMORY, KVM_HOST) == ""
    assert tell_stale(KVM_MEMORY, KVM_HOST) == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"qemu": ()}, "QEMU is not installed"),
        ({"qemu": (7, 2, 9)}, "saved by QEMU 7.2.22, and this is 7.2.9"),
        ({"qemu": (6, 10, 30)}, "saved by QEMU 7.2.22, and this is 6.10.30"),
        ({"kvm": False}, "under KVM, which cannot be used here"),
        ({"host_cpu": "abd"}, "on a CPU with other abilities"),
        ({"cpus": 1}, "2 CPUs and 128 MiB of memory"),
        ({"memory_bytes": 256 << 20}, "2 CPUs and 128 MiB of memory"),
        ({"shape": "fedcba9876543210"}, "other devices"),
    ],
)
def test_memory_that_would_hang_the_guest_is_stale(change: dict[str, Any], told: str) -> None:
    assert told in tell_stale(KVM_MEMORY, replace(KVM_HOST, **change))
