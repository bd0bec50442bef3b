"""A string that does not show itself, and how to keep it out of texts that others made."""

import os
import re
from typing import Final
from weakref import WeakSet

_SHORTEST_SCRUBBED = 4
"""Shorter ones would be found in every other word, and so be told by what is missing."""

_IN_URL = re.compile(r"(?:\w+://)?+[^:]*:(.*)@", re.DOTALL)

_ALIVE: "WeakSet[Secret]" = WeakSet()


class Secret:
    """A password. Printing, logging or comparing by ``repr`` never shows it."""

    __slots__ = ("__weakref__", "_value")

    SHOWN: Final = "********"

    def __init__(self, value: str) -> None:
        self._value = value
        _ALIVE.add(self)

    def reveal(self) -> str:
        """Return the password itself; to be called only where it goes on the wire."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.SHOWN!r})"

    def __str__(self) -> str:
        return self.SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        msg = "a secret is not written to files"
        raise TypeError(msg)


def scrub(text: str) -> str:
    """Return a text without the passwords that this process knows, plain or percent-encoded.

    For texts from elsewhere (a server, a library, a traceback), which might
    repeat what was sent to them.
    """
    from urllib.parse import quote

    values = {secret.reveal() for secret in list(_ALIVE)} | _environment_passwords()
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SCRUBBED:
            for form in (value, quote(value, safe=""), quote(value)):
                text = text.replace(form, Secret.SHOWN)
    return text


def _environment_passwords() -> set[str]:
    from urllib.parse import unquote

    found = {os.environ.get(name, "") for name in ("LINKEDCLONE_PASSWORD", "GOVC_PASSWORD")}
    for name in ("LINKEDCLONE_ENDPOINT", "GOVC_URL"):
        match = _IN_URL.match(os.environ.get(name, ""))
        if match:
            found |= {match[1], unquote(match[1])}
    return found
