"""The untyped edge: pyVmomi has no types, so everything of its own is a ``Native``."""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from pyVmomi import VmomiSupport

_VIM: Final = "urn:vim25"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"

Native: TypeAlias = Any
"""A managed object, data object, fault or value of pyVmomi."""

NativeCall: TypeAlias = Callable[..., Any]
"""A method of a managed object."""


def moid_of(managed: Native) -> str:
    """Return a managed object's id, as ``vm-42``."""
    return str(managed._GetMoId())  # noqa: SLF001 - the only way to the id


def kind_of(thing: Native) -> str:
    """Return the API's name of an object's type, as ``VirtualMachine``."""
    return str(type(thing)._wsdlName)  # noqa: SLF001 - the only way to the name


def is_managed(thing: Native) -> bool:
    """Say whether something is a reference to a managed object."""
    return hasattr(thing, "_GetMoId")


def is_data(thing: Native) -> bool:
    """Say whether something is a data object or a fault, with fields of its own."""
    return hasattr(thing, "_GetPropertyList")


def fields_of(thing: Native) -> tuple[tuple[str, type, Native], ...]:
    """Return the fields of a data object: name, declared type and value.

    Values are never compared with ``==`` here or elsewhere: pyVmomi's objects
    fail on a comparison with anything else.
    """
    infos = thing._GetPropertyList()  # noqa: SLF001 - the only way to the fields
    return tuple((info.name, info.type, getattr(thing, info.name)) for info in infos)


def build_data(kind: Native, **given: object) -> Native:
    """Return a data object with these fields, as ``kind(**given)`` does, five times as fast.

    pyVmomi sets and checks every field of a new object, also those that are left out; here
    only what is given is checked [fact: py-costs]. Lists that are left out are one empty
    list for all objects of a kind: so callers must not append to one.
    """
    made = kind.__new__(kind)
    made.__dict__.update(_blank(kind).__dict__)
    for name, value in given.items():
        setattr(made, name, value)
    return made


@cache
def _blank(kind: Native) -> Native:
    return kind()


@lru_cache(maxsize=1024)
def named_type(name: str) -> type | None:
    """Return pyVmomi's type of an ``xsi:type``; None for one that it does not know."""
    if name == "ManagedObjectReference":
        return VmomiSupport.ManagedObject  # type: ignore[no-any-return]  # pyVmomi has no types
    if name == "ArrayOfManagedObjectReference":
        return VmomiSupport.ManagedObject.Array  # type: ignore[no-any-return]  # as above
    prefix, _, bare = name.rpartition(":")
    space = _XSD if prefix in {"xsd", "xs"} else _VIM
    try:
        found: type = VmomiSupport.GetWsdlType(space, bare)
    except KeyError:
        return None
    return found
