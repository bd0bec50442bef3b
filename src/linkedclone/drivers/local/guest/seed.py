"""The NoCloud seed of a clone: who the guest is, and who may log in."""

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address, ip_interface
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.ssh import KEY, ensure_key
from linkedclone.drivers.qemu.hardware import MachineRecord
from linkedclone.drivers.qemu.networks import CardRecord, choose_user_addresses, parse_network
from linkedclone.errors import InputError, UnsupportedError
from linkedclone.guest.nocloud import (
    admit_key,
    as_cloud_init,
    build_documents,
    build_seed_iso,
    plain_guest,
)
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.guest import Guest, GuestCard

_LONGEST_LABEL = 63


def check_customization(wanted: Customization | None) -> None:
    """Refuse what guests here cannot be made to do."""
    if wanted is None:
        return
    if wanted.stored:
        raise _refusal(f"the stored specification {wanted.stored!r}", "write all into the file")
    if wanted.os is GuestOs.WINDOWS:
        raise _refusal("os: windows", "only cloud-init customizes guests here: os: cloud-init")
    if wanted.os is GuestOs.LINUX and wanted.linux.hwclock == "local":
        raise _refusal("linux: hwclock: local", "leave it out: the clock of machines here is UTC")


def _refusal(what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"{what} means nothing to local:", hint=hint, kind="NotSupported")


def check_guest(guest: Guest | None, machine: MachineRecord) -> None:
    """Refuse what a guest cannot be made on this hardware, before anything is made."""
    if guest is None:
        return
    check_customization(guest.customization)
    cards = len(machine.cards)
    if len(guest.cards) > cards:
        raise InputError(
            f"{guest.host_name} is given addresses for {len(guest.cards)} network cards, "
            f"and has {cards}",
            hint="list one entry of addresses for each card, or add a card: ``hardware.nics.add``",
        )
    for card in place_guest(machine, guest).cards:
        if card.address and parse_network(card.network).kind.is_behind_qemu:
            choose_user_addresses(IPv4Interface(card.address), card.gateway)
    build_documents(as_cloud_init(guest), machine.macs)


def place_guest(machine: MachineRecord, guest: Guest) -> MachineRecord:
    """Note on the hardware what the network behind it has to know of the guest."""
    known = (*guest.cards, *(GuestCard() for _ in machine.cards))
    cards = tuple(
        _place_card(card, wanted) for card, wanted in zip(machine.cards, known, strict=False)
    )
    return replace(machine, cards=cards, instance_id=guest.instance_id)


def _place_card(card: CardRecord, wanted: GuestCard) -> CardRecord:
    fixed = static_ipv4(wanted)
    if fixed is None:
        return replace(card, address="", gateway="")
    gateways = [ip_address(gateway) for gateway in wanted.gateways]
    own = next((str(gateway) for gateway in gateways if gateway.version == 4), "")
    return replace(card, address=str(fixed), gateway=own)


def name_guest(name: str, instance_id: str) -> Guest:
    """Return who a clone is that nothing is said of."""
    return plain_guest(host_name=host_name_of(name), instance_id=instance_id)


def build_seed(state: StateFolder, guest: Guest, *, macs: Sequence[str], user: str) -> bytes:
    """Build the seed image of a VM; it may hold passwords in clear.

    Args:
        state: The state folder; its own SSH key may log in, whatever the guest says.
        user: Who logs in with the state folder's key; see ``nocloud.admit_key``.
    """
    key = read_public_key(state)
    admitted = admit_key(as_cloud_init(guest), user=user, key=key)
    return build_seed_iso(build_documents(_fill_cards(admitted, len(macs)), macs, user=user))


def _fill_cards(guest: Guest, count: int) -> Guest:
    """Let DHCP serve the cards of which nothing is said."""
    missing = (GuestCard(),) * (count - len(guest.cards))
    return replace(guest, cards=(*guest.cards, *missing))


def static_ipv4(card: GuestCard) -> IPv4Interface | None:
    """Return the fixed IPv4 address of a card; None if it has none."""
    found = (ip_interface(address) for address in card.addresses)
    return next((address for address in found if isinstance(address, IPv4Interface)), None)


def host_name_of(name: str) -> str:
    """Make a host name of a VM's name: letters, digits and hyphens (RFC 952). Pure."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label[:_LONGEST_LABEL].rstrip("-") or "clone"


def read_public_key(state: StateFolder) -> str:
    """Return the state folder's own public key; the key is made at first."""
    return private_key(state).with_suffix(".pub").read_text().strip()


def private_key(state: StateFolder) -> Path:
    key = state.root / KEY
    return key if key.exists() else ensure_key(state.root)
