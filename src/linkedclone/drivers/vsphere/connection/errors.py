"""vSphere faults as our errors: told apart by type, never by text [fact: vs-fault-kinds].

A fault is looked up by its own type name, then by those of its base types, the
nearest first: so NotAuthenticated is a lost session although it is a kind of
NoPermission, and a fault that came with a newer vCenter falls to its family.
The rows are in ``faultrules``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from linkedclone.config.redaction import scrub
from linkedclone.drivers.vsphere.connection.fault_table import ARGUMENTS, RULES, UNKNOWN, Rule
from linkedclone.drivers.vsphere.native import (
    Native,
    fields_of,
    is_data,
    is_managed,
    kind_of,
    moid_of,
)
from linkedclone.errors import HypervisorError, LinkedCloneError

NameOf = Callable[[Native], str]
"""Returns the name of a managed object; empty where it has none."""

_MOST_NAMES: Final = 4
"""So many objects are asked for their names, at a read each."""


def no_name(managed: Native) -> str:  # noqa: ARG001 - what a NameOf takes
    """Name nothing, where no server can be asked."""
    return ""


def translate(fault: BaseException, about: str, *, name_of: NameOf = no_name) -> LinkedCloneError:
    """Return our error for a fault of what was being done (``clone desk-001``).

    ``name_of`` is asked for the names of objects that the fault names by id.
    """
    kinds = [native_name(cls) for cls in type(fault).__mro__]
    rule = next((RULES[kind] for kind in kinds if kind in RULES), UNKNOWN)
    words = _Words(name_of)
    facts = {name: scrub(value) for name, value in words.facts(fault).items()}
    rule = _of_argument(rule, facts)
    brief = f"could not {about}: {fill(rule.reason, facts)}"
    details = scrub("\n".join(dict.fromkeys(words.say(fault))))
    hint = fill(rule.hint, facts)
    if issubclass(rule.error, HypervisorError):
        kind, transience = kinds[0], rule.transience
        return rule.error(brief, details=details, hint=hint, kind=kind, transience=transience)
    return rule.error(brief, details=details, hint=hint)


def tell(fault: Native) -> str:
    """Return a fault in one line: its type, and what it says."""
    kind = native_name(type(fault))
    said = ", ".join(part for part in dict.fromkeys(_Words(no_name).say(fault)) if part != kind)
    return f"{kind}: {scrub(said)}" if said else kind


def native_name(cls: type) -> str:
    """Return a native type's bare name, as ``DuplicateName`` for ``vim.fault.DuplicateName``."""
    return cls.__name__.rpartition(".")[2]


def fill(template: str, facts: Mapping[str, str]) -> str:
    """Put facts into a template; parts in brackets that lack one are left out."""

    def part(match: re.Match[str]) -> str:
        text = match[1]
        if not all(facts.get(name) for name in _FIELD.findall(text)):
            return ""
        return _FIELD.sub(lambda field: facts[field[1]], text)

    return _PART.sub(part, template)


_FIELD: Final = re.compile(r"\{(\w+)\}")
_PART: Final = re.compile(r"\[([^\]]*)\]")


def _of_argument(rule: Rule, facts: Mapping[str, str]) -> Rule:
    words = re.findall(r"[a-z]+", facts.get("invalidProperty", "").lower())
    for word in reversed(words):
        for argument, reason, hint in ARGUMENTS:
            if word == argument:
                return replace(rule, reason=f"{reason}[ ({{invalidProperty}})]", hint=hint)
    return rule


_GENERAL: Final = frozenset({"dynamicType", "dynamicProperty", "msg", "faultCause", "faultMessage"})


class _Words:
    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of
        self._names: dict[str, str] = {}

    def facts(self, fault: Native) -> dict[str, str]:
        """Return the fields of a fault as a sentence names them."""
        fields = fields_of(fault) if is_data(fault) else ()
        facts = {
            name: self._call(value)
            for name, _, value in fields
            if name not in _GENERAL and value is not None
        }
        facts["privileges"] = ", ".join(_privileges(fault)) or facts.get("privilegeId", "")
        if not facts.get("object") and getattr(fault, "missingPrivileges", None):
            facts["object"] = self._call(fault.missingPrivileges[0].entity)
        return facts

    def say(self, fault: Native) -> Iterator[str]:
        """Yield what the server says: its sentences, then the fault's own fields."""
        yield getattr(fault, "msg", None) or native_name(type(fault))
        for message in getattr(fault, "faultMessage", None) or ():
            if message.message:
                yield message.message
        yield from self._show_fields(fault, ": ")
        cause = getattr(fault, "faultCause", None)
        if cause is not None:
            yield f"caused by: {self._show(cause)}"

    def _call(self, value: Native) -> str:
        if is_managed(value):
            return self._named(value) or f"{kind_of(value)}:{moid_of(value)}"
        if isinstance(value, list):
            return ", ".join(filter(None, map(self._call, value)))
        return self._show(value)

    def _named(self, managed: Native) -> str:
        moid = moid_of(managed)
        if moid not in self._names and len(self._names) < _MOST_NAMES:
            self._names[moid] = self._name_of(managed)
        return self._names.get(moid, "")

    def _show_fields(self, thing: Native, equals: str) -> Iterator[str]:
        for name, _, value in fields_of(thing) if is_data(thing) else ():
            shown = "" if name in _GENERAL or value is None else self._show(value)
            if shown:
                yield f"{name}{equals}{shown}"

    def _show(self, value: Native) -> str:
        if isinstance(value, BaseException):
            return ", ".join(self.say(value))
        if is_managed(value):
            name = self._named(value)
            return f"{kind_of(value)}:{moid_of(value)}" + (f" ({name})" if name else "")
        if is_data(value):
            return " ".join(self._show_fields(value, "="))
        if isinstance(value, list):
            return ", ".join(filter(None, map(self._show, value)))
        return str(value)


def _privileges(fault: Native) -> Iterator[str]:
    """Yield the privileges that are missing: 8.0 lists all, older ones name the first."""
    named = dict.fromkeys(
        privilege
        for entity in getattr(fault, "missingPrivileges", None) or ()
        for privilege in entity.privilegeIds or ()
    )
    yield from named
