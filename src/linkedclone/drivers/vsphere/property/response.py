"""One answer of a property read as XML: its objects with their properties, and what leads on."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element
from xml.parsers import expat

from linkedclone.drivers.vsphere.connection.answers import NS, RESULT, read_refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One managed object of an answer."""

    kind: str  # its type's bare name (``VirtualMachine``)
    id: str
    elements: Mapping[str, Element]  # its properties by path; what is unset or refused is missing
    # The properties that the server refused to tell, each with its words.
    refused: Mapping[str, str] = field(default_factory=dict)


def objects_of(answer: Element) -> Iterator[Found]:
    """Yield the objects of an answer."""
    result = next(answer.iter(RESULT), None)
    for content in () if result is None else result.findall(NS + "objects"):
        obj = content.find(NS + "obj")
        if obj is None:
            continue
        elements = {}
        for item in content.findall(NS + "propSet"):
            name, value = item.findtext(NS + "name"), item.find(NS + "val")
            if name and value is not None:
                elements[name] = value
        yield Found(
            kind=obj.get("type", ""),
            id=obj.text or "",
            elements=elements,
            refused=read_refused(content),
        )


def token_of(answer: Element) -> str:
    """Return what asks for the next page; empty on the last."""
    result = next(answer.iter(RESULT), None)
    return "" if result is None else result.findtext(NS + "token") or ""


@contextmanager
def without_collections() -> Iterator[None]:
    """Keep Python's cycle collector from running while many objects are made.

    None of them is part of a cycle, yet it would look through all of them time
    and again: a third of the time that decoding takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Enough(Exception):  # noqa: N818 - not an error, and never leaves this module
    """The head of the answer has been read."""


def foretell_token(body: bytes) -> str:
    """Return what asks for the next page, without parsing more than the head of an answer.

    In a RetrieveResult the token comes before the objects. What is no XML has
    no token: the full parser reports that.
    """
    parser = expat.ParserCreate()
    inside = False
    parts: list[str] = []

    def begin(tag: str, _: object) -> None:
        nonlocal inside
        bare = tag.rpartition(":")[2]
        if bare == "objects":
            raise _Enough
        inside = bare == "token"

    def add(text: str) -> None:
        if inside:
            parts.append(text)

    def end(_: str) -> None:
        nonlocal inside
        if inside:
            raise _Enough

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = add
    with suppress(_Enough, expat.ExpatError):
        parser.Parse(body, True)  # noqa: FBT003 - expat takes it by position only
    return "".join(parts)
