"""Give a forked guest an identity of its own, and confirm it: by its agent, before its cards."""

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.guest.seed import read_public_key
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.ssh import HOST_KEY_ALIAS, KNOWN_HOSTS, generate_key
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.qemu.networks import CardRecord, parse_network
from linkedclone.errors import CustomizationError, GoneError, HypervisorError, LinkedCloneError
from linkedclone.guest.fork_identity import (
    ForkCard,
    ForkIdentity,
    build_clock_script,
    find_faults,
    is_clock_right,
)
from linkedclone.guest.fork_program import SEED_BYTES
from linkedclone.guest.fork_script import build_script
from linkedclone.guest.host_key import HostKey, read_host_key
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.system.atomic_files import replace_file

_CLOCK_SECONDS = 20.0
_CLOCK_TRIES = 3
IDENTITY_SECONDS = 180.0
"""How long a guest may take; emulated and on a busy host it takes some seconds."""


def plan_identity(
    state: StateFolder,
    source: StoredVm,
    old_macs: Sequence[str],
    vm: StoredVm,
    guest: Guest,
    key: HostKey,
) -> ForkIdentity:
    """Make up who a fork is to be.

    Args:
        source: The VM that it is forked from.
        old_macs: The addresses that the guest knows its cards by, in their order.
        guest: What is wanted of the guest.
    """
    seeded = bool(source.record.machine.seed)
    known = (*guest.cards, *(GuestCard() for _ in vm.record.machine.cards))
    customization = guest.customization
    before = {card.mac.lower(): card for card in source.record.machine.cards}
    cards = (
        ForkCard(
            old_mac=old_mac,
            mac=card.mac,
            wanted=replace(
                wanted,
                dns=wanted.dns or customization.dns,
                search=wanted.search or customization.search,
            ),
            renew=not (_is_usual(before.get(old_mac.lower())) and _is_usual(card)),
        )
        for old_mac, card, wanted in zip(old_macs, vm.record.machine.cards, known, strict=False)
    )
    return ForkIdentity(
        name=vm.record.name,
        host_name=guest.host_name,
        domain=customization.domain,
        machine_id=uuid.uuid4().hex,
        instance_id=guest.instance_id,
        host_key=key,
        cards=tuple(cards),
        login="" if seeded else vm.record.machine.login,
        login_key="" if seeded else read_public_key(state),
        seed=os.urandom(SEED_BYTES),
    )


def _is_usual(card: CardRecord | None) -> bool:
    """Say whether QEMU gives the card the address that it gives to every guest."""
    return card is not None and not card.address and parse_network(card.network).kind.is_behind_qemu


def make_host_key(scratch: Path) -> HostKey:
    """Make a key outside of the guest, where it takes some milliseconds."""
    path = scratch / "host-key"
    generate_key(path)
    return read_host_key(path.read_text(), path.with_suffix(".pub").read_text())


def give_identity(machine: Machine, identity: ForkIdentity) -> None:
    """Make a forked guest who it is to be, and return when it has read all of that back.

    Raises:
        CustomizationError: It did not, or says anything else: it is still its parent then.
    """
    sent = 0.0

    def build() -> bytes:
        nonlocal sent
        sent = time.time()
        return build_script(identity, time.time_ns())

    try:
        result = machine.run_script(build, IDENTITY_SECONDS)
    except GoneError:
        raise  # it does not even run
    except HypervisorError as error:
        raise _unconfirmed(identity, str(error)) from error
    received = time.time()
    faults = find_faults(identity, result.output)
    if not faults and not is_clock_right(result.output, sent=sent, received=received):
        # The script took long, or the guest's clock runs fast: set it once more, and look at once.
        faults = () if set_clock(machine) else ("its clock cannot be set",)
    if faults or result.status:
        why = "; ".join(faults) or f"the script ended with status {result.status}"
        raise _unconfirmed(identity, why)


def set_clock(machine: Machine) -> bool:
    """Set the clock of a guest, and say whether it is right then.

    A guest that was booted on a busy host may take its own clock for slower than it is.
    """
    with suppress(LinkedCloneError):  # a guest without an agent, or one that is busy
        for _ in range(_CLOCK_TRIES):
            sent = time.time()
            told = machine.run_script(lambda: build_clock_script(time.time()), _CLOCK_SECONDS)
            if is_clock_right(told.output, sent=sent, received=time.time()):
                return True
    return False


def _unconfirmed(identity: ForkIdentity, why: str) -> CustomizationError:
    return CustomizationError(
        f"{identity.name} did not take its identity: its network cards stayed down",
        details=why,
        hint=f"clone with ``keep_failed`` to look at its guest: ``console`` {identity.name}",
        kind="identity",
    )


def remember_host_key(vm: StoredVm, key: HostKey, *, durable: bool) -> None:
    """Let ssh know the key that the guest was given, so that nothing is learned on trust."""
    line = f"{HOST_KEY_ALIAS} {key.public}\n"
    replace_file(vm.folder / KNOWN_HOSTS, line.encode(), durable=durable)
