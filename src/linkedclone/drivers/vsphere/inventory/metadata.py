"""The instance-id that cloud-init reads from ``guestinfo.metadata``. Pure.

The datasource takes JSON or YAML, plain, in base64 or packed besides, as
``guestinfo.metadata.encoding`` says (cloud-init, DataSourceVMware). One scalar
is all that is wanted here, so no YAML library is loaded for it.
"""

from __future__ import annotations

import re
from typing import Final

TEXT: Final = 'config.extraConfig["guestinfo.metadata"]'
ENCODING: Final = 'config.extraConfig["guestinfo.metadata.encoding"]'

PATHS: Final = (TEXT, ENCODING)

_LARGEST: Final = 1 << 20
"""Bytes of unpacked metadata that are looked at: more than a VM's extraConfig holds."""

_GZIP: Final = 31
"""What tells zlib to expect a gzip header."""

_SCALAR: Final = re.compile(
    r"""(?:^|[{,])[ \t]*(["']?)instance-id\1[ \t]*:[ \t]*"""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#,}][^\n#,}]*))""",
    re.MULTILINE,
)
"""A line of YAML, or a member of a mapping in braces, JSON's or YAML's."""


def read_instance_id(text: str, encoding: str) -> str:
    """Return a VM's instance-id; empty if there is none, or none that can be read."""
    match = _SCALAR.search(_decode(text, encoding.lower()))
    return next((found.strip() for found in match.groups()[1:] if found), "") if match else ""


def _decode(text: str, encoding: str) -> str:
    if not encoding:
        return text
    if encoding not in {"base64", "b64", "gzip+base64", "gz+b64"}:
        return ""
    import base64
    import zlib

    try:
        raw = base64.b64decode(text)
        if encoding.startswith("gz"):
            raw = zlib.decompressobj(_GZIP).decompress(raw, _LARGEST)
        return raw.decode()
    except (ValueError, zlib.error):
        return ""
