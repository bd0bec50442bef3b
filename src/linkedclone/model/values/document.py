"""The JSON form of data: its fields under their names and in their order, unless they say more."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

Telling = Callable[[str, Any], Mapping[str, object]]
"""What a field is rendered as: any number of members."""


class Document:
    """Data that has a JSON form.

    Enums become their values, moments ISO 8601, ``seconds`` in milliseconds.
    """

    __slots__ = ()

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return _tell_fields(self)


def render(value: object) -> object:
    """Return a value as JSON has it; of data without a form of its own what its ``repr`` shows."""
    match value:
        case Enum():
            return value.value
        case Document():
            return value.document()
        case datetime():
            return value.isoformat()
        case tuple():
            return [render(one) for one in value]
        case Mapping():
            return {str(key): render(held) for key, held in value.items()}
        case _ if is_dataclass(value):
            return _tell_fields(value)
        case _:
            return value


def _tell_fields(data: object) -> dict[str, object]:
    told: dict[str, object] = {}
    for one in fields(data):  # type: ignore[arg-type]  # all that come here are dataclasses
        tell: Telling = one.metadata.get(_TELLING, _tell if one.repr else _tell_nothing)
        told |= tell(one.name, getattr(data, one.name))
    return told


def _tell(name: str, value: object) -> Mapping[str, object]:
    if name == "seconds" and isinstance(value, float):
        value = round(value, 3)
    return {name: render(value)}


_TELLING: Final = "telling"


def told_by(tell: Telling) -> dict[str, Telling]:
    """Return the metadata of a field with its own rendering."""
    return {_TELLING: tell}


def told_as(name: str) -> dict[str, Telling]:
    """Return the metadata of a field with another name in JSON."""
    return told_by(lambda _, value: {name: render(value)})


def _tell_nothing(name: str, value: object) -> Mapping[str, object]:  # noqa: ARG001 - as all others
    return {}


NOT_TOLD: Final = told_by(_tell_nothing)
"""The metadata of a field that the JSON form omits."""

NULL_IF_EMPTY: Final = told_by(lambda name, value: {name: render(value) or None})
LEFT_OUT_IF_EMPTY: Final = told_by(lambda name, value: {name: render(value)} if value else {})


def render_line(told: object) -> str:
    """Write a JSON form as one line: the same for the same data, in ASCII alone."""
    import json  # Making clones needs none of it.

    return json.dumps(told, sort_keys=True, separators=(",", ":"))
