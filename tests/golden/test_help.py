"""The help of every command, as it is printed. ``--regenerate`` writes it anew."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from linkedclone.cli.grammar import LazyGroup
from linkedclone.cli.main import main
from linkedclone.cli.running import program

FOLDER = Path(__file__).parent / "help"


def _commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, LazyGroup):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(_commands(program))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_as_it_was(
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    file = FOLDER / f"{'-'.join(('linkedclone', *command))}.txt"
    if request.config.getoption("--regenerate"):
        file.write_text(text)
    assert text == file.read_text()
    assert max(map(len, text.splitlines())) <= 80


def test_no_command_is_gone_without_its_help() -> None:
    known = {f"{'-'.join(('linkedclone', *command))}.txt" for command in COMMANDS}
    assert {file.name for file in FOLDER.iterdir()} == known
