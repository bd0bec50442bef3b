"""The endpoints in the configuration file: add, list, test, remove."""

import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from linkedclone.app.connect import connect
from linkedclone.config.config_file import ConfigFile, EndpointSettings
from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.config.endpoint_url import is_url, parse_url, redact
from linkedclone.config.passwords import forget, remember
from linkedclone.config.paths import certificate_folder, config_file, password_folder
from linkedclone.config.resolve_endpoint import locate_endpoint
from linkedclone.drivers.registry import fetch_certificate
from linkedclone.errors import CertificateError, InputError, LinkedCloneError, NotFoundError
from linkedclone.model.access import EndpointRow, PresentedCertificate, Welcome
from linkedclone.model.values.secret import Secret
from linkedclone.system.private_files import write_private
from linkedclone.system.text_file import read_text_file

Store = Literal["keyring", "file", "none"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_candidate(name: str, url: str, *, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Check the name and URL of an endpoint that is to be added.

    Raises:
        InputError: One of them is malformed, or the URL holds a password.
    """
    if not _NAME.fullmatch(name):
        brief = f"{redact(name)!r} is not a valid name for an endpoint"
        raise InputError(brief, hint="letters, digits, dots, hyphens and underscores, as in lab-2")
    if not is_url(url):
        hint = f"write it as vsphere://USER@{redact(url).rpartition('@')[2]}"
        raise InputError(f"{redact(url)!r} is not a URL", hint=hint)
    return replace(locate_endpoint(url, environ=environ).endpoint, name=name)


def look_at_certificate(endpoint: Endpoint) -> PresentedCertificate:
    """Read the certificate that the endpoint presents, and see whether it is trusted anyway.

    Raises:
        EndpointError: It cannot be reached, or does not speak TLS.
    """
    return replace(fetch_certificate(endpoint), trusted=_system_trusts(endpoint))


def _system_trusts(endpoint: Endpoint) -> bool:
    context = ssl.create_default_context()
    place = (endpoint.host, endpoint.port)
    try:
        with (
            socket.create_connection(place, endpoint.timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return True
    except OSError:
        return False


def check_fingerprint(seen: PresentedCertificate, wanted: str) -> None:
    """Compare the presented certificate with the fingerprint that a person knows.

    Raises:
        InputError: ``wanted`` is no SHA-256.
        CertificateError: It is another certificate.
    """
    digits = wanted.replace(":", "").replace(" ", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        brief = f"{wanted!r} is not a SHA-256 fingerprint"
        raise InputError(brief, hint="it has 64 hex digits, with or without colons")
    if digits != seen.sha256:
        raise CertificateError(
            "the certificate has another fingerprint than the one given",
            details=f"presented: {seen.subject}\nSHA-256: {seen.fingerprint}",
            hint="ask the server's administrator for its fingerprint; do not trust it blindly",
        )


def pinned_before(name: str, *, environ: Mapping[str, str] | None = None) -> str:
    """Return the pinned certificate of a configured endpoint in PEM form; empty if none."""
    file = ConfigFile.load(config_file(environ))
    settings = file.settings.endpoints.get(name)
    if settings is None or settings.certificate is None:
        return ""
    try:
        return read_text_file(file.resolve(settings.certificate), encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def try_login(endpoint: Endpoint) -> Welcome:
    """Log in, and see what there is to clone from.

    Raises:
        LinkedCloneError: It fails.
    """
    with connect(endpoint) as connection:
        rows = connection.vms.list()
        parents = [row.vm.path or row.vm.name for row in rows if row.vm.snapshots]
        return Welcome(identity=connection.identify(), parents=tuple(sorted(parents)))


def save_endpoint(
    endpoint: Endpoint,
    url: str,
    *,
    store: Store | None,
    make_default: bool,
    environ: Mapping[str, str] | None = None,
) -> EndpointRow:
    """Write an endpoint into the configuration file, with its pin and its password.

    Args:
        endpoint: It, with the password and TLS settings that worked.
        url: As it was given.
        store: Where the password goes; None takes the keyring if there is one,
            else a file with mode 0600.
        make_default: Whether it is used from now on if none is named.
        environ: The environment; None takes this process's.

    Raises:
        LinkedCloneError: Something cannot be written.
    """
    environ = os.environ if environ is None else environ
    file = ConfigFile.load(config_file(environ))
    certificate = None
    if endpoint.tls.pinned_pem:
        certificate = certificate_folder(environ) / f"{endpoint.name}.pem"
        write_private(certificate, endpoint.tls.pinned_pem)
    where = _store_password(endpoint, store, environ) if endpoint.password else "none"
    password_file = password_folder(environ) / endpoint.name if where == "file" else None
    settings = EndpointSettings(
        url=_with_user(url, endpoint.user),
        certificate=_relative(certificate, file),
        ca_file=endpoint.tls.ca_file,
        password_file=_relative(password_file, file),
        password="keyring" if where == "keyring" else None,
    )
    file = file.put(endpoint.name, settings, make_default=make_default)
    for stale in _own_files(endpoint.name, environ) - {certificate, password_file}:
        stale.unlink(missing_ok=True)
    return _describe(file, endpoint.name)


def _own_files(name: str, environ: Mapping[str, str]) -> set[Path]:
    """Return the files that are kept for an endpoint of this name, whether they exist or not."""
    return {certificate_folder(environ) / f"{name}.pem", password_folder(environ) / name}


def _with_user(url: str, user: str) -> str:
    """Return the URL with the user name in it, also if that came from the environment."""
    scheme, separator, rest = url.partition("://")
    if not separator or parse_url(url).user:
        return url
    return f"{scheme}://{quote(user, safe='@')}@{rest}"


def _relative(path: Path | None, file: ConfigFile) -> Path | None:
    return None if path is None else path.relative_to(file.path.parent)


def _store_password(endpoint: Endpoint, store: Store | None, environ: Mapping[str, str]) -> Store:
    password = endpoint.password or Secret("")
    if store in {None, "keyring"} and remember(endpoint, password):
        return "keyring"
    if store == "keyring":
        hint = "install linkedclone[keyring] and a keyring, or use ``store.file``"
        raise LinkedCloneError("the keyring does not take the password", hint=hint)
    if store == "none":
        return "none"
    write_private(password_folder(environ) / endpoint.name, password.reveal() + "\n")
    return "file"


def list_endpoints(*, environ: Mapping[str, str] | None = None) -> tuple[EndpointRow, ...]:
    """Return the configured endpoints by name.

    Raises:
        InputError: The configuration file is wrong.
    """
    file = ConfigFile.load(config_file(environ))
    return tuple(_describe(file, name) for name in sorted(file.settings.endpoints))


def remove_endpoint(name: str, *, environ: Mapping[str, str] | None = None) -> EndpointRow:
    """Remove an endpoint with its pin and its stored password; return what it was.

    Files that were not made by ``endpoints add`` are left alone.

    Raises:
        NotFoundError: There is none of that name.
    """
    environ = os.environ if environ is None else environ
    file = ConfigFile.load(config_file(environ))
    if name not in file.settings.endpoints:
        names = ", ".join(sorted(file.settings.endpoints)) or "none"
        brief = f"there is no endpoint called {redact(name)!r}"
        raise NotFoundError(brief, hint=f"configured are: {names}")
    row = _describe(file, name)
    settings = file.settings.endpoints[name]
    if settings.password == "keyring":  # noqa: S105 - where the password is, not what it is
        forget(locate_endpoint(name, environ=environ).endpoint)
    file.remove(name)
    for path in _own_files(name, environ):
        path.unlink(missing_ok=True)
    return row


def _describe(file: ConfigFile, name: str) -> EndpointRow:
    settings = file.settings.endpoints[name]
    remote = "://" in settings.url
    trust = "pinned" if settings.certificate else "ca" if settings.ca_file else "system"
    if settings.insecure or parse_url(settings.url).insecure:
        trust = "insecure"
    password = settings.password or ("file" if settings.password_file else "ask")
    return EndpointRow(
        name=name,
        url=settings.url,
        default=file.settings.default == name,
        trust=trust if remote else "",
        password=password if remote else "",
    )


def pin(endpoint: Endpoint, seen: PresentedCertificate) -> Endpoint:
    """Return the endpoint with this one certificate trusted."""
    return replace(endpoint, tls=Tls(pinned_pem=seen.pem))
