"""The instance-id that cloud-init reads from ``guestinfo.metadata``. Pure.

The datasource takes JSON or YAML, plain, in base64 or packed besides, as
``guestinfo.metadata.encoding`` says (cloud-init, DataSourceVMware). One scalar
is all that is wanted here, so no YAML library is loaded for it.
"""

import re
from typing import Final

TEXT: Final = 'config.extraConfig["guestinfo.metadata"]'
ENCODING: Final = 'config.extraConfig["guestinfo.metadata.encoding"]'

PATHS: Final = (TEXT, ENCODING)

_SCALAR: Final = re.compile(
    r"""(?:^|[{,])[ \t]*(["']?)instance-id\1[ \t]*:[ \t]*"""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#,}][^\n#,}]*))""",
    re.MULTILINE,
)
"""A line of YAML, or a member of a mapping in braces, JSON's or YAML's."""


def read_instance_id(text: str, encoding: str) -> str:
    """Return a VM's instance-id; empty if there is none, or none that can be read."""
    if encoding:
        from linkedclone.guest.guestinfo import unpack_document

        text = unpack_document(text, encoding)
    match = _SCALAR.search(text)
    return next((found.strip() for found in match.groups()[1:] if found), "") if match else ""
