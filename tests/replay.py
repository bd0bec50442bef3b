"""A vCenter whose answers were written down before: no network, no server."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from types import SimpleNamespace

from pyVmomi import SoapStubAdapter, vim, vmodl

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.vsphere.collector import Collector
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.observe import Observer
from linkedclone.drivers.vsphere.session import Session

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


class _Stub(SoapStubAdapter):  # type: ignore[misc]  # pyVmomi has no types
    """The client's side of pyVmomi, with its connections replaced."""

    def __init__(self, bodies: Iterator[bytes]) -> None:
        super().__init__(host="replay.invalid")
        self._bodies = bodies

    def GetConnection(self) -> Native:  # noqa: N802 - pyVmomi's name
        return SimpleNamespace(request=lambda *_: None, getresponse=self._answer, close=_nothing)

    def ReturnConnection(self, _: Native) -> None:  # noqa: N802 - pyVmomi's name
        pass

    def _answer(self) -> Native:
        return SimpleNamespace(status=200, reason="OK", read=BytesIO(next(self._bodies)).read)


def _nothing() -> None:
    pass
