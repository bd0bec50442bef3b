"""A web server on the loopback interface that serves one file, with faults on demand."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Behaviour:
    """What the server does; may be changed between requests.

    Attributes:
        content: The file.
        etag: Its entity tag; empty for none.
        ranges: Whether it serves ranges.
        checks: Whether it heeds ``If-Range``.
        tells_length: Whether it says how long the file is.
        break_after: Bytes after which each of the next connections ends, in order.
        statuses: What it answers to the next requests instead.
        location: Where it sends everybody who asks for another path than ``/file``.
        range_told: What it says instead of the range that it serves.
        length_told: How long it says that all content is, if not as long as it is.
        alternates: Another file that every second answer is of, as of a second mirror.
        endless: Whether it goes on for ever after the file.
    """

    content: bytes
    etag: str = '"one"'
    ranges: bool = True
    checks: bool = True
    tells_length: bool = True
    break_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str = ""
    range_told: str = ""
    length_told: int = 0
    alternates: bytes = b""
    endless: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    behaviour: ClassVar[Behaviour]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        does = self.behaviour
        does.asked.append((self.path, self.headers.get("Range", "")))
        if does.statuses:
            self._refuse(does.statuses.pop(0))
        elif does.location and not self.path.startswith("/file"):
            self.send_response(302)
            self.send_header("Location", does.location)
            self.end_headers()
        else:
            self._serve(does)

    def _refuse(self, status: int, total: int | None = None) -> None:
        self.send_response(status)
        if total is not None:
            self.send_header("Content-Range", f"bytes */{total}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, does: Behaviour) -> None:
        first = self._find_first(does)
        if first is not None and first >= len(does.content):
            self._refuse(416, len(does.content))
            return
        if does.alternates:
            does.content, does.alternates = does.alternates, does.content
            does.etag = f'"{len(does.asked) % 2}"'
        body = does.content[first or 0 :]
        self.send_response(200 if first is None else 206)
        if first is not None:
            last = len(does.content) - 1
            told = does.range_told or f"bytes {first}-{last}/{len(does.content)}"
            self.send_header("Content-Range", told)
        if does.etag:
            self.send_header("ETag", does.etag)
        if does.tells_length:
            self.send_header("Content-Length", str(does.length_told or len(body)))
        self.end_headers()
        self.wfile.write(body[: does.break_after.pop(0)] if does.break_after else body)
        while does.endless:
            self.wfile.write(bytes(1 << 16))
        self.close_connection = True

    def _find_first(self, does: Behaviour) -> int | None:
        wanted = self.headers.get("Range", "")
        other = self.headers.get("If-Range", does.etag) != does.etag
        if not wanted or not does.ranges or (does.checks and other):
            return None
        return int(wanted.removeprefix("bytes=").rstrip("-"))


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up."""


@contextmanager
def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve while the block runs; yields the address of the file."""
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/file.qcow2"
        finally:
            server.shutdown()
            thread.join()
