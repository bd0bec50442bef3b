"""Reads the beginning of a file on a datastore, at ``https://VCENTER/folder/PATH``.

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

_OK: Final = frozenset({200, 206})
_FAULTS: Final[Mapping[int, Native]] = {
    401: vim.fault.NotAuthenticated,
    403: vim.fault.NoPermission,
    404: vim.fault.NotFound,
}
"""What the endpoint's answers mean, in the words of the API: so that a session that
ended is taken up again and an error reads like that of any other call."""


def read_head(session: Session, store: Datastore, path: str, limit: int) -> bytes:
    """Return the first bytes of a file, ``limit`` at most."""
    where = urlencode({"dcPath": store.datacenter_path, "dsName": store.name}, quote_via=quote)
    url = f"/folder/{quote(path)}?{where}"
    stub = store.browser._stub  # noqa: SLF001 - the connection that the object belongs to
    about = f"read [{store.name}] {path}"
    found: bytes = session.read(about, partial(_fetch, stub, url, limit))
    return found


def _fetch(stub: Native, url: str, limit: int) -> bytes:
    connection = stub.GetConnection()
    try:
        connection.request("GET", url, headers={"Cookie": stub.cookie})
        answer = connection.getresponse()
        body: bytes = answer.read(limit)
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
    return body
