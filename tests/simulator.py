"""Starts and steers the vCenter simulator of ``tests/vcsim``; one process for each Simulator."""

import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.model.values.secret import Secret

BINARY = Path(__file__).parents[1] / ".build" / "bin" / "vcsim"
USER = "administrator@vsphere.local"
PASSWORD = "sim-Pass:w0rd"
START_SECONDS = 240.0


@dataclass
class Simulator:
    """A running simulator. Use it as a context manager, or call :meth:`stop`."""

    process: "subprocess.Popen[str]"
    folder: "tempfile.TemporaryDirectory[str]"
    host: str
    port: int
    certificate_pem: str
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    flags: tuple[str, ...] = ()
    idle: list[HTTPSConnection] = field(default_factory=list, repr=False)

    @classmethod
    def start(cls, *args: str) -> "Simulator":
        """Start one with these flags of ``cmd/vcsim`` (``"-vm", "5"``) and wait until it serves."""
        if not BINARY.exists():
            msg = f"{BINARY} is missing: run script/bootstrap"
            raise FileNotFoundError(msg)
        folder = tempfile.TemporaryDirectory(prefix="vcsim-")
        process, url = cls._launch(folder, args)
        certificate = Path(folder.name) / "cert.pem"
        return cls(
            process=process,
            folder=folder,
            host=url.hostname or "127.0.0.1",
            port=url.port or 443,
            certificate_pem=certificate.read_text() if certificate.exists() else "",
            flags=args,
        )

    @classmethod
    def start_kept(cls, *args: str) -> "Simulator":
        """Start one that keeps its inventory, so that it can be :meth:`restarted <restart>`."""
        started = cls.start(*args)
        started.stop_process()
        # A second start, because only now there is a folder to keep it in.
        started.flags = (*args, "-state", started.folder.name)
        started.restart()
        return started

    def stop_process(self) -> None:
        """End the process as an administrator does; what it keeps is saved."""
        self.process.terminate()
        self.process.wait(120)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """Start it again at the same address. Sessions and tasks are forgotten."""
        self._hang_up()
        place = ("-l", f"{self.host}:{self.port}")
        self.process, _ = self._launch(self.folder, (*self.flags, *place))
        self.certificate_pem = self.certificate_file.read_text()

    @classmethod
    def _launch(
        cls, folder: "tempfile.TemporaryDirectory[str]", args: Sequence[str]
    ) -> "tuple[subprocess.Popen[str], Any]":
        certificate = Path(folder.name) / "cert.pem"
        command = [
            str(BINARY),
            *("-control", "-username", USER, "-password", PASSWORD),
            *("-cert-out", str(certificate)),
            *args,
        ]
        with (Path(folder.name) / "stderr").open("w") as errors:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "TMPDIR": folder.name},
            )
        return process, cls._await_url(process, Path(folder.name) / "stderr")

    @staticmethod
    def _await_url(process: "subprocess.Popen[str]", errors: Path) -> Any:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("export GOVC_URL="):
                return urlsplit(line.removeprefix("export GOVC_URL=").strip())
        process.wait(START_SECONDS)
        msg = f"the simulator did not start: {errors.read_text()}"
        raise RuntimeError(msg)

    def stop(self) -> None:
        """End the process and remove its files."""
        self._hang_up()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- how to reach it --------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL as GOVC_URL takes it, with user name and password."""
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"https://{user}:{password}@{self.host}:{self.port}/sdk"

    @property
    def certificate_file(self) -> Path:
        """The served certificate as a PEM file."""
        return Path(self.folder.name) / "cert.pem"

    def endpoint(
        self,
        *,
        password: str | None = None,
        datacenter: str = "",
        tls: Tls | None = None,
        timeout_seconds: float = 60.0,
    ) -> Endpoint:
        """Return an endpoint with this simulator's certificate pinned, unless ``tls`` is given."""
        return Endpoint(
            kind="vsphere",
            host=self.host,
            port=self.port,
            user=self.user,
            password=Secret(self.password if password is None else password),
            datacenter=datacenter,
            tls=tls or Tls(pinned_pem=self.certificate_pem),
            timeout_seconds=timeout_seconds,
            origin="test",
        )

    # -- what it has seen -------------------------------------------------------------

    def calls(self) -> dict[str, int]:
        """Return how often each SOAP method came over the wire since the last reset."""
        counts: dict[str, int] = self._control("GET", "calls")
        return counts

    def reset_calls(self) -> None:
        """Start to count anew."""
        self._control("POST", "calls/reset", {})

    def log(self) -> list[dict[str, Any]]:
        """Return the calls in order, each with method, this and at_ms."""
        entries: list[dict[str, Any]] = self._control("GET", "log")
        return entries

    def requests(self, method: str) -> list[str]:
        """Return the last SOAP bodies of one method."""
        bodies: list[str] = self._control("GET", f"requests?method={quote(method)}")
        return bodies

    def files(self) -> list[str]:
        """Return the disk files that exist, each as ``[datastore] path``."""
        files: list[str] = self._control("GET", "files")
        return files

    def leave_orphan(self, name: str) -> str:
        """Leave a delta over a VM's first disk behind in its folder; return its file."""
        return str(self._control("POST", "files/orphan", {"name": name})["file"])

    def unmount(self, host: str, datastore: str) -> None:
        """Take a datastore from a host."""
        self._control("POST", "hosts/unmount", {"host": host, "datastore": datastore})

    # -- how it misbehaves ------------------------------------------------------------

    def fault(
        self,
        method: str,
        fault: str,
        *,
        at: str = "task",
        name: str = "",
        count: int = 1,
        **more: object,
    ) -> None:
        """Make calls of a method fail: ``at`` the call, its task, or its poweron.

        ``name`` restricts it to one VM; ``count`` -1 means for ever. ``more``
        holds ``leave``, ``properties`` and ``message``.
        """
        rule = {"method": method, "fault": fault, "at": at, "name": name, "count": count, **more}
        self._control("POST", "faults", rule)

    def delays(self, *, call_ms: int = 0, task_ms: Mapping[str, int] | None = None) -> None:
        """Set how long calls and tasks take."""
        self._control("POST", "delays", {"call_ms": call_ms, "task_ms": dict(task_ms or {})})

    def clone_mode(self, mode: str, count: int = 1) -> None:
        """Make the next clones come out otherwise than asked for."""
        self._control("POST", "clone-mode", {"mode": mode, "count": count})

    def drop(self, method: str = "", *, count: int = 1, after: bool = False) -> None:
        """Close connections instead of answering; ``after``: only once the call is done."""
        self._control("POST", "drop", {"method": method, "count": count, "after": after})

    def miss_privileges(self, privileges: Sequence[str]) -> None:
        """Take privileges away from the user."""
        self._control("POST", "privileges", {"missing": list(privileges)})

    def mark_template(self, name: str) -> None:
        """Make a VM a template."""
        self._control("POST", "template", {"name": name})

    def end_sessions(self) -> None:
        """End all sessions, as a restart of vCenter does."""
        self._control("POST", "sessions/terminate", {})

    def control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Call any other test-only path below ``/_test/``."""
        return self._control(method, path, body)

    def _control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        try:
            connection = self.idle.pop()  # a new one costs ten times what the call does
        except IndexError:
            connection = self._connect()
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/_test/{path}", payload)
            response = connection.getresponse()
            text = response.read().decode()
        except BaseException:
            connection.close()
            raise
        self.idle.append(connection)
        if response.status != 200:
            msg = f"{method} {path}: {response.status} {text}"
            raise RuntimeError(msg)
        return json.loads(text)

    def _connect(self) -> HTTPSConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.certificate_pem)
        return HTTPSConnection(self.host, self.port, context=context, timeout=120)

    def _hang_up(self) -> None:
        while self.idle:
            self.idle.pop().close()
