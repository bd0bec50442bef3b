"""Several user-data documents in one, as cloud-init takes them [fact: ci-parts]."""

import hashlib
from email import message_from_string
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import SMTP
from typing import Final

from linkedclone.errors import InputError

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
beginnings stand before those that they begin with."""

_JOINED: Final = "list(append)+dict(no_replace,recurse_list)+str()"
"""What is told already stays, lists are joined.
Without it a later part takes the place of an earlier one, key by key."""


def join_documents(own: str, other: str) -> bytes:
    """Join a cloud-config with a document of another kind, or another cloud-config.

    Args:
        own: What counts where both say something.
        other: What is passed on as it is.
    """
    digest = hashlib.sha256(f"{own}\0{other}".encode()).hexdigest()
    joined = MIMEMultipart(boundary=f"=={digest[:32]}==")
    joined.attach(_part(own, "cloud-config", "own.cfg"))
    joined.attach(_read_part(other))
    return joined.as_bytes(policy=SMTP.clone(linesep="\n"))


def _read_part(text: str) -> Message:
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


def _part(text: str, kind: str, name: str) -> Message:
    part = MIMENonMultipart("text", kind)
    part.set_payload(text, "utf-8")
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part
