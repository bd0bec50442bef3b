"""HTTPS connections whose answers are bounded: in size, and in the time that they may take.

Standard library only: the greeting uses it before pyVmomi is imported. The
limits hold for what comes over the wire, headers included, so an answer that
never ends and one that trickles both end in an error.
"""

import http.client
import io
import socket
import time
from typing import Any, Final

GREETING_BYTES: Final = 1 << 20
"""A ServiceContent has some 6 KiB. It is read before any authentication."""

ANSWER_BYTES: Final = 256 << 20
"""A page of 100 VMs has 1.4 MB on average; the list of all files of a datastore with
10,000 VMs some 40 MB."""

_GRACE_SECONDS: Final = 30.0
"""How long an answer may take once it has begun, however small it is."""

_BYTES_PER_SECOND: Final = 16 << 10
"""What a large answer has to come at, at least, after that time."""


class OversizedError(OSError):
    """An answer is larger than any that makes sense."""


class BoundedConnection(http.client.HTTPSConnection):
    """A connection that reads no more of an answer than is sound.

    Attributes:
        most_bytes: How large the next answer may be.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - HTTPSConnection's own
        super().__init__(*args, **kwargs)
        self.most_bytes = ANSWER_BYTES
        self.response_class = self._open_response  # type: ignore[assignment]  # http.client only calls it

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - HTTPConnection's own
        """Send a request. The answer before it may have left little time on the socket."""
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        super().request(*args, **kwargs)

    def _open_response(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> http.client.HTTPResponse:
        source: Any = _Source(sock, self.most_bytes, self.timeout)
        return http.client.HTTPResponse(source, debuglevel, method, url)


def read_whole(answer: http.client.HTTPResponse, most_bytes: int) -> bytes:
    """Read the body of an answer."""
    if (answer.length or 0) > most_bytes:
        raise _oversized(most_bytes)
    return answer.read()


def _oversized(most_bytes: int) -> OversizedError:
    return OversizedError(f"the answer is larger than {most_bytes >> 20} MiB")


class _Source:
    """What HTTPResponse takes for a socket; it only ever asks it for a file."""

    def __init__(self, sock: socket.socket, most_bytes: int, timeout: float | None) -> None:
        self._given = (sock, most_bytes, timeout)

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(*self._given))


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, most_bytes: int, timeout: float | None) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._most_bytes = most_bytes
        self._timeout = timeout
        self._count = 0
        self._began = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer
        self._sock.settimeout(self._left())
        count = self._raw.readinto(buffer)
        self._began = self._began or time.monotonic()
        self._count += count or 0
        if self._count > self._most_bytes:
            raise _oversized(self._most_bytes)
        return count

    def _left(self) -> float | None:
        """Return how long the next bytes are waited for; the first come when they come."""
        if not self._began or self._timeout is None:
            return self._timeout
        allowed = min(self._timeout, _GRACE_SECONDS) + self._count / _BYTES_PER_SECOND
        left = self._began + allowed - time.monotonic()
        if left <= 0:
            msg = "the answer began, and did not come to its end in time"
            raise TimeoutError(msg)
        return min(left, self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()
