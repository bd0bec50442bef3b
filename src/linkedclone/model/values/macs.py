"""MAC addresses as people write them."""

import re

from linkedclone.errors import InputError

_OCTETS = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}", re.IGNORECASE)
_VMWARE = "00:50:56:"
_LAST_STATIC = 0x3F


def parse_mac(text: str) -> str:
    """Read a MAC address for a network card; return it in lower case with colons."""
    if not _OCTETS.fullmatch(text.strip()):
        raise InputError(f"{text!r} is not a MAC address", hint="write it as 00:50:56:01:02:03")
    mac = text.strip().lower().replace("-", ":")
    first = int(mac[:2], 16)
    if first & 1 or mac == "00:00:00:00:00:00":
        raise InputError(
            f"{mac} cannot be the address of a card: it is a group address or all zeros"
        )
    if mac.startswith(_VMWARE) and int(mac[9:11], 16) > _LAST_STATIC:
        raise InputError(
            f"{mac} is in the range that vCenter makes addresses from",
            hint="of VMware's own range, 00:50:56:00:00:00 to 00:50:56:3f:ff:ff may be given",
        )
    return mac
