"""Ask a web server for a file, or for the rest of one. The standard library does the work."""

import http.client
import re
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from linkedclone.drivers.local.downloading import NOT_SATISFIABLE, show_url
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
_RANGE = re.compile(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+|\*)")
_GONE: Final = frozenset({404, 410})
_CLOSED: Final = frozenset({401, 403, 407})
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def check_url(url: str) -> None:
    """Refuse what cannot be fetched.

    Raises:
        InputError: It is no address of a file at a web server.
    """
    found = urlsplit(url)
    if found.username is not None:
        raise InputError(
            f"{show_url(url)!r} was given with a user's name",
            hint="fetch it yourself, then import the file",
        )
    if found.scheme not in SCHEMES or not found.hostname or found.path in {"", "/"}:
        raise InputError(
            f"{show_url(url)!r} is no address of a file", hint="write http(s)://SERVER/PATH"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """See ``downloading.Answer``."""

    status: int
    offset: int
    total_bytes: int
    validator: str
    body: http.client.HTTPResponse | None = None

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        if self.body is None:
            return b""
        try:
            return self.body.read(count)
        except (OSError, http.client.HTTPException) as error:
            hint = "the same command goes on from there"
            raise UnreachableError(
                "the connection was lost", details=str(error), hint=hint
            ) from error


@contextmanager
def ask_server(url: str, *, offset: int, validator: str) -> Iterator[HttpAnswer]:
    """Ask for a file from an offset on, if it is still the one that ``validator`` tells.

    Proxies are taken from the environment, as by all programs; certificates
    are always checked, and from https nobody is sent on to http.
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
        with error:
            if error.code != NOT_SATISFIABLE:
                raise _explain_status(url, error) from error
            _, total = _read_range(error.headers.get("Content-Range", ""))
            yield HttpAnswer(status=NOT_SATISFIABLE, offset=0, total_bytes=total, validator="")
            return
    except (OSError, http.client.HTTPException) as error:
        raise _explain_failure(url, error) from error
    with answer:
        yield _understand(answer)


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
        """Return the next request."""
        allowed = ("https",) if req.type == "https" else SCHEMES
        if urlsplit(newurl).scheme not in allowed:
            raise EndpointError(
                f"{show_url(req.full_url)} sends on to {show_url(newurl)}",
                hint="that is less safe than what was asked for: name that address yourself",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    handlers = (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirect(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    answer: http.client.HTTPResponse = opener.open(request, timeout=SILENCE_SECONDS)
    return answer


def _understand(answer: http.client.HTTPResponse) -> HttpAnswer:
    offset = 0
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else 0
    if answer.status == http.client.PARTIAL_CONTENT:
        offset, total = _read_range(answer.headers.get("Content-Range", ""))
    return HttpAnswer(
        status=answer.status,
        offset=offset,
        total_bytes=total,
        validator=_find_validator(answer.headers),
        body=answer,
    )


def _find_validator(headers: http.client.HTTPMessage) -> str:
    """Return what ``If-Range`` takes: an entity tag that is not weak, or else a date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _read_range(text: str) -> tuple[int, int]:
    """Return where the content begins, and the whole length; 0 where that is not told."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return 0, 0
    first, total = match.groups()
    return int(first or 0), 0 if total == "*" else int(total)


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
