"""The first call, which is the same to every server: sent while pyVmomi is still being imported.

Standard library only. What it asks for is where everything else is: the
ServiceContent. No user name is sent yet, and nothing is sent before the server's
certificate was checked.
"""

import ssl
from dataclasses import dataclass
from threading import Thread
from typing import Final

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.vsphere.connection import tls
from linkedclone.drivers.vsphere.connection.bounded import (
    ANSWER_BYTES,
    GREETING_BYTES,
    BoundedConnection,
    read_whole,
)

PATH: Final = "/sdk"

_REQUEST: Final = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>\
</RetrieveServiceContent></soapenv:Body></soapenv:Envelope>"""

_HEADERS: Final = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": "urn:vim25/6.5"}
"""API version 6.5, which every vCenter in use understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    status: int
    reason: str
    body: bytes  # SOAP, if the server is a vCenter
    connection: BoundedConnection  # the connection, good for further calls


class Greeting:
    """A call of RetrieveServiceContent that is under way.

    Attributes:
        context: The TLS settings, good for all further connections.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.context: ssl.SSLContext = tls.build_context(endpoint.tls)
        self._connection = BoundedConnection(
            endpoint.host, endpoint.port, timeout=endpoint.timeout_seconds, context=self.context
        )
        self._connection.most_bytes = GREETING_BYTES
        self._answer: Answer | Exception
        self._thread = Thread(target=self._send, name="greeting", daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        """Wait for the answer."""
        self._thread.join()
        if isinstance(self._answer, Exception):
            self._connection.close()
            raise self._answer
        return self._answer

    def _send(self) -> None:
        try:
            self._connection.request("POST", PATH, _REQUEST, _HEADERS)
            answer = self._connection.getresponse()
            body = read_whole(answer, GREETING_BYTES)
            self._connection.most_bytes = ANSWER_BYTES
            self._answer = Answer(
                status=answer.status,
                reason=answer.reason,
                body=body,
                connection=self._connection,
            )
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._answer = error
