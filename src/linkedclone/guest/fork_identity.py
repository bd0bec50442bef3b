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
_CLOCK: Final = re.compile(rb"^clock ([0-9]{1,12})$", re.MULTILINE)
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


def find_faults(identity: ForkIdentity, told: bytes) -> tuple[str, ...]:
    """Compare what a guest reads back with what is wanted; empty if it is who it is to be.

    The guest is not trusted: an answer of any other form is a fault. For its clock see
    :func:`is_clock_right`. ``told`` is the output of the script, see ``fork_script``.
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
    return tuple(
        f"its {name} is {found}, and not {value}"
        for (name, value), (_, found) in zip(wanted, seen[1:], strict=True)
        # Where nothing in the guest looks at instance-ids, none is kept.
        if found != value and (name, found) != ("instance-id", _NONE_KEPT)
    )


def is_clock_right(told: bytes, *, sent: float, received: float) -> bool:
    """Say whether a guest tells the time, in a line ``clock SECONDS``.

    Args:
        told: The output of a script.
        sent: When the script was sent, in seconds since the epoch.
        received: When its output was received.
    """
    found = _CLOCK.search(told)
    return found is not None and sent - _CLOCK_SECONDS <= int(found[1]) <= received + _CLOCK_SECONDS


def build_clock_script(now: float) -> bytes:
    """Build a script that sets the clock alone, and tells it; not all programs know fractions."""
    return f"date -s @{now:.3f} || date -s @{now:.0f}\necho clock $(date +%s)\n".encode()


def _list_wanted(identity: ForkIdentity) -> list[tuple[str, str]]:
    return [
        ("host-name", identity.host_name),
        ("machine-id", identity.machine_id),
        ("instance-id", identity.instance_id),
        *(("mac", card.mac.lower()) for card in identity.cards),
        ("host-key", identity.host_key.public),
    ]
