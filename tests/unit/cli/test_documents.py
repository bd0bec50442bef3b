"""The JSON of the commands has the fields that docs/json.md shows, and no others."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Run

TEXT = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
BLOCK = re.compile(r"^```json\n(.*?)^```", re.DOTALL | re.MULTILINE)
RECURSIVE = {"children"}

Shape = dict[str, set[str]]


def _documented(heading: str) -> list[object]:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [json.loads(block) for block in BLOCK.findall(section)]


def _fields(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Name every field with the path to it; trees are taken for one level."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield path, key
            again = key in RECURSIVE and path.endswith(f"/{key}")
            yield from _fields(below, path if again else f"{path}/{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one, path)


def _shape(*documents: object) -> Shape:
    found: Shape = defaultdict(set)
    for document in documents:
        for path, key in _fields(document):
            found[path].add(key)
    return dict(found)


@pytest.mark.parametrize(
    ("heading", "block", "command"),
    [
        ("clone", 0, ["clone", "golden", "a"]),
        ("list, show", 0, ["list"]),
        ("list, show", 1, ["show", "desk-1"]),
        ("tree", 0, ["tree", "--scan", "all"]),
        ("usage", 0, ["usage", "--scan", "all"]),
        ("gc", 0, ["gc"]),
        ("Actions", 0, ["delete", "golden", "--cascade", "--yes", "--force"]),
        ("snapshot list", 0, ["snapshot", "list", "golden"]),
        ("inventory", 0, ["inventory", "--host", "desk-1"]),
        ("doctor", 0, ["doctor"]),
        ("Errors", 0, ["show", "absent"]),
    ],
)
def test_documents_are_as_documented(
    run: Run, family: MemoryHypervisor, heading: str, block: int, command: list[str]
) -> None:
    outcome = run(*command, "-o", "json")
    assert _shape(outcome.document) == _shape(_documented(heading)[block])
