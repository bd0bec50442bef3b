"""pyVmomi's connections, with the answers read and judged here: the one place where they come in.

pyVmomi decodes what it is given as it arrives, without any bound, and takes
whatever it does not understand for "nothing". Here an answer is first read
whole, within bounds (``bounded``), judged (``answers``), and then decoded
(``tolerant``).
"""

import http.client
import re
import ssl
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from pyVmomi import SoapStubAdapter, VmomiSupport

from linkedclone.drivers.vsphere.connection import answers, tolerant
from linkedclone.drivers.vsphere.connection.bounded import BoundedConnection, read_whole
from linkedclone.drivers.vsphere.native import Native
from linkedclone.errors import InputError

_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""In UTF-8, the characters that XML 1.0 has no way to write; servers answer them with a page."""
_OK: Final = 200
_FAULT: Final = 500


class NotConnectedError(OSError):
    """The server did not take a connection, so nothing was sent; the cause says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came over HTTP: the status, its meaning, the body."""

    status: int
    reason: str
    body: bytes


class Stub(SoapStubAdapter):  # type: ignore[misc]  # pyVmomi has no types
    """A connection pool. Opening a connection and sending on it fail differently.

    pyVmomi connects before it sends (``SoapAdapter._Connect``), but raises the
    same errors for both.
    """

    def __init__(self, **given: object) -> None:
        # Answers are not compressed: what they unfold to is not known before.
        super().__init__(**given, acceptCompressedResponses=False)
        self.scheme = BoundedConnection
        self.cookie: str = self.cookie

    def GetConnection(self) -> Native:  # noqa: N802 - pyVmomi's name
        """Return a connection that is open."""
        try:
            return super().GetConnection()
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            raise NotConnectedError(str(error)) from error

    def InvokeMethod(  # noqa: N802 - pyVmomi's name
        self,
        mo: Native,
        info: Native,
        args: list[object],
        outerStub: object = None,  # noqa: ARG002, N803 - pyVmomi's own
    ) -> Native:
        """Call a method and return its decoded result; raise its fault."""
        return self.read_reply(self._ask(mo, info, args), info)

    def read_reply(self, reply: Reply, info: Native) -> Native:
        """Judge what came for a method, and return it decoded; raise its fault."""
        return self._decode(self._judge(reply, info), info)

    def fetch(self, mo: Native, info: Native, args: list[object]) -> bytes:
        """Call a method and return its answer as it came; raise its fault.

        For long answers, which are parsed later: the parser judges them
        (``answers.judge``). Only one that does not look whole is judged here.
        """
        reply = self._ask(mo, info, args)
        if reply.status != _OK or not answers.is_plainly_sound(reply.body, info.wsdlName):
            self._judge(reply, info)
        return reply.body

    def _decode(self, answer: Element, info: Native) -> Native:
        try:
            result = tolerant.decode_results(list(answers.results_of(answer)), info.result, self)
        except tolerant.UNDECODABLE as error:
            msg = f"an answer that cannot be decoded: {type(error).__name__}: {error}"
            raise answers.StrangeAnswerError(msg) from error
        _check_result(result, info)
        return result

    def _ask(self, mo: Native, info: Native, args: list[object]) -> Reply:
        """Refuse what is asked for before anything is sent if XML cannot hold it."""
        try:
            request = self.SerializeRequest(mo, info, args)
        except UnicodeEncodeError as error:  # what was typed or read is not UTF-8
            raise _unsendable("bytes that are not text") from error
        if _UNSENDABLE.search(request):
            raise _unsendable("a control character")
        return self.exchange(request)

    def _judge(self, reply: Reply, info: Native) -> Element:
        if reply.status not in {_OK, _FAULT}:
            msg = f"{reply.status} {reply.reason}"
            raise http.client.HTTPException(msg)
        answer = answers.parse(reply.body)
        fault = answers.judge(answer, info.wsdlName, result_due=is_result_due(info))
        if fault is not None:
            raise tolerant.decode_soap_fault(fault, self)
        if reply.status != _OK:
            msg = f"a result with the status {reply.status} {reply.reason}"
            raise answers.StrangeAnswerError(msg)
        return answer

    def exchange(self, request: bytes) -> Reply:
        """Send a request and read what comes back, within bounds."""
        headers = {
            "Content-Type": "text/xml; charset=UTF-8",
            "Cookie": self.cookie,
            "SOAPAction": self.versionId,
            "User-Agent": "linkedclone",
        }
        connection = self.GetConnection()
        try:
            connection.request("POST", self.path, request, headers)
            answer = connection.getresponse()
            body = read_whole(answer, connection.most_bytes)
        except BaseException:
            # Half an answer must not become the beginning of the next one.
            connection.close()
            self.DropConnections()
            raise
        self.ReturnConnection(connection)
        if answer.getheader("Set-Cookie"):
            self.cookie = answer.getheader("Set-Cookie")
        if answer.getheader("Content-Encoding", "identity").lower() != "identity":
            msg = "a compressed answer, which was not asked for"
            raise answers.StrangeAnswerError(msg)
        return Reply(status=answer.status, reason=answer.reason, body=body)


def _unsendable(what: str) -> InputError:
    brief = f"a text for vCenter holds {what}"
    return InputError(brief, hint="look at names, notes and passwords, and leave it out")


def is_result_due(info: Native) -> bool:
    """Say whether a method always returns something; lists may be empty, which means no element."""
    optional = info.resultFlags & VmomiSupport.F_OPTIONAL
    return (
        not optional
        and info.result is not VmomiSupport.NoneType
        and not issubclass(info.result, list)
    )


def _check_result(result: Native, info: Native) -> None:
    """Refuse a reference of another type or without an id, as for a task that is none."""
    several = issubclass(info.result, list)
    kind = info.result.Item if several else info.result
    if result is None or not issubclass(kind, VmomiSupport.ManagedObject):
        return
    for one in result if several else (result,):
        if not isinstance(one, kind) or not one._GetMoId():  # noqa: SLF001 - the only way to the id
            msg = f"a result that is not a {kind._wsdlName}"  # noqa: SLF001 - the only way to the name
            raise answers.StrangeAnswerError(msg)
