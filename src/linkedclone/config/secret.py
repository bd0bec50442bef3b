"""Keep the passwords that this process knows out of texts that others made."""

import os
import re
from typing import Final

from linkedclone.model.secret import Secret, known_secrets

_SHORTEST_SCRUBBED: Final = 4
"""Shorter ones would be found in every other word, and so be told by what is missing."""

_IN_URL = re.compile(r"(?:\w+://)?+[^:]*:(.*)@", re.DOTALL)


def scrub(text: str) -> str:
    """Return a text without the passwords that this process knows, plain or percent-encoded.

    For texts from elsewhere (a server, a library, a traceback), which might
    repeat what was sent to them.
    """
    from urllib.parse import quote

    values = {secret.reveal() for secret in known_secrets()} | _environment_passwords()
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SCRUBBED:
            for form in (value, quote(value, safe=""), quote(value)):
                text = _pattern(form).sub(Secret.SHOWN, text)
    return text


def _pattern(form: str) -> re.Pattern[str]:
    """Return what finds a password; one that is a plain word counts only as a whole one.

    Or the rest of a longer word, as ``…word`` where ``pass`` was, would tell it.
    """
    whole = r"(?<![^\W\d_]){}(?![^\W\d_])" if form.isalpha() else "{}"
    return re.compile(whole.format(re.escape(form)))


def _environment_passwords() -> set[str]:
    from urllib.parse import unquote

    found = {os.environ.get(name, "") for name in ("LINKEDCLONE_PASSWORD", "GOVC_PASSWORD")}
    for name in ("LINKEDCLONE_ENDPOINT", "GOVC_URL"):
        match = _IN_URL.match(os.environ.get(name, ""))
        if match:
            found |= {match[1], unquote(match[1])}
    return found
