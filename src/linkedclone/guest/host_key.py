"""An SSH host key that is made outside of the guest, in the formats of its servers. Pure."""

import base64
import binascii
import struct
from dataclasses import dataclass, field

from linkedclone.errors import InputError

_TYPE = b"ssh-ed25519"
_MAGIC = b"openssh-key-v1\0"
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """An ed25519 key without a passphrase."""

    private: str = field(repr=False)  # the private half, as ``ssh-keygen`` writes it
    public: str  # type and key in base64, as in ``known_hosts`` and on the public half's line

    @property
    def dropbear(self) -> bytes:
        """The private half as dropbear keeps it: the type, then the seed and the public key."""
        return _encode(_TYPE) + _encode(_read_private(self.private))


def read_host_key(private: str, public: str) -> HostKey:
    """Read both halves as ``ssh-keygen -t ed25519 -N ''`` writes them; comments are dropped."""
    key = HostKey(private=private, public=" ".join(public.split()[:2]))
    shown = base64.b64encode(_encode(_TYPE) + _encode(_read_private(private)[_SEED_BYTES:]))
    if key.public.encode() != _TYPE + b" " + shown:
        raise _refusal("its halves do not belong together")
    return key


def _read_private(text: str) -> bytes:
    """Return the seed and the public key of a private key without a passphrase.

    The layout is that of OpenSSH's ``PROTOCOL.key``.
    """
    try:
        content = base64.b64decode("".join(text.split("\n")[1:-2]), validate=True)
        if not content.startswith(_MAGIC):
            raise _refusal("it is of another format")
        rest = content.removeprefix(_MAGIC)
        cipher, rest = _take(rest)
        for _ in range(2):  # the key derivation and its options
            _, rest = _take(rest)
        _, rest = _take(rest[4:])  # the number of keys, then the public one
        keys, _ = _take(rest)
        kind, rest = _take(keys[8:])  # behind two numbers for checks
        _, rest = _take(rest)
        secret, _ = _take(rest)
    except (struct.error, binascii.Error) as error:
        raise _refusal(str(error)) from error
    if (cipher, kind, len(secret)) != (b"none", _TYPE, 2 * _SEED_BYTES):
        raise _refusal("it is of another type, or has a passphrase")
    return secret


def _take(content: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", content)
    return content[4 : 4 + length], content[4 + length :]


def _encode(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _refusal(why: str) -> InputError:
    return InputError("an SSH host key cannot be understood", details=why)
