"""Ask a web server for a file, or for the rest of one. The standard library does the work."""

import http.client
import re
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from linkedclone.drivers.qemu.images.download import NOT_SATISFIABLE, Answer, show_url
from linkedclone.errors import (
    AuthenticationError,
    CertificateError,
    EndpointError,
    InputError,
    LinkedCloneError,
    NotFoundError,
    UnreachableError,
)

SCHEMES: Final = ("http", "https")
SILENCE_SECONDS: Final = 30.0
"""How long a server may say nothing."""
HEADER_SECONDS: Final = 120.0
"""How long an answer may take until its content begins, with all that it is sent on to."""
_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_GONE: Final = frozenset({404, 410})
_CLOSED: Final = frozenset({401, 403, 407})
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def check_url(url: str) -> None:
    if not _is_well_formed(url):
        raise InputError(
            "the URL is not well formed",
            hint="write it as a browser copies it, with %20 for a space and so on",
        )
    found = urlsplit(url)
    if found.username is not None:
        raise InputError(
            f"{show_url(url)!r} was given with a user's name",
            hint="fetch it yourself, then import the file",
        )
    if found.scheme not in SCHEMES or not found.hostname or found.path in {"", "/"}:
        raise InputError(
            f"{show_url(url)!r} is not the address of a file", hint="write http(s)://SERVER/PATH"
        )


def _is_well_formed(url: str) -> bool:
    try:
        known_port = urlsplit(url).port != 0
    except ValueError:  # no such port, or half an IPv6 address
        return False
    return known_port and url.isascii() and url.isprintable() and " " not in url


@contextmanager
def ask_server(url: str, offset: int, validator: str) -> Iterator[Answer]:
    """Ask for a file from an offset on, if it is still the one that ``validator`` tells.

    Proxies are taken from the environment, as by all programs; certificates
    are always checked, and a redirect from https to http is refused.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "linkedclone"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked by check_url
    try:
        answer = _open(request)
    except HTTPError as error:
        with closing(error):  # after a redirect it is closed already
            if error.code != NOT_SATISFIABLE:
                raise _explain_status(url, error) from error
            _, total = _read_range(error.headers.get("Content-Range", "")) or (0, 0)
            yield Answer(status=NOT_SATISFIABLE, total_bytes=total, read=lambda _: b"")
            return
    except (OSError, http.client.HTTPException) as error:
        raise _explain_failure(url, error) from error
    except ValueError as error:
        raise EndpointError(
            f"{show_url(url)} is not an address, or sends on to what is not one",
            details=str(error),
            hint="fetch it yourself, then import the file",
        ) from error
    with answer:
        yield _understand(url, answer)


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Goes where it is sent, but never from https to anything else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else SCHEMES
        if urlsplit(newurl).scheme not in allowed:
            raise EndpointError(
                f"{show_url(req.full_url)} sends on to {show_url(newurl)}",
                hint="that is less safe than what was asked for: name that address yourself",
            )
        if urlsplit(newurl).username is not None:
            raise EndpointError(
                f"{show_url(req.full_url)} sends on to {show_url(newurl)} with a user's name",
                hint="fetch it yourself, then import the file",
            )
        fp.close()  # else all that it says is read into memory
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Watched(urllib.request.HTTPHandler):
    """Opens connections, and remembers them so that they can be ended."""

    def __init__(self, opened: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._opened = opened

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)  # type: ignore[arg-type]  # with a timeout alone

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect_safely, req)  # type: ignore[arg-type]  # likewise

    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _connect(self, host: str, /, *, timeout: float) -> http.client.HTTPConnection:
        self._opened.append(http.client.HTTPConnection(host, timeout=timeout))
        return self._opened[-1]

    def _connect_safely(self, host: str, /, *, timeout: float) -> http.client.HTTPConnection:
        context = ssl.create_default_context()  # takes a while, and plain http needs none
        made = http.client.HTTPSConnection(host, timeout=timeout, context=context)
        self._opened.append(made)
        return self._opened[-1]


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    opened: list[http.client.HTTPConnection] = []
    opener = urllib.request.OpenerDirector()
    handlers = (
        urllib.request.ProxyHandler(),
        _Watched(opened),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirect(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    # A server that says a byte now and then is never silent for long.
    watch = threading.Timer(HEADER_SECONDS, _hang_up, (opened,))
    watch.daemon = True
    watch.start()
    try:
        answer: http.client.HTTPResponse = opener.open(request, timeout=SILENCE_SECONDS)
    finally:
        watch.cancel()
    return answer


def _hang_up(opened: Sequence[http.client.HTTPConnection]) -> None:
    for connection in opened:
        found: socket.socket | None = connection.sock
        if found is not None:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)


def _understand(url: str, answer: http.client.HTTPResponse) -> Answer:
    length = answer.headers.get("Content-Length", "")
    offset, total = 0, int(length) if _LENGTH.fullmatch(length) else 0
    if answer.status == http.client.PARTIAL_CONTENT:
        found = _read_range(answer.headers.get("Content-Range", ""))
        if found is None:
            raise UnreachableError(
                f"{show_url(url)} answers with a part, and does not say which",
                details=f"Content-Range: {answer.headers.get('Content-Range', 'none')[:200]}",
                hint="try again, or fetch it yourself, then import the file",
            )
        offset, total = found
    return Answer(
        status=answer.status,
        offset=offset,
        total_bytes=total,
        validator=_find_validator(answer.headers),
        bounded=bool(total) or answer.chunked,
        read=partial(_read, answer),
    )


def _read(answer: http.client.HTTPResponse, count: int) -> bytes:
    try:
        return answer.read1(count)
    except (OSError, http.client.HTTPException) as error:
        hint = "the same command continues from there"
        raise UnreachableError("the connection was lost", details=str(error), hint=hint) from error


def _find_validator(headers: http.client.HTTPMessage) -> str:
    """Return what ``If-Range`` takes: an entity tag that is not weak, or else a date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _read_range(text: str) -> tuple[int, int] | None:
    """Return where the content begins, and the whole length; 0 where that is not told.

    None if it makes no sense.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    first, last, total = match.groups()
    whole = 0 if total == "*" else int(total)
    if first is None:
        return 0, whole
    if int(first) > int(last) or (whole and int(last) >= whole):
        return None
    return int(first), whole


def _explain_status(url: str, error: HTTPError) -> LinkedCloneError:
    shown, told = show_url(url), f"HTTP {error.code} {error.reason}"
    if error.code in _GONE:
        return NotFoundError(f"{shown} is not there", details=told, hint="look at the address")
    if error.code in _CLOSED:
        return AuthenticationError(
            f"{shown} is not open to everybody",
            details=told,
            hint="fetch it yourself, then import the file",
        )
    if error.code in _LATER:
        return UnreachableError(f"{shown} cannot be had now", details=told, hint="try again later")
    return EndpointError(
        f"{shown} was refused", details=told, hint="open the address in a browser to see why"
    )


def _explain_failure(url: str, error: Exception) -> LinkedCloneError:
    cause = error.reason if isinstance(error, URLError) else error
    shown = show_url(url)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CertificateError(
            f"the certificate of {shown} is not trusted",
            details=cause.verify_message,
            hint="give the system the authority's certificate, or name its file in SSL_CERT_FILE",
        )
    return UnreachableError(
        f"{shown} does not answer", details=str(cause), hint="look at the address and the network"
    )
