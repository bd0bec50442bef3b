"""Judges answers of the endpoint before anything is made of them.

An answer that is not whole is never read as "there is nothing". Every answer passes
:func:`judge`, those that pyVmomi decodes and those that are taken apart as XML:

- it has to be the SOAP envelope of the method that was called, with a result
  where the API's schema requires one;
- a property that is refused because the session has ended [fact: vs-missing-set] is
  the same as a fault of the whole call;
- each object that it tells of has a type and an id.

Other refused properties do not invalidate the answer: they are kept with
the object (:func:`read_refused`), and who asked has to look.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, ParseError

from pyVmomi import vim

NS: Final = "{urn:vim25}"
TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
RESULT: Final = NS + "returnval"

_SOAP: Final = "{http://schemas.xmlsoap.org/soap/envelope/}"
_ENVELOPE: Final = _SOAP + "Envelope"
_BODY: Final = _SOAP + "Body"
_FAULT: Final = _SOAP + "Fault"


_OBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "RetrievePropertiesEx": ("objects",),
    "ContinueRetrievePropertiesEx": ("objects",),
    "RetrieveProperties": (".",),
    "WaitForUpdatesEx": ("filterSet", "objectSet"),
}
"""Where a property answer holds its objects, below its result."""

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_ENDED: Final = "NotAuthenticated"
_DEEPEST: Final = 400
"""Elements within elements. A disk of 255 layers nests 260 deep, and nothing deeper."""

_SHOWN: Final = 200


class StrangeAnswerError(OSError):
    """Something else came than an answer to the call; the text says what."""


class CutOffError(ConnectionError):
    """The answer ends in the middle."""


def parse(body: bytes, *, bound_depth: bool = True) -> Element:
    """Parse an answer, and make sure that it is not nested too deeply.

    To walk through it for its depth costs a third of what parsing does. It is not worth
    it for long pages, of which only known elements are looked at; a decoder that recurses
    too deeply there ends in a RecursionError, which is an answer that cannot be read.
    """
    if b"<!DOCTYPE" in body or b"\0" in body[:4]:
        # SOAP has no document types; they are where entities are defined that
        # expand without bounds. No server sends UTF-16, which could hide one.
        raise StrangeAnswerError(describe(body))
    try:
        root = ET.fromstring(body)  # noqa: S314 - without a document type it defines no entities
    except ParseError as error:
        if _begins_soap(body) and not body.rstrip().endswith(b"Envelope>"):
            msg = f"the answer ends in the middle, after {len(body)} bytes: {error}"
            raise CutOffError(msg) from error
        msg = f"{describe(body)} ({error})"
        raise StrangeAnswerError(msg) from error
    if bound_depth:
        _bound_depth(root)
    return root


def _begins_soap(body: bytes) -> bool:
    head = body[:_SHOWN].lstrip(b"\xef\xbb\xbf \r\n\t")
    return head.startswith(b"<?xml") or b"Envelope" in head


def _bound_depth(root: Element) -> None:
    level = [root]
    for _ in range(_DEEPEST):
        level = [below for one in level for below in one]
        if not level:
            return
    msg = f"an answer that is nested more than {_DEEPEST} deep"
    raise StrangeAnswerError(msg)


def judge(answer: Element, method: str, *, result_due: bool) -> Element | None:
    """Return the fault of an answer, or None where it is the sound result of a method.

    Raises:
        StrangeAnswerError: It is not an answer to this method, or lacks the result that is due.
        vim.fault.NotAuthenticated: A property was not told because the session has ended.
    """
    content = _open(answer)
    if content.tag == _FAULT:
        return content
    if content.tag != f"{NS}{method}Response":
        msg = f"a <{_bare(content.tag)}> where a <{method}Response> was due"
        raise StrangeAnswerError(msg)
    results = content.findall(RESULT)
    if result_due and not results:
        msg = f"a <{method}Response> without a result"
        raise StrangeAnswerError(msg)
    if method in _OBJECTS:
        _judge_objects(results, _OBJECTS[method])
    return None


def results_of(answer: Element) -> Iterator[Element]:
    """Yield the results in an answer that was judged."""
    yield from _open(answer).iterfind(RESULT)


def _open(answer: Element) -> Element:
    body = answer.find(_BODY) if answer.tag == _ENVELOPE else None
    if body is None:
        msg = f"a document of <{_bare(answer.tag)}>"
        raise StrangeAnswerError(msg)
    if len(body) != 1:
        msg = f"an envelope of {len(body)} answers"
        raise StrangeAnswerError(msg)
    return body[0]


def _judge_objects(results: Iterable[Element], where: tuple[str, ...]) -> None:
    path = "/".join(part if part == "." else NS + part for part in where)
    for result in results:
        for unseen in result.findall(f"{NS}filterSet/{NS}missingObjects"):
            _judge_refusal(unseen)
        for one in result.findall(path):
            obj = one.find(NS + "obj")
            if obj is None or not obj.text or not obj.get("type"):
                msg = "a property answer about an object without a type or an id"
                raise StrangeAnswerError(msg)
            for missing in one.findall(NS + "missingSet"):
                _judge_refusal(missing)


def _judge_refusal(missing: Element) -> None:
    fault = missing.find(f"{NS}fault/{NS}fault")
    if fault is not None and _bare_type(fault) == _ENDED:
        raise vim.fault.NotAuthenticated(msg=fault_words(missing.find(NS + "fault")))


def says_ended(body: bytes) -> bool:
    """Say whether to judge an answer at once: the session may be why a property was refused.

    A look at the bytes, which costs nothing: long answers are parsed later.
    """
    return _ENDED.encode() in body


def is_plainly_sound(body: bytes, method: str) -> bool:
    """Say whether an answer looks whole without being parsed: it begins and ends as it should."""
    return (
        f"<{method}Response".encode() in body[:2048]
        and body[-64:].rstrip().endswith(b"Envelope>")
        and not says_ended(body)
    )


def read_refused(content: Element) -> Mapping[str, str]:
    """Return the properties of an object that were refused, each with the fault's words."""
    return {
        missing.findtext(NS + "path") or "": fault_words(missing.find(NS + "fault"))
        for missing in content.findall(NS + "missingSet")
    }


def read_flag(text: str | None) -> bool:
    """Read a boolean; an invalid value does not count as False."""
    value = (text or "").strip()
    if value not in _FLAGS:
        msg = f"not a boolean: {value!r}"
        raise ValueError(msg)
    return _FLAGS[value]


def read_date(text: str | None) -> datetime:
    """Read a dateTime; the server's clock is UTC where it does not name a zone."""
    date = datetime.fromisoformat((text or "").strip())
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def fault_words(localized: Element | None) -> str:
    """Return a LocalizedMethodFault in words: its type, what it says, and its plain fields."""
    if localized is None:
        return "no reason is given"
    fault = localized.find(NS + "fault")
    kind = "" if fault is None else _bare_type(fault)
    message = (localized.findtext(NS + "localizedMessage") or "").strip()
    fields = () if fault is None else _fields(fault)
    said = ", ".join(part for part in (message, *fields) if part)
    return ": ".join(part for part in (kind, said) if part) or "no reason is given"


def _fields(fault: Element) -> Iterator[str]:
    for field in fault:
        text = (field.text or "").strip()
        if text and not len(field):
            yield f"{_bare(field.tag)} {text}"


def _bare_type(element: Element) -> str:
    return element.get(TYPE, "").rpartition(":")[2]


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]


def describe(body: bytes) -> str:
    """Say what came instead of an answer, for people: its beginning on one line."""
    text = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())
    if not text:
        return "an empty answer"
    return f"an answer that begins with {text[:_SHOWN]!r}"
