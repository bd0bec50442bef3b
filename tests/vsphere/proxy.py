"""A vCenter that answers otherwise now and then: in front of the simulator, over real TLS."""

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from trustme import CA

from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.model.values.secret import Secret
from tests.simulator import Simulator

_METHOD = re.compile(rb"<(?:\w+:)?Body>\s*<(?:\w+:)?(\w+)")


@dataclass(kw_only=True)
class Reply:
    """What the client gets.

    Attributes:
        announced: The Content-Length; None for the true one, -1 for none at all.
        pause: Seconds between single bytes of the body; 0 sends it at once.
    """

    status: int
    body: bytes
    announced: int | None = None
    pause: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


Change = Callable[[str, bytes, Callable[[], Reply]], Reply]
"""Returns what a call of a method is answered with; is given its request, and what asks the
simulator."""


def honestly(_method: str, _request: bytes, ask: Callable[[], Reply]) -> Reply:
    """Answer as the simulator does."""
    return ask()


class Proxy:
    """The way to a simulator.

    Attributes:
        change: Applied to every call from now on.
        sent: The methods that reached the simulator.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.change: Change = honestly
        self.sent: list[str] = []
        self._simulator = simulator
        self._there = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._there.load_verify_locations(cadata=simulator.certificate_pem)
        authority = CA()
        self.ca_pem = authority.cert_pem.bytes().decode()
        here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = authority.issue_cert("127.0.0.1")
        certificate.configure_cert(here)
        self.pem = certificate.cert_chain_pems[0].bytes().decode()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._server.socket = here.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def connect(self) -> HTTPSConnection:
        """Return a connection to the simulator; it is opened with its first request."""
        return HTTPSConnection(
            self._simulator.host, self._simulator.port, context=self._there, timeout=120
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- how to reach it --------------------------------------------------------------

    def endpoint(self) -> Endpoint:
        return Endpoint(
            kind="vsphere",
            host="127.0.0.1",
            port=self.port,
            user=self._simulator.user,
            password=Secret(self._simulator.password),
            tls=Tls(pinned_pem=self.pem),
            origin="test",
        )

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables that make it the endpoint of a command."""
        (folder / "ca.pem").write_text(self.ca_pem)
        user, password = (
            quote(x, safe="") for x in (self._simulator.user, self._simulator.password)
        )
        return {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "GOVC_URL": f"https://{user}:{password}@127.0.0.1:{self.port}/sdk",
            "GOVC_TLS_CA_CERTS": str(folder / "ca.pem"),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: "Proxy"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: else the body waits until the client confirms the head.
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self._there = self.server.proxy.connect()

    def finish(self) -> None:
        self._there.close()
        super().finish()

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        found = _METHOD.search(request)
        self._pass_on(found.group(1).decode() if found else "", request)

    def do_PUT(self) -> None:
        self._pass_on("PUT", self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, method: str, request: bytes) -> None:
        proxy = self.server.proxy

        def ask() -> Reply:
            proxy.sent.append(method)
            return self._forward(request)

        self._answer(proxy.change(method, request, ask))

    def do_GET(self) -> None:
        self._answer(self._forward(b""))

    def _forward(self, request: bytes) -> Reply:
        kept = ("Cookie", "SOAPAction", "Content-Type", "Range")
        headers = {name: self.headers[name] for name in kept if self.headers[name]}
        self._there.request(self.command, self.path, request, headers)
        answer = self._there.getresponse()
        cookie = answer.getheader("Set-Cookie")
        return Reply(
            status=answer.status,
            body=answer.read(),
            headers={"Set-Cookie": cookie} if cookie else {},
        )

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        length = len(reply.body) if reply.announced is None else reply.announced
        if length >= 0:
            self.send_header("Content-Length", str(length))
        self.close_connection = length != len(reply.body)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if reply.pause:
            self._trickle(reply)
        else:
            self.wfile.write(reply.body)

    def _trickle(self, reply: Reply) -> None:
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            time.sleep(reply.pause)

    def log_message(self, *_: object) -> None:
        """Say nothing: what the client says counts."""


@contextmanager
def proxied(simulator: Simulator) -> Iterator[Proxy]:
    proxy = Proxy(simulator)
    try:
        yield proxy
    finally:
        proxy.close()
