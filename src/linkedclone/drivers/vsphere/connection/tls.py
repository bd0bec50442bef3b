"""How a vCenter's certificate is checked, and how it is shown to a person. Standard library only.

The context is always made here and always given [fact: py-tls-localhost].
"""

import hashlib
import socket
import ssl
from typing import Any

from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.errors import CertificateError, EndpointError, InputError, UnreachableError
from linkedclone.model.access import PresentedCertificate

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


class _PinnedContext(ssl.SSLContext):
    """Accepts exactly one certificate, whatever its name and issuer.

    The comparison is made on the connection itself, after the handshake in
    which the server has proved that it holds the certificate's key.
    """

    pinned_sha256 = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as inherited
        """Wrap, shake hands, compare."""
        wrapped = super().wrap_socket(*args, **kwargs)
        presented = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
        if presented != self.pinned_sha256:
            wrapped.close()
            raise ssl.SSLCertVerificationError("the certificate is not the pinned one")
        return wrapped


def build_context(tls: Tls) -> ssl.SSLContext:
    """Return the context for all connections to an endpoint.

    The system's authorities are trusted unless the settings name a file of
    others, or pin one certificate.
    """
    if tls.insecure:
        return _unverified(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    pin = _read_pin(tls)
    if pin:
        pinned = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
        pinned.pinned_sha256 = pin
        return _unverified(pinned)
    if tls.ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        brief = f"the CA file {tls.ca_file} cannot be read"
        hint = "it must contain PEM certificates"
        raise InputError(brief, details=str(error), hint=hint) from error


def _read_pin(tls: Tls) -> str:
    if not tls.pinned_pem:
        return normalize_sha256(tls.pinned_sha256)
    try:
        return _sha256(ssl.PEM_cert_to_DER_cert(tls.pinned_pem.strip()))
    except ValueError as error:
        brief = "the pinned certificate is not a certificate in PEM form"
        raise InputError(brief, details=str(error), hint=_PIN_AGAIN) from error


def normalize_sha256(text: str) -> str:
    """Return a fingerprint as 64 lower-case hex digits; colons and blanks are dropped."""
    digits = text.replace(":", "").replace(" ", "").lower()
    if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
        brief = f"{text!r} is not a SHA-256 fingerprint"
        raise InputError(brief, hint="it has 64 hex digits, with or without colons")
    return digits


def fetch_certificate(host: str, port: int, timeout_seconds: float) -> PresentedCertificate:
    """Read the certificate that a server presents, without trusting it. Sends nothing else."""
    context = _unverified(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    der, _ = _shake_hands(context, host, port, timeout_seconds)
    pem = ssl.DER_cert_to_PEM_cert(der)
    # Python decodes a certificate's fields only for one that it has verified:
    # so connect once more and verify it against itself.
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    trusting.load_verify_locations(cadata=pem)
    try:
        _, fields = _shake_hands(trusting, host, port, timeout_seconds)
    except CertificateError:
        fields = {}
    return PresentedCertificate(
        pem=pem,
        sha256=_sha256(der),
        subject=_render_name(fields.get("subject", ())),
        issuer=_render_name(fields.get("issuer", ())),
        not_after=str(fields.get("notAfter", "")),
    )


def _shake_hands(
    context: ssl.SSLContext, host: str, port: int, timeout_seconds: float
) -> tuple[bytes, dict[str, Any]]:
    try:
        with (
            socket.create_connection((host, port), timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            fields: dict[str, Any] = wrapped.getpeercert() or {}
            return wrapped.getpeercert(binary_form=True) or b"", fields
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            "the certificate changed in the meantime", details=str(error)
        ) from error
    except ssl.SSLError as error:
        brief = f"{host}:{port} does not speak TLS"
        hint = "check host and port; a vCenter serves HTTPS on port 443"
        raise EndpointError(brief, details=str(error), hint=hint) from error
    except OSError as error:
        raise unreachable(host, port, error) from error


_PIN_AGAIN = "look at the certificate and pin it again: ``endpoints add`` NAME URL"


def distrusted(endpoint: Endpoint, reason: ssl.SSLError) -> CertificateError:
    """Return the error for a certificate that is not trusted; it shows the one presented."""
    details = str(getattr(reason, "verify_message", "") or reason)
    try:
        seen = fetch_certificate(endpoint.host, endpoint.port, endpoint.timeout_seconds)
    except EndpointError:
        shown = ""
    else:
        shown = f"\npresented: {seen.subject or 'a certificate'}, SHA-256 {seen.sha256}"
    pinned = bool(endpoint.tls.pinned_pem or endpoint.tls.pinned_sha256)
    brief = (
        f"the certificate of {endpoint.host} is not the pinned one"
        if pinned
        else f"the certificate of {endpoint.host} is not trusted"
    )
    return CertificateError(brief, details=details + shown, hint=_PIN_AGAIN)


def unreachable(host: str, port: int, reason: OSError) -> UnreachableError:
    """Return the error for a server that cannot be reached."""
    match reason:
        case socket.gaierror():
            brief, hint = f"the host name {host!r} is not known", "check the name and the DNS"
        case TimeoutError():
            brief = f"{host}:{port} does not answer in time"
            hint = "check the address, the network and firewalls between"
        case ConnectionRefusedError():
            brief, hint = f"{host}:{port} refuses connections", "check host and port"
        case _:
            brief = f"{host}:{port} cannot be reached"
            hint = "check the address and the network"
    return UnreachableError(brief, details=str(reason), hint=hint)


def _unverified(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}


def _render_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return ", ".join(f"{_SHORT.get(key, key)}={value}" for rdn in name for key, value in rdn)
