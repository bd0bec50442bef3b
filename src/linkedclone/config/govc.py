"""The environment variables of govc, as far as they say where a vCenter is and how to log in."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.config.endpoint_url import Address, parse_bool, parse_url
from linkedclone.errors import InputError
from linkedclone.model.values.secret import Secret
from linkedclone.system.text_file import expand_home, read_text_file

_SHA256_DIGITS = 64


def govc_address(environ: Mapping[str, str]) -> Address | None:
    """Read ``GOVC_URL`` with ``GOVC_USERNAME`` and ``GOVC_PASSWORD``; None if it is not set.

    As for govc, the scheme may be missing, and the other two win over what is
    in the URL.

    Raises:
        InputError: It is not a URL. The text never holds the password.
    """
    text = environ.get("GOVC_URL", "").strip()
    if not text:
        return None
    address = parse_url(text if "://" in text else f"https://{text}")
    password = environ.get("GOVC_PASSWORD", "")
    return replace(
        address,
        user=environ.get("GOVC_USERNAME", "") or address.user,
        password=Secret(password) if password else address.password,
    )


def govc_endpoint(environ: Mapping[str, str]) -> Endpoint | None:
    """Return the endpoint that govc would use; None if ``GOVC_URL`` is not set.

    Raises:
        InputError: One of the variables cannot be understood.
    """
    address = govc_address(environ)
    if address is None:
        return None
    return Endpoint(
        kind=address.kind,
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        datacenter=environ.get("GOVC_DATACENTER", "").strip("/") or address.datacenter,
        tls=_read_tls(address, environ),
        despite_vcenter=address.despite_vcenter,
        origin="GOVC_URL",
    )


def govc_user(host: str, environ: Mapping[str, str]) -> str:
    """Return the user name that govc would use for a host; empty if it is about another."""
    address = govc_address(environ)
    return address.user if address is not None and address.host == host else ""


def govc_password(endpoint: Endpoint, environ: Mapping[str, str]) -> Secret | None:
    """Return the password that govc would use for an endpoint.

    None if the variables are about another host or user: a password is never
    tried where it does not belong.
    """
    address = govc_address(environ)
    if address is None:
        user = environ.get("GOVC_USERNAME", "")
        password = environ.get("GOVC_PASSWORD", "")
        return Secret(password) if password and user in {"", endpoint.user} else None
    here = (address.host, address.port, address.user) == (
        endpoint.host,
        endpoint.port,
        endpoint.user,
    )
    return address.password if here else None


def _read_tls(address: Address, environ: Mapping[str, str]) -> Tls:
    insecure = parse_bool(environ.get("GOVC_INSECURE", ""), what="GOVC_INSECURE")
    if insecure or address.insecure:
        return Tls(insecure=True)
    authorities = [p for p in environ.get("GOVC_TLS_CA_CERTS", "").split(os.pathsep) if p]
    if len(authorities) > 1:
        raise InputError(
            f"GOVC_TLS_CA_CERTS names {len(authorities)} files",
            hint="put the certificates into one file",
        )
    known = environ.get("GOVC_TLS_KNOWN_HOSTS", "")
    return Tls(
        ca_file=expand_home(authorities[0]) if authorities else None,
        pinned_sha256=_known_thumbprint(expand_home(known), address) if known else "",
    )


def _known_thumbprint(path: Path, address: Address) -> str:
    """Return the SHA-256 that a file of lines ``host:port THUMBPRINT`` has for a host."""
    try:
        lines = read_text_file(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        brief = f"GOVC_TLS_KNOWN_HOSTS: {path} cannot be read"
        raise InputError(brief, details=str(error)) from error
    host = f"[{address.host}]" if ":" in address.host else address.host
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] not in {f"{host}:{address.port}", host}:
            continue
        digits = words[1].replace(":", "").lower()
        if len(digits) != _SHA256_DIGITS:
            raise InputError(
                f"GOVC_TLS_KNOWN_HOSTS has a SHA-1 thumbprint for {words[0]}, which proves little",
                hint="pin the certificate by its SHA-256: ``endpoints add`` NAME URL",
            )
        return digits
    return ""
