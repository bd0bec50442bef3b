"""The JSON Schema of pool files, made of the dataclasses that they are read into."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, Final

from linkedclone.app.pools.pool_file import build_form
from linkedclone.drivers.registry import find_pool_settings
from linkedclone.model import customization, pool

_SIZE: Final = {"type": ["string", "integer"], "examples": ["4GiB", "512MiB"]}
_TIME: Final = {"type": ["string", "number"], "examples": ["90s", "10m", "30d"]}

_WRITTEN: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("PoolSpec", "refresh_above", _SIZE),
    ("PoolSpec", "max_age", _TIME),
    ("PoolHardware", "memory", _SIZE),
    ("PoolHardware", "add_disks", {"type": "array", "items": _SIZE}),
    ("Probe", "within", _TIME),
)
"""What people write otherwise than it is kept: with units."""


def build_schema() -> dict[str, Any]:
    """Return the schema; descriptions are those of the classes' own documentation."""
    from pydantic import TypeAdapter

    schema: dict[str, Any] = TypeAdapter(build_form(installed=True)).json_schema()
    definitions: dict[str, dict[str, Any]] = {**schema.get("$defs", {}), "PoolSpec": schema}
    for name, key, written in _WRITTEN:
        definitions[name]["properties"][key] = dict(written)
    addresses = definitions["Customization"]["properties"]["addresses"]
    one = addresses["items"]
    addresses["anyOf"] = [{"type": "array", "items": one}, one]
    del addresses["items"], addresses["type"]
    sections = find_pool_settings(installed=True)
    for name, kind in (*_classes(), *((one.__name__, one) for one in sections.values())):
        if name in definitions:
            _describe(definitions[name], kind)
    for section, settings in sections.items():
        schema["properties"][section]["description"] = settings.about
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _classes() -> Iterator[tuple[str, type]]:
    for module in (pool, customization):
        yield from (
            (name, kind)
            for name, kind in inspect.getmembers(module, inspect.isclass)
            if is_dataclass(kind)
        )


def _describe(definition: dict[str, Any], kind: type) -> None:
    """Put the first sentence of a class, and what it says of each attribute, into its schema."""
    text = inspect.getdoc(kind) or ""
    definition["description"] = text.partition("\n")[0]
    for key, description in read_attributes(text).items():
        if key in definition.get("properties", {}):
            definition["properties"][key]["description"] = description


def read_attributes(text: str) -> dict[str, str]:
    """Return what a docstring says of each attribute, on one line each."""
    _, _, section = text.partition("Attributes:\n")
    found: dict[str, list[str]] = {}
    name = ""
    for line in section.splitlines():
        match = re.fullmatch(r" {4}(\w+): (.*)", line)
        if match:
            name = match[1]
            found[name] = [match[2]]
        elif name and line.startswith("     "):
            found[name].append(line.strip())
    return {key: " ".join(lines).replace("``", "") for key, lines in found.items()}
