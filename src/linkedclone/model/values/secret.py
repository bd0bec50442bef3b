"""A string that does not show itself."""

from typing import Final
from weakref import WeakValueDictionary

from linkedclone.errors import InputError

_ALIVE: "WeakValueDictionary[int, Secret]" = WeakValueDictionary()
"""By identity: two that are equal are both known, whichever is dropped first."""


class Secret:
    """A password. Printing, logging or comparing by ``repr`` never shows it.

    Raises:
        InputError: It holds bytes that are not UTF-8, as Python passes them on from
            environments and standard input.
    """

    __slots__ = ("__weakref__", "_value")

    SHOWN: Final = "********"

    def __init__(self, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError:  # it holds the password
            brief = "a password is not text in UTF-8"
            raise InputError(brief, hint="type or store it again") from None
        self._value = value
        _ALIVE[id(self)] = self

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


def known_secrets() -> tuple[Secret, ...]:
    """Return the secrets that this process holds at the moment."""
    return tuple(_ALIVE.values())
