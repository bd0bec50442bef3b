"""What servers, guests and files say is shown safely, whichever command shows it."""

import json
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from linkedclone.cli.output import render_document
from linkedclone.cli.terminal import MOST_OF_A_TEXT, printable, say, write_shown
from linkedclone.cli.views.progress import Board, Lines
from linkedclone.drivers.memory import vm as machine
from linkedclone.execution.progress import Event
from linkedclone.model.jobs import JobStatus
from linkedclone.model.values.vm_names import encodable
from linkedclone.model.vm import Vm
from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Run

ATTACKS = (
    "\x1b[2J\x1b[H",
    "\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b2J",
    "a\nerror: all VMs were deleted",
    "a\r",
    "\x7f\x08\x00",
    "\u202egnp.exe",
    "\u2066\u2069\u200b\u200d\ufeff",
    "\udcff\udc80",
    "\ud800",
    "[red]golden[/red] [link=http://evil]",
    "\u2028\u2029\x85",
    "a" + "\u0301" * 500,
    "\u3164\u115f\u2800",
    "\U000e0041\U000e0042",
    "x" * 100_000,
)
HOSTILE = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.characters(codec=None), min_size=1, max_size=20),
    st.lists(st.sampled_from(ATTACKS), min_size=2, max_size=3).map("".join),
)
COMMANDS = (
    ("list",),
    ("tree",),
    ("usage",),
    ("show", "UUID"),
    ("snapshot", "list", "UUID"),
    ("inventory", "--list"),
    ("doctor",),
    ("gc",),
    ("delete", "UUID"),
    ("clone", "UUID", "new", "--dry-run"),
)


def assert_safe(text: str) -> None:
    """Nothing but characters that stay where they are put, and ends of lines."""
    text.encode("utf-8")
    steering = {c for c in text if c != "\n" and not c.isprintable()}
    assert not steering, steering


def plant(hypervisor: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let every VM say this wherever somebody else has the word."""
    seen = machine.view

    def view(*given: object, **named: object) -> Vm:
        vm = seen(*given, **named)  # type: ignore[arg-type]
        disks = tuple(replace(disk, label=text) for disk in vm.disks)
        points = tuple(
            replace(one, name=f"{one.name}{text}", path=text, description=text)
            for one in vm.snapshots
        )
        mark = vm.mark and replace(vm.mark, owner=text, parent_name=text, snapshot_name=text)
        return replace(
            vm,
            name=f"{vm.name}{text}",
            path=f"{vm.path}{text}",
            host_name=text,
            addresses=(text,),
            trouble=text,
            customization_error=text,
            disks=disks,
            snapshots=points,
            mark=mark,
        )

    monkeypatch.setattr("linkedclone.drivers.memory.inventory.view", view)
    assert hypervisor.vms


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=HOSTILE)
def test_no_command_passes_on_what_steers_a_terminal(
    words: tuple[str, ...], run: Run, family: MemoryHypervisor, text: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C.UTF-8")
        uuid = next(vm.uuid for vm in family.vms if vm.name == "golden")
        plant(family, patch, text)
        given = tuple(uuid if word == "UUID" else word for word in words)
        for output in ("table", "json", "yaml"):
            if output == "table" and words[0] == "inventory":
                continue
            outcome = run("-o", output, *given)
            assert "bug in linkedclone" not in outcome.err
            assert_safe(outcome.out)
            assert_safe(outcome.err)
            lines = (outcome.out + outcome.err).split("\n")
            assert not any(line.startswith("error: all VMs") for line in lines)
            if output == "json" and words[0] == "list":
                names = {vm["name"] for vm in outcome.document["vms"]}
                assert f"golden{encodable(text)}" in names  # exact, but for what is no UTF-8


@given(text=HOSTILE)
@settings(deadline=None)
def test_documents_stay_exact_and_valid(text: str) -> None:
    document = {"name": text, text: [text]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C.UTF-8")
        for output, read in (("json", json.loads), ("yaml", YAML(typ="safe", pure=True).load)):
            shown = render_document(document, output)
            assert_safe(shown)
            held = encodable(text)
            assert read(shown) == {"name": held, held: [held]}


@given(text=st.text(st.characters(codec=None), max_size=50) | HOSTILE)
@settings(deadline=None)
def test_a_text_is_one_line_of_bounded_length_that_shows_something(text: str) -> None:
    shown = printable(text)
    assert_safe(shown)
    assert "\n" not in shown
    assert len(shown) <= MOST_OF_A_TEXT + 1
    marks = "".join("m" if unicodedata.category(c) in {"Mn", "Me"} else "." for c in shown)
    assert "mmmmm" not in marks


@given(text=HOSTILE)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_output_is_sanitized_even_where_a_caller_forgot(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    capsys.readouterr()
    say(text)
    write_shown(text)
    Lines().update(Event(name=text, action=text, status=JobStatus.FAILED, text=text))
    out, err = capsys.readouterr()
    assert_safe(out.replace("\x1b[0m", ""))
    assert_safe(err)


def test_names_are_not_markup_on_the_board() -> None:
    from rich.console import Console

    board = Board()
    for number, text in enumerate(ATTACKS[:-1]):
        event = Event(name=f"{number}{text}", action=text, status=JobStatus.RUNNING, text=text)
        board.update(event)
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(board.draw(200, 100))
    shown = console.export_text(styles=False)
    assert "[red]golden[/red]" in shown
    assert_safe(shown)
