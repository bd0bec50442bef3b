"""Reads the beginning of a file on a datastore, or writes one: ``https://VCENTER/folder/PATH``.

It takes the cookie of the API's session, and the same connections with the same
TLS [fact: vs-folder-endpoint].
"""

from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.storage.datastores import Datastore

_OK: Final = frozenset({200, 201, 204, 206})
_FAULTS: Final[Mapping[int, Native]] = {
    401: vim.fault.NotAuthenticated,
    403: vim.fault.NoPermission,
    404: vim.fault.NotFound,
}
"""What the endpoint's answers mean, in the words of the API: so that a session that
ended is taken up again and an error reads like that of any other call."""


def read_head(session: Session, store: Datastore, path: str, limit: int) -> bytes:
    """Return the first bytes of a file, ``limit`` at most."""
    about = f"read [{store.name}] {path}"
    found: bytes = session.read(about, partial(_send, store, "GET", path, None, limit))
    return found


def write_file(session: Session, store: Datastore, path: str, body: bytes) -> None:
    """Write a small file, over one that is there."""
    about = f"write [{store.name}] {path}"
    session.read(about, partial(_send, store, "PUT", path, body, len(body)))


def _send(store: Datastore, method: str, path: str, body: bytes | None, limit: int) -> bytes:
    where = urlencode({"dcPath": store.datacenter_path, "dsName": store.name}, quote_via=quote)
    stub = store.browser._stub  # noqa: SLF001 - the connection that the object belongs to
    connection = stub.GetConnection()
    try:
        headers = {"Cookie": stub.cookie}
        connection.request(method, f"/folder/{quote(path)}?{where}", body, headers)
        answer = connection.getresponse()
        told: bytes = answer.read(limit)
        whole = answer.read(1) == b""
    except BaseException:
        connection.close()
        raise
    if whole:
        stub.ReturnConnection(connection)
    else:
        # The rest of a large file is not waited for.
        connection.close()
    if answer.status in _FAULTS:
        raise _FAULTS[answer.status](msg=f"{answer.status} {answer.reason}")
    if answer.status not in _OK:
        msg = f"{answer.status} {answer.reason}"
        raise ConnectionError(msg)
    return told
