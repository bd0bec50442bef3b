"""Who a forked guest is to be, and whether it is that. Pure."""

import re
from dataclasses import dataclass, field
from typing import Final

from linkedclone.guest.host_key import HostKey
from linkedclone.model.guest import GuestCard

FIRST_LINE: Final = "linkedclone identity 1"
LAST_LINE: Final = "done"
MOST_TOLD_BYTES: Final = 1 << 14
"""How much of the script's output is read."""

_VALUE: Final = re.compile(r"[!-~][ -~]{0,199}")
_FAILED: Final = re.compile(r"failed ([ -~]{1,200})")
_NONE_KEPT: Final = "-"
_CLOCK_SECONDS: Final = 2
_STRANGE: Final = "the guest's answer cannot be understood"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkCard:
    """What becomes of one network card."""

    old_mac: str  # what the guest knows it by until now
    mac: str
    wanted: GuestCard
    # Whether what the parent had there is dropped. Not where QEMU's own network gives every
    # guest the same address.
    renew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkIdentity:
    """Who a forked guest is to be."""

    name: str  # the VM's name, which hooks are told
    host_name: str
    domain: str = ""
    machine_id: str  # 32 hexadecimal digits (machine-id(5))
    instance_id: str
    host_key: HostKey
    cards: tuple[ForkCard, ...]
    login: str = ""  # a user who is let in with a key, where no seed has seen to it; empty for none
    login_key: str = ""  # the public key
    seed: bytes = field(repr=False)  # fresh random bytes, as many as the program takes

    @property
    def full_name(self) -> str:
        """The host name with its domain, if it has one."""
        return f"{self.host_name}.{self.domain}" if self.domain else self.host_name


def find_faults(
    identity: ForkIdentity, told: bytes, *, sent: float, received: float
) -> tuple[str, ...]:
    """Compare what a guest reads back with what is wanted; empty if it is who it is to be.

    The guest is not trusted: an answer of any other form is a fault.

    Args:
        told: The output of the script, see ``fork_script``.
        sent: When the script was sent, in seconds since the epoch.
        received: When its output was received.
    """
    lines = told.decode("ascii", errors="replace").split("\n")
    failed = tuple(found[1] for line in lines if (found := _FAILED.fullmatch(line)))
    if failed:
        return failed
    if len(told) > MOST_TOLD_BYTES or lines[0] != FIRST_LINE or lines[-2:] != [LAST_LINE, ""]:
        return (_STRANGE,)
    seen = [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines[1:-2]]
    wanted = _list_wanted(identity)
    expected = ["clock", *(name for name, _ in wanted)]
    if [name for name, _ in seen] != expected or not all(
        _VALUE.fullmatch(value) for _, value in seen
    ):
        return (_STRANGE,)
    (_, clock), *rest = seen
    faults = [
        f"its {name} is {found}, and not {value}"
        for (name, value), (_, found) in zip(wanted, rest, strict=True)
        # Where nothing in the guest looks at instance-ids, none is kept.
        if found != value and (name, found) != ("instance-id", _NONE_KEPT)
    ]
    if not _is_between(clock, sent - _CLOCK_SECONDS, received + _CLOCK_SECONDS):
        faults.append(f"its clock is at {clock}, and not at {received:.0f}")
    return tuple(faults)


def _list_wanted(identity: ForkIdentity) -> list[tuple[str, str]]:
    return [
        ("host-name", identity.host_name),
        ("machine-id", identity.machine_id),
        ("instance-id", identity.instance_id),
        *(("mac", card.mac.lower()) for card in identity.cards),
        ("host-key", identity.host_key.public),
    ]


def _is_between(clock: str, first: float, last: float) -> bool:
    return bool(re.fullmatch("[0-9]{1,12}", clock)) and first <= int(clock) <= last
