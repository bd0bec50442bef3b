"""Calls whose answers come back as they are, for those that are too long to decode whole.

The request, the connections and the session are pyVmomi's; only the decoding
of the answer is left out. A fault is decoded and raised as pyVmomi does it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from pyVmomi.SoapAdapter import SoapResponseDeserializer

from linkedclone.drivers.vsphere.native import Native

_OK: Final = 200
_FAULT: Final = 500


def undecoded(managed: Native, method: str) -> Callable[..., bytes]:
    """Return a managed object's method that answers with XML, not even parsed.

    Raises, when called, what pyVmomi's own method raises.
    """
    stub = managed._stub  # noqa: SLF001 - the connection that the object belongs to
    info = type(managed)._GetMethodInfo(method)  # noqa: SLF001 - as pyVmomi calls itself

    def call(*arguments: object) -> bytes:
        status, body = _post(stub, stub.SerializeRequest(managed, info, list(arguments)))
        if status == _OK:
            return body
        raise SoapResponseDeserializer(stub).Deserialize(io.BytesIO(body), info.result)

    return call


def _post(stub: Native, request: bytes) -> tuple[int, bytes]:
    headers = {
        "Content-Type": "text/xml; charset=UTF-8",
        "Cookie": stub.cookie,
        "SOAPAction": stub.versionId,
    }
    connection = stub.GetConnection()
    try:
        connection.request("POST", stub.path, request, headers)
        answer = connection.getresponse()
        body = answer.read()
    except BaseException:
        # Half an answer must not be taken for the beginning of the next one.
        connection.close()
        raise
    stub.ReturnConnection(connection)
    if answer.status not in {_OK, _FAULT}:
        msg = f"{answer.status} {answer.reason}"
        raise ConnectionError(msg)
    return answer.status, body
