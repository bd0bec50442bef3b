"""What cloud-init reads from a VM's ``guestinfo`` settings: names and values. Pure.

cloud-init's VMware datasource takes three documents, each packed as the setting with
``.encoding`` behind its name says [fact: ci-vmware]. It looks here before it looks for a
customization of vSphere's own, so what a clone would inherit from its parent is always
replaced or removed.
"""

import base64
import gzip
import zlib
from collections.abc import Sequence
from typing import Final

from linkedclone.errors import InputError
from linkedclone.guest.cloud_config import (
    build_meta_data,
    build_network,
    build_user_data,
    build_vendor_data,
    encode_document,
)
from linkedclone.model.guest import Guest

DOCUMENTS: Final = ("metadata", "userdata", "vendordata")
ENCODING: Final = "gzip+base64"
PREFIX: Final = "guestinfo."

_SYSTEM: Final = 9
"""Where a gzip header tells the operating system (RFC 1952, section 2.3)."""

_ENCODINGS: Final = frozenset({"base64", "b64", ENCODING, "gz+b64"})
"""How cloud-init's VMware datasource lets documents be packed."""

_GZIP: Final = 31
"""What tells zlib to expect a gzip header."""

_LARGEST_UNPACKED: Final = 1 << 20
"""Bytes of an unpacked document that are looked at: more than a VM's extraConfig holds."""

LARGEST: Final = 512 << 10
"""Bytes that a packed document may have.

No limit of single settings is known; this is that of the same documents in a
customization [fact: vs-cust-identities]."""


def build_guestinfo(
    guest: Guest, macs: Sequence[str] = (), *, names: Sequence[str] = ()
) -> dict[str, str]:
    """Build the settings that make a guest what it is to be; may hold passwords.

    A document with passwords is overwritten by cloud-init as soon as it has
    been read (its key ``redact``), so that it does not stay in the settings,
    where everybody can read it who can read the VM.

    Args:
        macs: MAC addresses of its cards, as far as they are known.
        names: What the guest calls the cards whose address is not known.
    """
    found = build_removal()
    documents = {
        "metadata": encode_document(build_vmware_meta_data(guest, macs, names=names)),
        "userdata": build_user_data(guest),
        "vendordata": build_vendor_data(guest),
    }
    for name, document in documents.items():
        if document:
            found[f"{PREFIX}{name}"] = _pack(name, document)
            found[f"{PREFIX}{name}.encoding"] = ENCODING
    return found


def build_removal() -> dict[str, str]:
    """Return what removes the documents that a clone inherits from its parent."""
    keys = [f"{PREFIX}{name}{end}" for name in DOCUMENTS for end in ("", ".encoding")]
    return dict.fromkeys(keys, "")


def build_vmware_meta_data(
    guest: Guest, macs: Sequence[str] = (), *, names: Sequence[str] = ()
) -> dict[str, object]:
    """Build the metadata of cloud-init's VMware datasource: identity, network, what to forget."""
    wanted = guest.customization
    network = build_network(guest.cards, macs, names=names, dns=wanted.dns, search=wanted.search)
    found = build_meta_data(guest, network)
    if guest.secrets:
        found["redact"] = ["userdata"]
    return found


def unpack_document(text: str, encoding: str = ENCODING) -> str:
    """Return a document as it was before it was packed; empty if its packing is another.

    A guest may have written it, so no more than a setting can hold is unpacked.
    """
    if not encoding:
        return text
    if encoding.lower() not in _ENCODINGS:
        return ""
    try:
        raw = base64.b64decode(text)
        if encoding.lower().startswith("gz"):
            raw = zlib.decompressobj(_GZIP).decompress(raw, _LARGEST_UNPACKED)
        return raw.decode()
    except (ValueError, zlib.error):
        return ""


def _pack(name: str, document: bytes) -> str:
    """Pack a document; without time and system in the header, so that equal ones stay equal."""
    raw = gzip.compress(document, mtime=0)
    packed = base64.b64encode(raw[:_SYSTEM] + b"\xff" + raw[_SYSTEM + 1 :]).decode()
    if len(packed) > LARGEST:
        raise InputError(
            f"guestinfo.{name} would have {len(packed):,} bytes when packed",
            hint=f"{LARGEST:,} are allowed; let the guest fetch what is large, with run "
            "or #include",
        )
    return packed
