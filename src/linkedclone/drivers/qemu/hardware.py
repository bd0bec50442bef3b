"""The hardware of a machine, and a clone's: its parent's, with what is wanted otherwise."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from linkedclone.drivers.qemu.networks import CardRecord, NetworkKind, find_group, parse_network
from linkedclone.drivers.rules.network_cards import choose_cards, fill_macs
from linkedclone.errors import InputError
from linkedclone.formats.qcow2 import MAX_VIRTUAL_BYTES
from linkedclone.model.request import Hardware, Nic
from linkedclone.model.values.ids import StoreId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import is_user_name

BIOS = "bios"
UEFI = "uefi"

MOST_DISKS = 16
MOST_CARDS = 8
"""Each takes one of the slots that PCI devices have here [fact: qemu-slots]."""

LEAST_UEFI_BYTES = 256 << 20
"""With less OVMF does not get to the guest's kernel [fact: qemu-ovmf-memory]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    cpus: int
    memory_bytes: int
    cards: tuple[CardRecord, ...]
    firmware: str = BIOS  # what it boots with: ``bios`` or ``uefi``
    display: bool = False
    seed: str = ""  # file name of the NoCloud seed in the VM's folder; empty for none
    kernel: str = ""  # file name of a kernel to boot directly; empty for none
    initrd: str = ""  # file name of its initial RAM disk; empty for none
    append: str = ""
    user: str = ""  # who logs in to the guest by SSH; empty for its own default user
    # What the seed tells cloud-init the instance is; empty in a record of an older version, which
    # took the UUID for it.
    instance_id: str = ""

    @property
    def login(self) -> str:
        """Who logs in; empty where the record names no valid user."""
        return self.user if is_user_name(self.user) else ""

    @property
    def macs(self) -> tuple[str, ...]:
        return tuple(card.mac.lower() for card in self.cards)


def disk_label(number: int) -> str:
    """Return what a disk is called, counted from 0 in the order of the hardware; as on vSphere."""
    return f"Hard disk {number + 1}"


def build_machine(
    parent: MachineRecord, hardware: Hardware, macs: Sequence[str], *, store: StoreId
) -> MachineRecord:
    """Build a clone's hardware: all its cards get addresses of their own.

    Args:
        macs: The addresses of its first cards, as far as they are given.
        store: The id of the state folder, which tells its private networks from others'.
    """
    networks = plan_networks([card.network for card in parent.cards], hardware.nics)
    given = fill_macs("a clone", macs, len(networks))
    firmware = hardware.firmware or parent.firmware
    memory_bytes = hardware.memory_bytes or parent.memory_bytes
    if firmware == UEFI and memory_bytes < LEAST_UEFI_BYTES:
        raise InputError(
            f"UEFI does not boot with {render_size(memory_bytes)} of memory",
            hint=f"give at least {render_size(LEAST_UEFI_BYTES)}: ``hardware.memory_bytes`` 256MiB",
        )
    return replace(
        parent,
        cpus=hardware.cpus or parent.cpus,
        memory_bytes=memory_bytes,
        firmware=firmware,
        display=hardware.display or parent.display,
        cards=tuple(
            _build_card(mac or new_mac(), network, store)
            for mac, network in zip(given, networks, strict=True)
        ),
    )


def plan_networks(present: Sequence[str], nics: Sequence[Nic]) -> tuple[str, ...]:
    """Return what the cards are to be on: those that stay, then the new ones. Pure."""
    wanted = [nic.network if nic else card or "" for card, nic in choose_cards(present, nics)]
    if len(wanted) > MOST_CARDS:
        brief = f"a machine here cannot have {len(wanted)} network cards"
        raise InputError(brief, hint=f"it has room for {MOST_CARDS}")
    return tuple(str(parse_network(network)) for network in wanted)


def check_disks(present: int, hardware: Hardware) -> None:
    """Refuse more disks than a machine has room for, and larger ones than qcow2 knows."""
    count = present + len(hardware.disks)
    if count > MOST_DISKS:
        brief = f"a machine here cannot have {count} disks"
        raise InputError(brief, hint=f"it has room for {MOST_DISKS}")
    largest = max((disk.capacity_bytes for disk in hardware.disks), default=0)
    if largest > MAX_VIRTUAL_BYTES:
        raise InputError(
            f"a disk cannot have {render_size(largest)}",
            hint=f"the largest has {render_size(MAX_VIRTUAL_BYTES)}",
        )


def _build_card(mac: str, network: str, store: StoreId) -> CardRecord:
    parsed = parse_network(network)
    private = parsed.kind is NetworkKind.PRIVATE
    return CardRecord(
        mac=mac, network=network, group=find_group(store, parsed.name) if private else ""
    )


def new_mac() -> str:
    """Return a MAC address that no VM anywhere has: locally administered, 40 random bits."""
    return ":".join(f"{byte:02x}" for byte in (0x02, *secrets.token_bytes(5)))
