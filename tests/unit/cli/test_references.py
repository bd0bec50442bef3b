"""Texts below the command line name fields and commands; here they become options."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime
from enum import EnumType
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from rich.console import Console

import linkedclone
from linkedclone.cli.commands.clone import command as clone
from linkedclone.cli.grammar import HeadedOption
from linkedclone.cli.output import render_document
from linkedclone.cli.references import list_references, render_references, walk_references
from linkedclone.cli.running import run
from linkedclone.cli.terminal import say
from linkedclone.cli.views.progress import Board
from linkedclone.cli.views.reports import render_actions
from linkedclone.cli.views.tree import render_tree
from linkedclone.cli.views.vms import render_vm
from linkedclone.drivers.memory.driver import FEATURES
from linkedclone.errors import InputError
from linkedclone.execution.progress import Event
from linkedclone.lineage.tree import TreeNode
from linkedclone.lineage.vm_rows import VmRow
from linkedclone.model.inventory import Stray
from linkedclone.model.jobs import JobStatus
from linkedclone.model.report import ActionReport, ActionResult, Mode, Status
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.vm import Layer, Vm

SOURCE = Path(linkedclone.__file__).parent
REFERENCE = re.compile(r"``(\w.*?)``", re.DOTALL)
FIELD = re.compile(r"(placement|hardware|disk_move)(\.[a-z_]+)+")
"""What tables are keyed by: a field, or something that is said of one."""

OWN_COMMANDS = {
    "drivers/local/guest/systemd_unit.py": "systemd runs linkedclone",
    "drivers/local/state/ssh.py": "ssh runs linkedclone to reach a clone",
}
"""Files that build the command lines that other programs run, and who does."""

FOREIGN = {
    "--append --groups": "usermod",
    "--format=directory": "mmdebstrap",
    "--output=json": "qemu-img",
    "truncate --size": "truncate",
    "--version": "QEMU and qemu-img",
}
"""Options of other programs that have the name of one of ours, and whose they are."""

one_reader = pytest.mark.together("texts of the sources")


@cache
def read_texts() -> tuple[tuple[str, str], ...]:
    """Every string below the command line that is not documentation, with its file."""
    return tuple(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE).as_posix()
        if file.startswith("cli/"):
            continue
        tree = ast.parse(path.read_text())
        documentation = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in documentation
            ):
                yield file, node.value


@one_reader
def test_every_field_and_command_that_a_text_names_is_known() -> None:
    named = {(name, file) for file, text in read_texts() for name in REFERENCE.findall(text)}
    assert len(named) > 150
    known = list_references()
    assert sorted(one for one in named if one[0] not in known) == []
    fields = {text for _, text in read_texts() if FIELD.fullmatch(text)}
    assert {text for text in fields if not {text, text.rpartition(".")[0]} & known.keys()} == set()


@one_reader
def test_no_text_below_the_command_line_names_an_option() -> None:
    options = {name for name in list_references().values() if name.startswith("--")}
    assert len(options) > 80
    for file, text in read_texts():
        ours = text
        for words in FOREIGN:
            ours = ours.replace(words, "")
        if file not in OWN_COMMANDS:
            assert not options & set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", ours)), (file, text)


@one_reader
def test_no_text_below_the_command_line_names_a_command_as_it_is_typed() -> None:
    shown = list_references().values()
    verbs = {name.split()[1] for name in shown if name.startswith("linkedclone ")}
    assert {"clone", "pool", "snapshot", "doctor"} <= verbs
    for file, text in read_texts():
        if file not in OWN_COMMANDS:
            assert not verbs & set(re.findall(r"\blinkedclone ([a-z]+)", text)), (file, text)


def test_a_name_means_one_thing() -> None:
    meanings: dict[str, set[str]] = defaultdict(set)
    for name, shown in walk_references():
        meanings[name].add(shown)
    assert {name: shown for name, shown in meanings.items() if len(shown) > 1} == {}


@pytest.mark.parametrize(
    "field", [option.field for option in clone.params if isinstance(option, HeadedOption)]
)
def test_options_of_clone_are_fields_of_a_request(field: str) -> None:
    kind: object = CloneRequest
    for part in field.split("."):
        kind = _below(kind, part)


def _below(kind: object, part: str) -> object:
    """What a part of a field's name stands for: a field, or one of the values of one."""
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    if isinstance(kind, EnumType):
        return kind[part.upper()]
    assert is_dataclass(kind)
    fields = get_type_hints(kind)
    if part in fields:
        return fields[part]
    values = [get_args(one) for one in fields.values() if get_origin(one) is Literal]
    assert any(part in some for some in values), part
    return part


def test_an_error_uses_the_option_names_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = InputError("``placement.host`` is not given", hint="see ``snapshot list`` golden")
    assert str(error) == "``placement.host`` is not given"
    say(f"{error}; {error.hint}")
    assert capsys.readouterr().err == "--host is not given; see linkedclone snapshot list golden\n"


def test_names_chosen_by_users_are_not_mistaken_for_fields() -> None:
    document = render_document({"name": "``force``", "hint": "repeat with ``force``"}, "json")
    assert '"name": "``force``"' in document
    assert '"hint": "repeat with --force"' in document
    assert render_references("``no such field``, ``") == "``no such field``, ``"
    for name in ("``delete``", "a ``list`` b", "it's ``list`` b", "a``list``", "/srv/``force``/x"):
        assert render_references(f"there is no VM {name!r}") == f"there is no VM {name!r}"


def test_a_note_in_a_table_names_options_and_a_vm_keeps_its_name() -> None:
    note = "look at it with ``show``"
    done = ActionResult(name="``force``", action="stop", status=Status.DONE, note=note)
    shown = render_actions(ActionReport(endpoint="memory:", results=(done,), seconds=0.1))
    assert "linkedclone show" in shown
    assert "``force``" in shown


def test_the_reason_for_an_unreadable_vm_uses_option_names() -> None:
    vm = Vm(id=VmId("vm-1"), name="a", path="/a", uuid="u", unreadable="see ``doctor``")
    row = VmRow(vm=vm, parent="", snapshot="", mode=Mode.UNKNOWN)
    assert "unreadable see linkedclone doctor" in render_vm(row)
    assert '"unreadable": "see linkedclone doctor"' in render_document(row.document(), "json")


def test_the_note_on_a_stray_file_uses_option_names() -> None:
    layer = Layer(store=StoreId("s"), path="a/``force``/a.vmdk")
    stray = Stray(chain=(layer,), about="of a VM folder without a link, see ``doctor``")
    shown = render_tree([TreeNode(stray=stray)], now=datetime.now(UTC))
    assert (
        "? [s] a/``force``/a.vmdk (of a VM folder without a link, see linkedclone doctor)" in shown
    )


def test_a_retry_on_the_board_uses_option_names() -> None:
    board = Board()
    text = "choose another ``placement.host``"
    board.update(Event(name="a", action="retry", status=JobStatus.QUEUED, text=text))
    told = Console(width=100, file=StringIO())
    with told.capture() as shown:
        told.print(board.draw(100, 20))
    assert "choose another --host" in shown.get()


def test_a_refusal_names_no_option_of_another_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    less = replace(FEATURES, request_fields=FEATURES.request_fields - {"snapshot.memory"})
    monkeypatch.setattr("linkedclone.drivers.memory.driver.FEATURES", less)
    assert run(["snapshot", "create", "golden", "s", "--memory", "-e", "memory:family"]) == 1
    told = capsys.readouterr().err
    assert "a snapshot with memory means nothing to memory:" in told
    assert "--snapshot-memory" not in told
