"""The documents that cloud-init reads, made of a :class:`Guest`; the same for every hypervisor.

Mappings are written as JSON, which is YAML too: so no value has to be escaped
twice. The same guest gives the same bytes.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from linkedclone.errors import InputError
from linkedclone.model.customization import CloudInit, GuestUser
from linkedclone.model.guest import Guest, GuestCard

if TYPE_CHECKING:
    from email.message import Message

CLOUD_CONFIG: Final = b"#cloud-config\n"

ANY_CARD: Final = "e*"
"""What the names of Ethernet cards begin with: ``eth0``, ``ens192``, ``enp1s0``."""

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")
"""What JSON takes as it is, and YAML only escaped (YAML 1.2, section 5.1)."""


def encode_document(document: Mapping[str, object]) -> bytes:
    """Write a mapping as JSON that every YAML reader takes, too."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _UNPRINTABLE.sub(_escape, text).encode() + b"\n"


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def build_meta_data(guest: Guest, network: Mapping[str, object] | None = None) -> dict[str, object]:
    """Build the instance's identity; with ``network``, as the VMware datasource takes it."""
    found: dict[str, object] = {
        "instance-id": guest.instance_id,
        "local-hostname": guest.host_name,
    }
    if network is not None:
        found["network"] = dict(network)
    return found


def build_user_data(guest: Guest, config: Mapping[str, object] | None = None) -> bytes:
    """Build the user's document, of what we say of the guest; holds passwords in clear.

    A given document is sent unchanged beside ours in one of several
    parts. Where both say something, ours counts; lists are joined, ours first.
    """
    own = CLOUD_CONFIG + encode_document(config or build_cloud_config(guest))
    passed_on = guest.customization.cloud_init.user_data
    return join_documents(own.decode(), passed_on) if passed_on else own


def build_vendor_data(guest: Guest) -> bytes:
    """Return the vendor's document as it was given; empty for none."""
    return guest.customization.cloud_init.vendor_data.encode()


def build_cloud_config(guest: Guest) -> dict[str, object]:
    """Build what we say of a guest: its name, fresh host keys, who may log in, what is run.

    Passwords need cloud-init 22.3 [fact: ci-passwords].
    """
    wanted = guest.customization
    found: dict[str, object] = {
        "hostname": guest.host_name,
        "preserve_hostname": False,
        "manage_etc_hosts": True,
        "ssh_deletekeys": True,
    }
    if wanted.domain:
        found["fqdn"] = f"{guest.host_name}.{wanted.domain}"
    if wanted.time_zone:
        found["timezone"] = wanted.time_zone
    return found | _build_access(guest, wanted.cloud_init)


def _build_access(guest: Guest, wanted: CloudInit) -> dict[str, object]:
    found: dict[str, object] = {}
    if wanted.ssh_keys:
        found["ssh_authorized_keys"] = list(wanted.ssh_keys)
    if wanted.users:
        found["users"] = ["default", *(_build_user(user) for user in wanted.users)]
    if any(user.name == "root" and user.ssh_keys for user in wanted.users):
        found["disable_root"] = False
    passwords = [
        {"name": user.name, "password": guest.reveal(user.password), "type": "text"}
        for user in wanted.users
        if user.password
    ]
    if passwords:
        found["chpasswd"] = {"expire": False, "users": passwords}
    if wanted.run:
        found["runcmd"] = list(wanted.run)
    return found


def _build_user(user: GuestUser) -> dict[str, object]:
    found: dict[str, object] = {"name": user.name, "lock_passwd": user.password is None}
    if user.ssh_keys:
        found["ssh_authorized_keys"] = list(user.ssh_keys)
    if user.sudo:
        found["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    if user.groups:
        found["groups"] = list(user.groups)
    if user.shell:
        found["shell"] = user.shell
    return found


def build_network(
    cards: Sequence[GuestCard],
    macs: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
) -> dict[str, object]:
    """Build the network configuration, version 2 of cloud-init's format.

    Args:
        cards: What the cards get, in the order of the hardware; empty asks
            DHCP at all of them.
        macs: Their MAC addresses, as far as they are known; empty ones are not.
        names: What the guest calls the cards whose MAC address is not known.
        dns: Name servers of cards that have none of their own.
        search: The same of the domains to look names up in.
    """
    count = len(cards) or len(macs) or len(names) or 1
    found = {
        index: (
            cards[index] if cards else GuestCard(),
            macs[index] if index < len(macs) else "",
            names[index] if index < len(names) else "",
        )
        for index in range(count)
    }
    if _are_alike(cards) and any(not mac and not name for _, mac, name in found.values()):
        found = {0: found[0]}
    ethernets = {
        _key(mac, name, index): {
            "match": _match(mac, name, index, alone=len(found) == 1),
            **_build_card(card, dns, search),
        }
        for index, (card, mac, name) in found.items()
    }
    return {"version": 2, "ethernets": ethernets}


def _are_alike(cards: Sequence[GuestCard]) -> bool:
    """Say whether it does not matter which card is which."""
    return len(set(cards)) < 2 and not any(card.addresses for card in cards)


def _key(mac: str, name: str, index: int) -> str:
    """Return what a card is called in the document.

    The renderers of Red Hat's and Debian's own network scripts take this for
    the device's name, where no MAC address is matched (cloud-init,
    ``network_state.handle_ethernets``).
    """
    return name if name and not mac else f"card{index}"


def _match(mac: str, name: str, index: int, *, alone: bool) -> dict[str, str]:
    if mac:
        return {"macaddress": mac.lower()}
    if alone:
        return {"name": ANY_CARD}
    if name:
        return {"name": name}
    raise InputError(
        f"network card {index} cannot be distinguished from the others in the guest",
        hint="give the cards MAC addresses (``macs``), or leave all of them to DHCP",
    )


def _build_card(card: GuestCard, dns: Sequence[str], search: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {"dhcp4": card.dhcp}
    if card.dhcp6:
        found["dhcp6"] = True
    if card.addresses:
        found["addresses"] = list(card.addresses)
    if card.gateways:
        found["routes"] = [{"to": _everything(via), "via": via} for via in card.gateways]
    servers, domains = list(card.dns or dns), list(card.search or search)
    if servers or domains:
        given = {"addresses": servers, "search": domains}
        found["nameservers"] = {key: value for key, value in given.items() if value}
    return found


def _everything(gateway: str) -> str:
    """Return all addresses of a gateway's family: older cloud-inits do not know ``default``."""
    return "::/0" if ":" in gateway else "0.0.0.0/0"


_TYPES: Final = {
    "#!": "x-shellscript",
    "#cloud-config-archive": "cloud-config-archive",
    "#cloud-config-jsonp": "cloud-config-jsonp",
    "#cloud-config": "cloud-config",
    "#cloud-boothook": "cloud-boothook",
    "#include-once": "x-include-once-url",
    "#include": "x-include-url",
    "#part-handler": "part-handler",
    "## template: jinja": "jinja2",
}
"""What a document begins with, and its type. The longer
of two with the same beginning, the longer comes first."""

_JOINED: Final = "list(append)+dict(no_replace,recurse_list)+str()"
"""Values already set stay, lists are joined.
Without it a later part takes the place of an earlier one, key by key."""


def join_documents(own: str, other: str) -> bytes:
    """Join a cloud-config with a document of another kind, or another one [fact: ci-parts].

    Args:
        own: What counts where both say something.
        other: What is passed on as it is.
    """
    from email.mime.multipart import MIMEMultipart
    from email.policy import SMTP

    digest = hashlib.sha256(f"{own}\0{other}".encode()).hexdigest()
    joined = MIMEMultipart(boundary=f"=={digest[:32]}==")
    joined.attach(_part(own, "cloud-config", "own.cfg"))
    joined.attach(_read_part(other))
    return joined.as_bytes(policy=SMTP.clone(linesep="\n"))


def _read_part(text: str) -> "Message":
    from email import message_from_string

    if text[:13].lower() in {"content-type:", "mime-version:"}:
        return message_from_string(text)
    for beginning, kind in _TYPES.items():
        if text.startswith(beginning):
            part = _part(text, kind, "passed-on")
            if kind == "cloud-config":
                part["Merge-Type"] = _JOINED
            return part
    raise InputError(
        "cloud-init would not know what the user data is",
        details=f"it begins with {text[:40]!r}",
        hint="begin it with #cloud-config, #!, #include or the like",
    )


def _part(text: str, kind: str, name: str) -> "Message":
    from email.mime.nonmultipart import MIMENonMultipart

    part = MIMENonMultipart("text", kind)
    part.set_payload(text, "utf-8")
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part
