"""One login at one endpoint, shared by all threads: sends calls, and logs in again when it ended.

Every call of the driver goes through :meth:`Session.call` or
:meth:`Session.read`, so that nothing native escapes.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final, TypeVar
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError

from pyVmomi import SoapStubAdapter, vim, vmodl

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.vsphere.connection import tls
from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError
from linkedclone.drivers.vsphere.connection.bounded import OversizedError
from linkedclone.drivers.vsphere.connection.errors import translate
from linkedclone.drivers.vsphere.connection.keepalive import SILENCE_SECONDS, KeepAlive
from linkedclone.drivers.vsphere.connection.tolerant import UNDECODABLE
from linkedclone.drivers.vsphere.connection.transport import NotConnectedError
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, NativeCall
from linkedclone.errors import (
    AuthenticationError,
    LinkedCloneError,
    LostAnswerError,
    UnreachableError,
    UnreadableAnswerError,
)

_MALFORMED = (http.client.HTTPException, ExpatError, ParseError)
"""Answers that are no HTTP, or no XML."""

_NATIVE = (vmodl.MethodFault, OSError, *_MALFORMED)
"""All that a call can raise for the server's or the network's sake; TLS errors are OSErrors."""

_BROKEN = (
    ConnectionError,
    http.client.HTTPException,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
)
"""How a connection ends that the other side has closed, as idle ones."""

_STRANGE = (StrangeAnswerError, OversizedError)
"""Answers of another shape than the call's."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_STALE_SECONDS: Final = 60.0
"""After so much silence connections are opened anew: a server or a firewall may
have dropped the idle ones, which shows only when a call is lost on them."""

MAX_THREADS: Final = 16
"""Calls that the driver itself has in flight at once. More threads gain nothing,
since each call takes processor time [fact: py-costs]."""


class Session:
    """A session at a vCenter or an ESXi host.

    Attributes:
        endpoint: Where it is.
        content: The ServiceContent, read when connecting.
        user: The UserSession that the login returned.
        logins: How often it has logged in. What the server keeps for a session
            (filters, page tokens) is gone when this has changed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stub: SoapStubAdapter,
        content: Native,
        *,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.content = content
        self._stub = stub
        self._lock = threading.Lock()
        self.logins = 0
        self.user: Native = None
        self._refused: AuthenticationError | None = None
        self._cookie = ""
        self._used = time.monotonic()
        self._login()
        self._keep_alive = KeepAlive(self, silence_seconds)

    # -- calls ------------------------------------------------------------------------

    def call(self, about: str, method: NativeCall, *given: object, **named: object) -> Native:
        """Send a call that changes something; it is sent once.

        A lost connection leaves open whether the server has done it, and so does
        an answer of another shape: that is a LostAnswerError, and what makes a
        retry safe is the caller's business.
        """
        with self._translated(about, changes=True):
            return self._authenticated(method, *given, **named)

    def read(self, about: str, method: NativeCall, *given: object, **named: object) -> Native:
        """Send a call that only reads; sent again once if its answer is lost or not whole.

        A server closes idle connections, which shows only at the next call.
        """
        with self._translated(about):
            try:
                return self._authenticated(method, *given, **named)
            except (*_BROKEN, StrangeAnswerError):
                self._stub.DropConnections()
                return self._authenticated(method, *given, **named)

    def read_on(self, about: str, method: NativeCall, *given: object) -> Native:
        """Send a call that reads, and that the server may answer only once, as for a page."""
        with self._translated(about):
            return self._authenticated(method, *given)

    def ping(self) -> None:
        """Keep the session alive; the next call reports any failure.

        CurrentTime, as govmomi does it [fact: vs-session]. Where the session has ended, it
        logs in again; the next call reports a refused login.
        """
        server = vim.ServiceInstance("ServiceInstance", self._stub)
        with suppress(LinkedCloneError):
            self.read("keep the session", server.CurrentTime)
        self._used = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """For how long nothing was sent."""
        return time.monotonic() - self._used

    def _authenticated(self, method: NativeCall, *given: object, **named: object) -> Native:
        if self.silent_seconds > _STALE_SECONDS:
            self._stub.DropConnections()
        logins = self.logins
        try:
            answer = method(*given, **named)
        except vim.fault.NotAuthenticated:
            # The server has done nothing, so sending it again is safe.
            self._login_again(logins)
            answer = method(*given, **named)
        self._used = time.monotonic()
        return answer

    def _login_again(self, logins: int) -> None:
        """Log in, unless another thread has done so since ``logins``; nothing was done before.

        A password that was refused is never sent again: several threads that
        try it would lock the account.
        """
        with self._lock:
            if self._refused is not None:
                raise self._refused
            if logins != self.logins:
                # An answer to a call of the dead session may have brought a cookie of its own.
                self._stub.cookie = self._cookie
                return
            try:
                self._login()
            except AuthenticationError as error:
                brief = f"the session at {self.endpoint.host} has ended, and the login is refused"
                hint = "the password may have been changed: run it again with the new one"
                self._refused = AuthenticationError(brief, details=error.details, hint=hint)
                raise self._refused from error
            except LostAnswerError as error:
                # Whatever was to be sent was not sent yet.
                raise UnreachableError(
                    error.brief, details=error.details, hint=error.hint
                ) from error

    def _login(self) -> None:
        failure: Exception | None = None
        with self._translated(f"log in as {self.endpoint.user}"):
            try:
                self.user = self._send_login()
            except (*_NATIVE, *UNDECODABLE) as error:
                # The frames below this one hold the password: drop them, and raise outside.
                failure = error.with_traceback(None)
            if failure is not None:
                raise failure
        self._cookie = self._stub.cookie
        self._used = time.monotonic()
        self.logins += 1

    def _send_login(self) -> Native:
        password = self.endpoint.password
        if password is None:
            raise AuthenticationError(
                f"there is no password for {self.endpoint.address}",
                hint="set GOVC_PASSWORD, or keep one: ``endpoints add`` NAME URL",
            )
        manager = self.content.sessionManager
        # A session that the server half remembers would refuse a second login.
        self._stub.cookie = ""
        return manager.Login(self.endpoint.user, password.reveal(), None)

    @contextmanager
    def _translated(self, about: str, *, changes: bool = False) -> Iterator[None]:
        try:
            yield
        except vim.fault.NotAuthenticated as fault:
            # The login of a moment ago did not help.
            raise AuthenticationError(
                f"could not {about}: {self.endpoint.host} does not know the session of this login",
                details=translate(fault, about).details,
                hint="run it again; if it stays, several servers may share this address",
            ) from fault
        except vmodl.MethodFault as fault:
            raise translate(fault, about, name_of=self.name_of) from fault
        except ssl.SSLCertVerificationError as error:
            raise tls.distrusted(self.endpoint, error) from error
        except NotConnectedError as error:
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise tls.unreachable(self.endpoint.host, self.endpoint.port, reason) from error
        except _STRANGE as error:
            raise self._strange(error, about, changes=changes) from error
        except (OSError, *_MALFORMED) as error:
            brief = f"could not {about}: the connection to {self.endpoint.host} broke"
            details = f"{type(error).__name__}: {error}"
            hint = "look whether it was done before doing it again; running the command again does"
            raise LostAnswerError(brief, details=details, hint=hint) from error
        except UNDECODABLE as error:
            raise UnreadableAnswerError(
                f"could not {about}: the answer of {self.endpoint.host} cannot be read",
                details=f"{type(error).__name__}: {error}",
                hint="look whether it was done; a newer linkedclone may understand this vCenter",
            ) from error

    def _strange(self, error: Exception, about: str, *, changes: bool) -> LinkedCloneError:
        """Return what an answer of another shape means; what a call has done is not known then."""
        brief = f"could not {about}: {self.endpoint.host} answered with something else"
        if changes:
            hint = "look whether it was done before doing it again; running the command again does"
            return LostAnswerError(brief, details=str(error), hint=hint)
        hint = "look whether a proxy or another server answers at this address: ``doctor``"
        return UnreadableAnswerError(brief, details=str(error), hint=hint)

    # -- objects ----------------------------------------------------------------------

    def name_of(self, managed: Native) -> str:
        """Return the name of an object that an error is about: one read; empty if it has none.

        Faults name objects by their ids only.
        """
        query = vmodl.query.PropertyCollector
        question = query.FilterSpec(
            objectSet=[query.ObjectSpec(obj=managed, skip=False)],
            propSet=[query.PropertySpec(type=type(managed), all=False, pathSet=["name"])],
        )
        with suppress(*_NATIVE, *UNDECODABLE, LinkedCloneError):
            collector = self.content.propertyCollector
            page = collector.RetrievePropertiesEx([question], query.RetrieveOptions())
            for one in page.objects:
                for found in one.propSet:
                    return unescape(str(found.val))
        return ""

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

    def map(self, function: Callable[[_In], _Out], items: Iterable[_In]) -> list[_Out]:
        """Apply a function that makes a call to each item, several at once, in order."""
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(min(MAX_THREADS, len(todo))) as pool:
            return list(pool.map(function, todo))

    def close(self) -> None:
        """Log out and close the connections; never raises."""
        self._keep_alive.stop()
        try:
            self.content.sessionManager.Logout()
        except (*_NATIVE, *UNDECODABLE):
            pass  # the session ends by itself after its idle time
        finally:
            self._stub.DropConnections()
