"""Which endpoint is meant, and all that is needed to open it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from linkedclone.config.config_file import ConfigFile
from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.config.endpoint_url import Address, is_url, parse_url, redact
from linkedclone.config.govc import govc_endpoint, govc_user
from linkedclone.config.passwords import Ask, Stored, find_password
from linkedclone.config.paths import config_file
from linkedclone.errors import InputError
from linkedclone.system.text_file import read_text_file

_LONGEST_PATIENCE = 86_400.0

NOTHING_CONFIGURED = "nothing is configured"
"""The origin of the endpoint that is used when none was named anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An endpoint that was found, before its password is."""

    endpoint: Endpoint
    # Where the configuration says that its password is.
    stored: Stored = field(default_factory=Stored)


def resolve_endpoint(
    text: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    ask: Ask | None = None,
) -> Endpoint:
    """Find an endpoint with everything that is needed to open it.

    Args:
        text: A URL, or a name from the configuration file. None looks in
            ``LINKEDCLONE_ENDPOINT``, then takes the configuration file's
            default, then ``GOVC_URL`` and its companions, then ``local:``.
        environ: The environment; None takes this process's.
        ask: Asks a person for a password where none is found; None never asks.

    Raises:
        InputError: There is no such endpoint, its settings are wrong, or its
            password is nowhere to be found. No text holds a password.
    """
    environ = os.environ if environ is None else environ
    found = locate_endpoint(text, environ=environ)
    if not found.endpoint.host:
        return found.endpoint
    password = find_password(found.endpoint, found.stored, environ, ask)
    patience = read_patience(environ)
    found_one = replace(found.endpoint, password=password)
    return found_one if patience is None else replace(found_one, patience_seconds=patience)


def read_patience(environ: Mapping[str, str]) -> float | None:
    """Read ``LINKEDCLONE_PATIENCE``, the seconds that a run waits for an endpoint; None if unset.

    Raises:
        InputError: It is not a number of seconds.
    """
    text = environ.get("LINKEDCLONE_PATIENCE", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_PATIENCE:
        brief = f"LINKEDCLONE_PATIENCE is {text!r}, which is not a number of seconds"
        hint = f"0 waits for nothing, 300 is usual, {_LONGEST_PATIENCE:.0f} the most"
        raise InputError(brief, hint=hint)
    return seconds


def locate_endpoint(
    text: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Located:
    """Find an endpoint as :func:`resolve_endpoint` does, but leave its password alone.

    Raises:
        InputError: There is no such endpoint, or its settings are wrong.
    """
    environ = os.environ if environ is None else environ
    if text is not None:
        return _named_or_url(text, environ, origin="``endpoint``")
    if environ.get("LINKEDCLONE_ENDPOINT"):
        wanted = environ["LINKEDCLONE_ENDPOINT"]
        return _named_or_url(wanted, environ, origin="LINKEDCLONE_ENDPOINT")
    file = ConfigFile.load(config_file(environ))
    if file.settings.default is not None:
        return _configured(file, file.settings.default, environ, origin=f"default of {file.path}")
    govc = govc_endpoint(environ)
    if govc is not None:
        return Located(endpoint=_with_user(govc, environ))
    return Located(endpoint=Endpoint(kind="local", origin=NOTHING_CONFIGURED))


def _named_or_url(text: str, environ: Mapping[str, str], *, origin: str) -> Located:
    if is_url(text):
        return Located(endpoint=_from_url(text, environ, origin=origin))
    file = ConfigFile.load(config_file(environ))
    if text not in file.settings.endpoints:
        names = ", ".join(sorted(file.settings.endpoints))
        known = f"the configuration file has: {names}" if names else "none is configured yet"
        raise InputError(
            f"there is no endpoint called {redact(text)!r}",
            hint=f"{known}; a URL is written vsphere://USER@HOST/DATACENTER or memory:",
        )
    return _configured(file, text, environ, origin=f"{origin}, {file.path}")


def _from_url(text: str, environ: Mapping[str, str], *, origin: str) -> Endpoint:
    address = parse_url(text)
    if address.password is not None and origin == "``endpoint``":
        raise InputError(
            f"{redact(text)} holds a password, and a command line can be read by every user",
            hint="leave it out: it comes from LINKEDCLONE_PASSWORD, or is asked for",
        )
    return _build(address, environ, tls=Tls(insecure=bool(address.insecure)), origin=origin)


def _configured(file: ConfigFile, name: str, environ: Mapping[str, str], *, origin: str) -> Located:
    settings = file.settings.endpoints[name]
    address = parse_url(settings.url)
    tls = Tls(
        ca_file=file.resolve(settings.ca_file) if settings.ca_file else None,
        pinned_pem=_read_pin(file.resolve(settings.certificate)) if settings.certificate else "",
        insecure=settings.insecure or bool(address.insecure),
    )
    endpoint = replace(_build(address, environ, tls=tls, origin=origin), name=name)
    password_file = file.resolve(settings.password_file) if settings.password_file else None
    stored = Stored(file=password_file, keyring=settings.password is not None)
    return Located(endpoint=endpoint, stored=stored)


def _read_pin(path: Path) -> str:
    try:
        return read_text_file(path, encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the pinned certificate {path} cannot be read",
            details=str(error),
            hint="pin it again: ``endpoints add`` NAME URL",
        ) from error


def _build(address: Address, environ: Mapping[str, str], *, tls: Tls, origin: str) -> Endpoint:
    endpoint = Endpoint(
        kind=address.kind,
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        datacenter=address.datacenter,
        path=address.path,
        tls=tls,
        despite_vcenter=address.despite_vcenter,
        origin=origin,
    )
    return _with_user(endpoint, environ)


def _with_user(endpoint: Endpoint, environ: Mapping[str, str]) -> Endpoint:
    if endpoint.user or not endpoint.host:
        return endpoint
    user = govc_user(endpoint.host, environ)
    if not user:
        raise InputError(
            f"{endpoint.address} names no user",
            hint=f"write it as {endpoint.kind}://USER@{endpoint.host}, or set GOVC_USERNAME",
        )
    return replace(endpoint, user=user)
