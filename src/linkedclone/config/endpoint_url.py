"""Endpoints as URLs. Pure: a text in, its parts out."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from linkedclone.config.installed_drivers import find_installed
from linkedclone.errors import InputError
from linkedclone.model.values.secret import Secret

PATH_KINDS = ("local", "memory")
"""Built-in kinds of endpoint that are written ``kind:path`` and need no host."""

_SCHEMES = ("vsphere", "https")
_SHAPE = "write it as vsphere://USER@HOST/DATACENTER"
_ENCODE = "characters such as / ? # @ in user name or password are written as %2F %3F %23 %40"
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]+)(?::(?P<port>\d{1,5}))?")
_PASSWORD = re.compile(r"^((?:\w+://)?+[^:]*):.*@", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An endpoint's URL, taken apart."""

    kind: str
    host: str = ""  # host name or address, without brackets; empty for ``kind:path``
    port: int = 443
    user: str = ""  # user name, decoded
    password: Secret | None = None  # the password, if there is one in the URL
    datacenter: str = ""  # the part after the host, decoded
    path: str = ""  # the part after the colon of ``kind:path``
    insecure: bool | None = None  # what ``?insecure=`` says; None if nothing
    despite_vcenter: bool = False  # what ``?despite_vcenter=`` says


def redact(text: str) -> str:
    """Return a URL without its password, however malformed it is."""
    return _PASSWORD.sub(rf"\1:{Secret.SHOWN}@", text)


def is_url(text: str) -> bool:
    """Say whether an endpoint is given as a URL rather than by its name."""
    kind, colon, _ = text.partition(":")
    return "://" in text or (colon != "" and (kind in PATH_KINDS or kind in find_installed()))


def parse_url(text: str) -> Address:
    r"""Read ``vsphere://user@host:port/DC``, ``https://host/sdk``, ``memory:`` or ``local:/path``.

    A driver that is installed beside gives its endpoints either form, behind its own name.

    The last ``@`` ends the user name, so that ``user@vsphere.local@host`` needs
    no encoding; ``DOMAIN\user`` needs none either.

    Raises:
        InputError: It is not a valid URL. The text never holds the password.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        kind, _, path = text.partition(":")
        return Address(kind=kind, path=path)
    if scheme.lower() == "http":
        brief = f"{redact(text)} would send the password unencrypted"
        raise InputError(brief, hint="use https:// or vsphere://")
    built_in = scheme.lower() in _SCHEMES
    if not built_in and scheme not in find_installed():
        raise InputError(f"{redact(text)} is not a valid endpoint", hint=_SHAPE + ", or memory:")
    authority, path, query = _split(rest)
    if "@" in rest and "@" not in authority:
        raise InputError(f"{redact(text)} cannot be read", hint=_ENCODE)
    userinfo, _, place = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    host, port = _parse_place(place, text)
    settings = _parse_query(query, text)
    return Address(
        kind="vsphere" if built_in else scheme,
        host=host,
        port=port,
        user=unquote(user),
        password=Secret(unquote(password)) if colon else None,
        datacenter="" if path.strip("/") == "sdk" else unquote(path.strip("/")),
        insecure=settings.get("insecure"),
        despite_vcenter=settings.get("despite_vcenter", False),
    )


def _split(rest: str) -> tuple[str, str, str]:
    """Split what follows the scheme into authority, path and query."""
    before, _, _ = rest.partition("#")
    before, _, query = before.partition("?")
    authority, _, path = before.partition("/")
    return authority, path, query


def _parse_place(place: str, text: str) -> tuple[str, int]:
    match = _HOST_PORT.fullmatch(place)
    if match is None:
        hint = "write an IPv6 address in brackets" if place.count(":") > 1 else _ENCODE
        if not place:
            hint = _SHAPE
        raise InputError(f"{redact(text)} has no valid host and port", hint=hint)
    port = int(match["port"] or 443)
    if not 0 < port < 65536:
        raise InputError(f"{redact(text)}: {port} is not a TCP port", hint="use 1-65535")
    return match["host"].strip("[]"), port


_SETTINGS = ("insecure", "despite_vcenter")


def _parse_query(query: str, text: str) -> dict[str, bool]:
    settings: dict[str, bool] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _SETTINGS:
            brief = f"{redact(text)} has the unknown setting {key!r}"
            known = " and ".join(f"?{name}=true" for name in _SETTINGS)
            raise InputError(brief, hint=f"known are: {known}")
        settings[key] = parse_bool(value, what=f"?{key}=")
    return settings


def parse_bool(text: str, *, what: str) -> bool:
    """Read a yes or no as Go does, which is what ``GOVC_INSECURE`` holds.

    Raises:
        InputError: It is neither.
    """
    word = text.strip().lower()
    if word in {"1", "t", "true"}:
        return True
    if word in {"", "0", "f", "false"}:
        return False
    raise InputError(f"{what} is {text!r}, which is neither true nor false", hint="true or false")
