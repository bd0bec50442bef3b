"""Keep the passwords that this process knows out of texts that others made.

A server, a library or a traceback may repeat what was sent to it, in whatever
form it was sent. Such texts are scrubbed where they come in or are shown. Our
own sentences hold no password, so in those only a value is looked for that no
sentence has by chance: a password such as ``a`` or ``server`` would garble
them, and be guessed by what is missing.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final

from linkedclone.model.values.secret import Secret, known_secrets

_SHORTEST_ANYWHERE: Final = 4
"""Shorter ones are found in every other word."""

_LEAST_STRONG: Final = 8

_COMMON: Final = frozenset(
    word
    for line in (
        "admin administrator changeme default esxi false guest host localhost login name none",
        "null passwd password root secret server test token true user username vcenter vmware",
    )
    for word in line.split()
)
"""Words of ordinary sentences; as passwords they count only where a password is expected."""

_MOST_ENCODED: Final = 4096
"""Characters of one base64 text that are decoded."""

_VARIABLES: Final = ("LINKEDCLONE_PASSWORD", "GOVC_PASSWORD")
_URL_VARIABLES: Final = (
    "LINKEDCLONE_ENDPOINT",
    "GOVC_URL",
    *(name for one in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") for name in (one, one.lower())),
)

_IN_URL = re.compile(r"(?:\w+://)?+[^:]*:(.*)@", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")

_BEFORE = (
    r"(?i:pass(?:word|wd|phrase|code)?|pwd|secret|credentials?)"
    r"[\"'\\`]{0,4}(?:[^<>]{0,80}>|\s{0,4}(?:=|:)\s{0,4}[\"'\\`]{0,4}|&gt;)"
)
"""The prefix of a password where one is named: a tag, a key, an assignment."""

_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def scrub(text: str) -> str:
    """Return a text from elsewhere without the passwords that this process knows.

    In any form that a server, a proxy or a library may repeat them in: plain,
    escaped for XML, URLs, JSON or Python, or as base64 together with a user.
    """
    values = sorted(_known_values(), key=len, reverse=True)
    if not values:
        return text
    for value in values:
        text = _pattern(value).sub(_keep_before, text)
    return _BASE64.sub(lambda found: _scrub_encoded(found[0], values), text)


def scrub_sentence(text: str) -> str:
    """Return a sentence of ours without passwords that came into it with a name or an address."""
    for value in sorted(filter(_is_strong, _known_values()), key=len, reverse=True):
        text = _pattern(value).sub(_keep_before, text)
    return text


def _keep_before(found: re.Match[str]) -> str:
    return (found.groupdict().get("before") or "") + Secret.SHOWN


def _known_values() -> set[str]:
    values = {secret.reveal() for secret in known_secrets()} | _environment_passwords()
    return {value for value in values if value.strip()}


def _is_strong(value: str) -> bool:
    return len(value) >= _LEAST_STRONG and not value.isalpha() and not value.isdigit()


@lru_cache(maxsize=64)
def _pattern(value: str) -> re.Pattern[str]:
    """Return what finds a password in a text.

    One that is a plain word counts only as a whole one: the rest of a longer
    word, as ``…word`` where ``pass`` was, would tell it. One that is short, or a
    word of ordinary sentences, counts only where a password is named or
    between a user and a host.
    """
    form = "".join(map(_forms, value))
    if len(value) < _SHORTEST_ANYWHERE or value.casefold() in _COMMON:
        return re.compile(rf"(?P<before>{_BEFORE}){form}(?!\w)|(?P<colon>(?<=:)){form}(?=@)")
    whole = r"(?<![^\W\d_]){}(?![^\W\d_])" if value.isalpha() else "{}"
    return re.compile(whole.format(form))


def _forms(character: str) -> str:
    """Return what finds one character: itself, or as it is escaped somewhere, once or twice."""
    code = ord(character)
    octets = character.encode("utf-8", "surrogatepass")
    names = [rf"#0*{code}", rf"#[xX]0*(?i:{code:x})"]
    if character in _NAMED:
        names.append(_NAMED[character])
    units = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(
        rf"\\{{1,2}}u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2)
    )
    forms = [
        re.escape(character),
        rf"&(?:amp;)*(?:{'|'.join(names)});",
        "".join(rf"%(?:25)*(?i:{octet:02x})" for octet in octets),
        escaped,
    ]
    if code <= 0xFF:
        forms.append(rf"\\{{1,2}}x(?i:{code:02x})")
    if character == " ":
        forms.append(r"\+")
    if character in "\"'\\/":
        forms.append(rf"\\{{1,3}}{re.escape(character)}")
    return rf"(?:{'|'.join(forms)})"


def _scrub_encoded(token: str, values: list[str]) -> str:
    """Return a word of base64 as it is, or covered if a password is in it."""
    for decoded in _decode(token):
        for value in values:
            held = value.encode("utf-8", "surrogatepass")
            whole = decoded == held or decoded.endswith(b":" + held)
            if whole or (_is_strong(value) and held in decoded):
                return Secret.SHOWN
    return token


def _decode(token: str) -> Iterator[bytes]:
    whole = token[:_MOST_ENCODED].rstrip("=")
    for part in dict.fromkeys((whole, *whole.split("/"))):  # a path may precede it
        plain = part.translate(str.maketrans("-_", "+/"))
        with suppress(binascii.Error, ValueError):
            yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _environment_passwords() -> set[str]:
    from urllib.parse import unquote

    found = {os.environ.get(name, "") for name in _VARIABLES}
    for name in _URL_VARIABLES:
        match = _IN_URL.match(os.environ.get(name, ""))
        if match:
            found |= {match[1], unquote(match[1])}
    return found
