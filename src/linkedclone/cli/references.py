"""How the command line writes the fields and commands that texts from below name.

Errors, findings and notes know nothing of options: they name a field of a
request or an argument of the library as ``placement.host``, and an action as
``snapshot create``, each between double backticks. Here the first becomes
``--host`` and the second ``linkedclone snapshot create``. A command that reads a
file of a pool names its settings instead.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final

import click

_REFERENCE = re.compile(
    r"""(?<!\w)'[^'\n]*'(?!\w)|(?<!\w)"[^"\n]*"(?!\w)|(?<![\w`/\[])``([a-z0-9_. ]+)``(?![\w`/\]])"""
)
"""A reference is a word of its own: within quotes, paths and other words are names of others."""


Words = Callable[[str], str]
"""Returns what a field is called where the command says it; empty if it does not say that there."""

_WORDS: Final[list[Words]] = []
"""Those of the command that runs, if it has any."""


def name_fields(words: Words | None) -> None:
    """Let fields be called otherwise than the options of commands; None ends that."""
    _WORDS[:] = [words] if words else []


def render_references(text: str) -> str:
    """Return a text with the options and commands of the command line in it.

    What names no field or command stays as it is: it may be a name that others gave.
    """
    if "``" not in text:
        return text
    return _REFERENCE.sub(lambda found: _name(found[1] or "") or found[0], text)


def _name(reference: str) -> str | None:
    for words in _WORDS:
        if shown := words(reference):
            return shown
    return list_references().get(reference)


@cache
def list_references() -> Mapping[str, str]:
    """Return what each field and command is called here, as the commands themselves know it."""
    return dict(walk_references())


def walk_references(
    command: click.Command | None = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield each option of a command and of those below it, and the commands themselves."""
    from linkedclone.cli.running import program

    command = command or program
    for option in command.params:
        if isinstance(option, click.Option):
            field, shown = getattr(option, "field", option.name or ""), max(option.opts, key=len)
            yield field, shown
            for choice in getattr(option.type, "choices", ()):
                yield f"{field}.{choice}", f"{shown} {choice}"
    if not isinstance(command, click.Group):
        yield " ".join(path), " ".join(("linkedclone", *path))
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if (inner := command.get_command(context, name)) is not None:
            yield from walk_references(inner, (*path, name))
