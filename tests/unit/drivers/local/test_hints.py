"""Every error that the driver raises says what to try next."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkedclone import errors
from linkedclone.drivers import local
from linkedclone.errors import LinkedCloneError

SOURCES = sorted(Path(local.__file__).parent.rglob("*.py"))
ERRORS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LinkedCloneError)
}


def find_raised(source: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in ERRORS:
                yield node


def test_there_are_errors_to_look_at() -> None:
    assert sum(1 for source in SOURCES for _ in find_raised(source)) > 50


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_error_has_a_hint(source: Path) -> None:
    bare = [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in find_raised(source)
        if not any(keyword.arg == "hint" for keyword in call.keywords)
    ]
    assert bare == []
