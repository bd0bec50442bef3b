"""A vCenter whose answers were written down before: no network, no server."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

from pyVmomi import vim, vmodl

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.connection.transport import Reply, Stub
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.property.collector import Collector

API_VERSION = "8.0.3.0"


def open_replay(bodies: Iterable[bytes]) -> Observer:
    """Return an observer whose calls get these answers, one after the other."""
    stub = _Stub(iter(bodies))
    about = SimpleNamespace(apiType="VirtualCenter", apiVersion=API_VERSION)
    content = SimpleNamespace(
        about=about,
        rootFolder=vim.Folder("group-d1", stub),
        propertyCollector=vmodl.query.PropertyCollector("propertyCollector", stub),
    )
    endpoint = Endpoint(kind="vsphere", host="replay.invalid", origin="test")
    session = _Session(endpoint, stub, content)
    return Observer(session, Collector(session))


class _Session(Session):
    """A session that nobody has to log in to."""

    def _login(self) -> None:
        """Nobody asks for a password."""

    def ping(self) -> None:
        """There is no session to keep: in a long run this would take an answer, or find none."""


class _Stub(Stub):
    """The client's side, with its connections replaced."""

    def __init__(self, bodies: Iterator[bytes]) -> None:
        super().__init__(host="replay.invalid")
        self._bodies = bodies

    def exchange(self, _: bytes) -> Reply:
        return Reply(status=200, reason="OK", body=next(self._bodies))
