"""XML of the server as pyVmomi's objects, also where pyVmomi's schema does not know it in full.

A newer vCenter has faults and enum values of its own. pyVmomi's own decoder
stumbles over them, and what the server said would be lost. An enum value that is
not known stays the text that it is; a fault that is not known becomes one of its
name, with all that it holds in words. Other types that are not known are refused:
what is left out of them might matter.
"""

from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from xml.etree.ElementTree import Element

from pyVmomi import VmomiSupport, vmodl

from linkedclone.drivers.vsphere.connection.answers import NS, TYPE, read_date, read_flag
from linkedclone.drivers.vsphere.native import Native, build_data, named_type

_LOCALIZED: Final = "LocalizedMethodFault"
_STRUCTURES: Final = (VmomiSupport.DataObject, VmomiSupport.ManagedObject)
UNDECODABLE: Final = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""How decoding ends where the schema does not know an answer, or it is nested too deeply
[fact: py-unknown-values]."""


def decode(element: Element, declared: type, stub: Native) -> Native:
    """Return what an element says."""
    actual = _bare_type(element)
    if issubclass(declared, Exception) or actual == _LOCALIZED:
        return _decode_localized(element, stub)
    vim_type = _type_of(element, declared) if actual else declared
    if issubclass(vim_type, list):
        return _decode_list(element, declared, vim_type, stub)
    if issubclass(vim_type, VmomiSupport.ManagedObject):
        kind = named_type(element.attrib["type"]) or vim_type
        return kind(element.text or "", stub)
    if issubclass(vim_type, VmomiSupport.DataObject):
        return _fill(build_data(vim_type), element, stub)
    if vim_type is object or len(element):
        msg = f"a value without a type that fits it: {_bare(element.tag)}"
        raise TypeError(msg)
    return _decode_scalar(element.text or "", vim_type)


def _type_of(element: Element, declared: Native) -> Native:
    """Return the type that a value names; the schema's, where that leaves nothing open."""
    several = issubclass(declared, list)
    structured = several or issubclass(declared, _STRUCTURES)
    if declared is not object and not structured:
        return declared
    found: Native = named_type(element.attrib[TYPE])
    if found is None:
        raise KeyError(element.attrib[TYPE])
    wanted = declared.Item if several and not issubclass(found, list) else declared
    if issubclass(wanted, VmomiSupport.DataObject) and not issubclass(found, wanted):
        msg = f"{_bare(element.tag)} is of another type than it can be: {element.attrib[TYPE]}"
        raise TypeError(msg)
    return found


def _decode_list(element: Element, declared: Native, vim_type: Native, stub: Native) -> Native:
    if declared is vim_type and not _bare_type(element):
        # One of the elements of a field that holds several.
        return decode(element, vim_type.Item, stub)
    return vim_type([decode(item, vim_type.Item, stub) for item in element])


def decode_results(results: list[Element], declared: Native, stub: Native) -> Native:
    """Return what the results of a method say, as pyVmomi does."""
    found = [decode(one, declared, stub) for one in results]
    if issubclass(declared, list) and not (len(found) == 1 and isinstance(found[0], list)):
        return declared(found)
    return found[0] if found else None


def _fill(made: Native, element: Element, stub: Native) -> Native:
    lists: dict[str, list[Native]] = {}
    for child in element:
        info = made._GetPropertyInfo(_bare(child.tag))  # noqa: SLF001 - the only way to the schema
        value = decode(child, info.type, stub)
        if issubclass(info.type, list) and not isinstance(value, list):
            if info.name not in lists:
                lists[info.name] = info.type(getattr(made, info.name) or ())
            lists[info.name].append(value)
            value = lists[info.name]
        # Not set by its own way, which takes only enum values that it knows.
        made.__dict__[info.name] = value
    return made


def _decode_scalar(text: str, vim_type: Native) -> Native:
    if vim_type is bool:
        return read_flag(text)
    if issubclass(vim_type, VmomiSupport.datetime):
        return read_date(text)
    if issubclass(vim_type, VmomiSupport.Enum):
        return getattr(vim_type, text) if text in vim_type.values else text
    if issubclass(vim_type, int | float):
        return vim_type(text)
    if issubclass(vim_type, VmomiSupport.binary):
        return vim_type(b64decode(text))
    return text


# -- faults ---------------------------------------------------------------------------


def decode_soap_fault(fault: Element, stub: Native) -> Native:
    """Return the fault of a SOAP answer; without a detail one that has its words alone."""
    words = (fault.findtext("faultstring") or "").strip()
    detail = fault.find("detail")
    if detail is None or not len(detail):
        return _make(vmodl.RuntimeFault, words, ())
    return _decode_fault(detail[0], words, stub)


def _decode_localized(element: Element, stub: Native) -> Native:
    words = (element.findtext(NS + "localizedMessage") or "").strip()
    fault = element.find(NS + "fault")
    return (
        _make(vmodl.MethodFault, words, ()) if fault is None else _decode_fault(fault, words, stub)
    )


def _decode_fault(element: Element, words: str, stub: Native) -> Native:
    name = _bare_type(element) or _bare(element.tag).removesuffix("Fault")
    known = named_type(name)
    if known is None or not issubclass(known, vmodl.MethodFault):
        return _make(_unknown_fault(name), words, [": ".join(one) for one in _leaves(element)])
    made = known()
    lost: list[str] = []
    for child in element:
        only = Element(element.tag)
        only.append(child)
        try:
            _fill(made, only, stub)
        except UNDECODABLE:
            lost += [": ".join(one) for one in _leaves(only)]
    return _say(made, words, lost)


def _make(kind: Native, words: str, more: list[str] | tuple[()]) -> Native:
    return _say(kind(), words, more)


def _say(made: Native, words: str, more: list[str] | tuple[()]) -> Native:
    made.msg = words or None
    said = [vmodl.LocalizableMessage(key="", message=text) for text in more]
    made.faultMessage = [*(made.faultMessage or ()), *said]
    return made


@lru_cache(maxsize=256)
def _unknown_fault(name: str) -> Native:
    """Return a kind of fault that is known by its name alone."""
    return type(name, (vmodl.MethodFault,), {})


def _leaves(element: Element) -> Iterator[tuple[str, str]]:
    for one in element.iter():
        text = (one.text or "").strip()
        if text and not len(one):
            yield _bare(one.tag), text


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]


def _bare_type(element: Element) -> str:
    return element.get(TYPE, "").rpartition(":")[2]
