"""Answers of the server decoded on demand: only what is looked at costs anything.

pyVmomi builds an object for every element of an answer, which takes seven times as
long as parsing the answer with ElementTree [fact: py-costs]. ``test_lazy.py`` holds
the two against each other. Whole inventories are read leaner still, see ``decoder``.
The types still come from pyVmomi: a field is decoded as
its schema says, and ``isinstance`` works.
"""

from __future__ import annotations

from functools import lru_cache
from xml.etree.ElementTree import Element

from pyVmomi import VmomiSupport
from pyVmomi.Iso8601 import ParseISO8601

from linkedclone.drivers.vsphere.native import Native, named_type
from linkedclone.drivers.vsphere.property.response import NS, TYPE


class Lazy:
    """A data object of the API whose fields are decoded when they are asked for.

    It has the attributes of its pyVmomi type, and is an instance of it as far
    as ``isinstance`` can see. It cannot be sent back to the server.
    """

    __slots__ = ("_element", "_stub", "_vim_type")

    def __init__(self, element: Element, vim_type: type, stub: Native) -> None:
        self._element = element
        self._vim_type = vim_type
        self._stub = stub

    @property  # type: ignore[misc]  # so that isinstance sees the API's type
    def __class__(self) -> type:
        return self._vim_type

    def __getattr__(self, name: str) -> Native:
        field = _field_type(self._vim_type, name)
        if issubclass(field, list):
            found = self._element.findall(NS + name)
            return [decode(element, field.Item, self._stub) for element in found]  # type: ignore[attr-defined]  # pyVmomi's lists know what they hold
        element = self._element.find(NS + name)
        return None if element is None else decode(element, field, self._stub)


@lru_cache(maxsize=1024)
def _field_type(vim_type: type, name: str) -> type:
    info = vim_type._GetPropertyInfo(name)  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to the schema
    declared: type = info.type
    return declared


def decode(element: Element, declared: type, stub: Native) -> Native:
    """Return the value of an element as its own ``xsi:type`` says, else as declared."""
    actual = element.get(TYPE)
    vim_type = (actual and named_type(actual)) or declared
    if issubclass(vim_type, list):
        return [decode(item, vim_type.Item, stub) for item in element]  # type: ignore[attr-defined]  # as above
    if issubclass(vim_type, VmomiSupport.ManagedObject):
        kind = named_type(element.get("type", "")) or vim_type
        return kind(element.text, stub)
    if issubclass(vim_type, VmomiSupport.DataObject):
        return Lazy(element, vim_type, stub)
    return _decode_scalar(element.text or "", vim_type)


def _decode_scalar(text: str, vim_type: type) -> Native:
    if vim_type is bool:
        return text in {"true", "1"}
    if issubclass(vim_type, int | float):
        return vim_type(text)
    if issubclass(vim_type, VmomiSupport.datetime):
        return ParseISO8601(text)
    return text
