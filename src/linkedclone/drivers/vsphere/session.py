"""One login at one endpoint, shared by all threads: sends calls, and logs in again when it ended.

Every call of the driver goes through :meth:`Session.call` or
:meth:`Session.read`, so that nothing native escapes.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.vsphere import tls
from linkedclone.drivers.vsphere.faults import translate
from linkedclone.drivers.vsphere.native import Native, NativeCall
from linkedclone.errors import AuthenticationError, BusyError, HypervisorError, UnsupportedError

if TYPE_CHECKING:
    from pyVmomi import SoapStubAdapter

_MALFORMED = (http.client.HTTPException, ExpatError, ParseError)
"""Answers that are no HTTP, or no XML."""

_NATIVE = (vmodl.MethodFault, OSError, *_MALFORMED)
"""All that a call can raise for the server's or the network's sake; TLS errors are OSErrors."""

_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""How pyVmomi stumbles over answers that it cannot decode."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")

MAX_THREADS: Final = 16
"""Calls that the driver itself has in flight at once. One call costs pyVmomi
about 1.6 ms of processor time (measured), so more threads gain nothing."""


class Session:
    """A session at a vCenter or an ESXi host.

    Attributes:
        endpoint: Where it is.
        content: The ServiceContent, read when connecting.
        user: The UserSession that the login returned.
    """

    def __init__(self, endpoint: Endpoint, stub: SoapStubAdapter, content: Native) -> None:
        self.endpoint = endpoint
        self.content = content
        self._stub = stub
        self._lock = threading.Lock()
        self._logins = 0
        self.user: Native = None
        self._login()

    # -- calls ------------------------------------------------------------------------

    def call(self, about: str, method: NativeCall, *given: object, **named: object) -> Native:
        """Send a call that changes something; it is sent once.

        A lost connection leaves open whether the server has done it: that is a
        BusyError, and what makes a retry safe is the caller's business.
        """
        with self._translated(about):
            return self._authenticated(method, *given, **named)

    def read(self, about: str, method: NativeCall, *given: object, **named: object) -> Native:
        """Send a call that only reads; sent again once if the connection breaks.

        A server closes idle connections, which shows only at the next call.
        """
        with self._translated(about):
            try:
                return self._authenticated(method, *given, **named)
            except (ConnectionError, http.client.HTTPException):
                return self._authenticated(method, *given, **named)

    def _authenticated(self, method: NativeCall, *given: object, **named: object) -> Native:
        logins = self._logins
        try:
            return method(*given, **named)
        except vim.fault.NotAuthenticated:
            # The server has done nothing, so sending it again is safe.
            with self._lock:
                if logins == self._logins:
                    self._login()
            return method(*given, **named)

    def _login(self) -> None:
        failure: Exception | None = None
        with self._translated(f"log in as {self.endpoint.user}"):
            try:
                self.user = self._send_login()
            except (*_NATIVE, *_UNREADABLE) as error:
                # The frames below this one hold the password: drop them, and raise outside.
                failure = error.with_traceback(None)
            if failure is not None:
                raise failure
        self._logins += 1

    def _send_login(self) -> Native:
        password = self.endpoint.password
        if password is None:
            raise AuthenticationError(
                f"there is no password for {self.endpoint.address}",
                hint="set GOVC_PASSWORD, or keep one: linkedclone endpoints add NAME URL",
            )
        manager = self.content.sessionManager
        return manager.Login(self.endpoint.user, password.reveal(), None)

    @contextmanager
    def _translated(self, about: str) -> Iterator[None]:
        try:
            yield
        except vmodl.MethodFault as fault:
            raise translate(fault, about) from fault
        except ssl.SSLCertVerificationError as error:
            raise tls.distrusted(self.endpoint, error) from error
        except (ConnectionRefusedError, socket.gaierror) as error:
            raise tls.unreachable(self.endpoint.host, self.endpoint.port, error) from error
        except (OSError, *_MALFORMED) as error:
            brief = f"could not {about}: the connection to {self.endpoint.host} broke"
            details = f"{type(error).__name__}: {error}"
            hint = "look whether it was done before doing it again; running the command again does"
            raise BusyError(brief, details=details, hint=hint) from error
        except _UNREADABLE as error:
            raise HypervisorError(
                f"could not {about}: the answer of {self.endpoint.host} cannot be read",
                details=f"{type(error).__name__}: {error}",
                hint="look whether it was done; a newer linkedclone may understand this vCenter",
            ) from error

    # -- objects ----------------------------------------------------------------------

    def managed(self, kind: str, moid: str) -> Native:
        """Return the managed object of a type (``VirtualMachine``) and id. Costs no call."""
        return getattr(vim, kind)(moid, self._stub)

    @property
    def is_vcenter(self) -> bool:
        """False for an ESXi host that was connected to directly."""
        return bool(self.content.about.apiType == "VirtualCenter")

    @property
    def api_version(self) -> tuple[int, ...]:
        """The version of the API, as numbers; empty if it is written otherwise."""
        parts = str(self.content.about.apiVersion or "").split(".")
        return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()

    def require_vcenter(self, what: str) -> None:
        """Refuse what a lone ESXi host cannot do, whatever its licence (handbook, section 8).

        Raises:
            UnsupportedError: The endpoint is an ESXi host.
        """
        if not self.is_vcenter:
            raise UnsupportedError(
                f"an ESXi host without vCenter cannot {what}",
                details=str(self.content.about.fullName),
                hint="name the vCenter that manages this host as the endpoint",
                kind="NotSupported",
            )

    def map(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> list[_Out]:
        """Apply a function that makes a call to each item, several at once, in order."""
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(min(MAX_THREADS, len(todo))) as pool:
            return list(pool.map(function, todo))

    def close(self) -> None:
        """Log out and close the connections; never raises."""
        try:
            self.content.sessionManager.Logout()
        except (*_NATIVE, *_UNREADABLE):
            pass  # the session ends by itself after its idle time
        finally:
            self._stub.DropConnections()
