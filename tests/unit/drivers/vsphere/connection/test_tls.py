"""Certificates are checked on every connection, on loopback too."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.drivers.vsphere.connection.tls import (
    build_context,
    fetch_certificate,
    normalize_sha256,
)
from linkedclone.drivers.vsphere.login import open_vsphere
from linkedclone.errors import CertificateError, EndpointError, InputError

Answer = bytes
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
HTML = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 34\r\n\r\n"
    b"<html><p>It works!<br></p></html>\r\n"
)
XML = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 20\r\n\r\n"
    b"<odd><thing/></odd>\r\n"
)


class Authority:
    """A certificate authority and one server certificate of it."""

    def __init__(self, *names: str) -> None:
        self.ca = trustme.CA()
        self.server = self.ca.issue_cert(*names)
        self.pem = self.server.cert_chain_pems[0].bytes().decode()
        self.sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.pem)).hexdigest()

    def ca_file(self, folder: Path) -> Path:
        file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(file)
        return file


@contextmanager
def serving(authority: Authority | None, answer: Answer = NOT_FOUND) -> Iterator[int]:
    """Serve one answer for every request on 127.0.0.1; without an authority, without TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if authority:
        authority.server.configure_cert(context)
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain:
                try:
                    if authority is None:
                        plain.recv(65536)
                        plain.sendall(answer)
                    else:
                        with context.wrap_socket(plain, server_side=True) as wrapped:
                            wrapped.recv(65536)
                            wrapped.sendall(answer)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


def connect(port: int, tls: Tls, host: str = "127.0.0.1") -> EndpointError:
    """Connect to a server that is no vCenter; return the error, which tells how far it came."""
    endpoint = Endpoint(kind="vsphere", host=host, port=port, tls=tls, timeout_seconds=60)
    with pytest.raises(EndpointError) as caught:
        open_vsphere(endpoint)
    return caught.value


def trusted(error: EndpointError) -> bool:
    """Say whether the certificate was accepted: then the answer was read, and was no vCenter's."""
    return "is not a vCenter" in error.brief


# -- what is trusted ------------------------------------------------------------------


def test_a_certificate_of_the_given_authority_is_trusted(tmp_path: Path) -> None:
    authority = Authority("127.0.0.1")
    with serving(authority) as port:
        assert trusted(connect(port, Tls(ca_file=authority.ca_file(tmp_path))))


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    with serving(Authority("127.0.0.1")) as port:
        error = connect(port, Tls(ca_file=Authority("127.0.0.1").ca_file(tmp_path)))
    assert isinstance(error, CertificateError)


def test_an_unknown_certificate_is_refused_on_loopback_too() -> None:
    authority = Authority("127.0.0.1", "localhost")
    with serving(authority) as port:
        for host in ("127.0.0.1", "localhost"):
            error = connect(port, Tls(), host)
            assert isinstance(error, CertificateError)
            assert authority.sha256 in error.details
            assert "endpoints add" in error.hint


@pytest.mark.parametrize(
    "pin",
    [
        lambda a: Tls(pinned_pem=a.pem),
        lambda a: Tls(pinned_sha256=a.sha256),
        lambda a: Tls(pinned_sha256=":".join(a.sha256[i : i + 2] for i in range(0, 64, 2)).upper()),
    ],
    ids=["pem", "sha256", "sha256 with colons"],
)
def test_the_pinned_certificate_is_trusted_whatever_its_name(pin: Callable[..., Tls]) -> None:
    authority = Authority("elsewhere.example")
    with serving(authority) as port:
        assert trusted(connect(port, pin(authority)))


@pytest.mark.parametrize(
    "pin",
    [lambda a: Tls(pinned_pem=a.pem), lambda a: Tls(pinned_sha256=a.sha256)],
    ids=["pem", "sha256"],
)
def test_any_other_certificate_than_the_pinned_one_is_refused(pin: Callable[..., Tls]) -> None:
    served = Authority("127.0.0.1")
    sibling = Authority("127.0.0.1")
    sibling.ca = served.ca
    with serving(served) as port:
        error = connect(port, pin(sibling))
    assert isinstance(error, CertificateError)
    assert "pinned" in error.brief
    assert served.sha256 in error.details


def test_a_certificate_signed_by_the_pinned_one_is_refused() -> None:
    served = Authority("127.0.0.1")
    with serving(served) as port:
        error = connect(port, Tls(pinned_pem=served.ca.cert_pem.bytes().decode()))
    assert isinstance(error, CertificateError)


def test_another_host_name_is_refused_with_an_authority_but_fine_with_a_pin(
    tmp_path: Path,
) -> None:
    authority = Authority("vcenter.example")
    with serving(authority) as port:
        error = connect(port, Tls(ca_file=authority.ca_file(tmp_path)))
        assert isinstance(error, CertificateError)
        assert trusted(connect(port, Tls(pinned_pem=authority.pem)))


def test_nothing_is_checked_only_when_asked_for() -> None:
    with serving(Authority("elsewhere.example")) as port:
        assert trusted(connect(port, Tls(insecure=True)))
        assert not trusted(connect(port, Tls()))


# -- what is shown --------------------------------------------------------------------


def test_a_certificate_can_be_looked_at_before_it_is_trusted() -> None:
    authority = Authority("vcenter.example")
    with serving(authority) as port:
        seen = fetch_certificate("127.0.0.1", port, 5)
    assert seen.sha256 == authority.sha256
    assert ssl.PEM_cert_to_DER_cert(seen.pem) == ssl.PEM_cert_to_DER_cert(authority.pem)
    assert "OU=Testing cert" in seen.subject
    assert "Testing CA" in seen.issuer
    assert seen.not_after.endswith("GMT")


def test_looking_at_what_does_not_speak_tls() -> None:
    with serving(None) as port, pytest.raises(EndpointError, match="does not speak TLS"):
        fetch_certificate("127.0.0.1", port, 5)


# -- what is malformed ----------------------------------------------------------------


def test_invalid_files_and_pins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        build_context(Tls(ca_file=tmp_path / "absent.pem"))
    (tmp_path / "text.pem").write_text("not a certificate")
    with pytest.raises(InputError, match="cannot be read"):
        build_context(Tls(ca_file=tmp_path / "text.pem"))
    with pytest.raises(InputError, match="PEM"):
        build_context(Tls(pinned_pem="nonsense"))
    with pytest.raises(InputError, match="SHA-256"):
        normalize_sha256("abc")


# -- what is no vCenter ---------------------------------------------------------------


@pytest.mark.parametrize("answer", [NOT_FOUND, HTML, XML, b""], ids=["404", "html", "xml", "none"])
def test_a_web_server_is_distinguished_from_a_vcenter(answer: bytes) -> None:
    authority = Authority("127.0.0.1")
    with serving(authority, answer) as port:
        error = connect(port, Tls(pinned_pem=authority.pem))
    assert type(error) is EndpointError
    assert "is not a vCenter" in error.brief
    assert error.hint


def test_a_port_without_tls_is_distinguished_from_a_vcenter() -> None:
    with serving(None) as port:
        error = connect(port, Tls())
    assert "is not a vCenter" in error.brief
    assert "TLS" in error.details


def test_a_port_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = connect(port, Tls())
    assert "refuses connections" in error.brief


def test_a_name_that_does_not_exist() -> None:
    assert "is not known" in connect(443, Tls(), "no-such-host.invalid").brief


def test_a_server_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(
            kind="vsphere", host="127.0.0.1", port=listener.getsockname()[1], timeout_seconds=0.2
        )
        with pytest.raises(EndpointError, match="does not answer in time"):
            open_vsphere(endpoint)
