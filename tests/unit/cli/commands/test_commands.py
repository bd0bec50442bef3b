"""What commands print and return, against the hypervisor in memory."""

import json

import pytest

from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Run

CLONE_KEYS = {
    *("name", "id", "uuid", "mode", "linked", "power", "host_name", "addresses", "ssh"),
    *("seconds", "status", "own_bytes", "shared_bytes", "stages", "parent", "snapshot"),
}


def test_clone_prints_a_table_and_a_summary(run: Run) -> None:
    outcome = run("clone", "golden", "desk-{001..003}")
    assert outcome.code == 0
    head, *rows = outcome.out.splitlines()
    assert head.split() == ["NAME", "STATUS", "LINKED", "POWER", "ADDRESS", "OWN", "SHARED", "TIME"]
    assert [row.split()[:4] for row in rows] == [
        [f"desk-00{n}", "created", "yes", "on"] for n in (1, 2, 3)
    ]
    assert "3 created in" in outcome.err
    assert "linked clones of golden at snapshot base, in /vm" in outcome.err
    assert "6.0 GiB saved" in outcome.err


@pytest.mark.parametrize("before", [True, False])
def test_clone_as_json_keeps_its_contract(run: Run, before: bool) -> None:
    options = ["-o", "json", "-e", "memory:"]
    command = ["clone", "golden", "a", "b", "--power", "off"]
    outcome = run(*options, *command) if before else run(*command, *options)
    document = outcome.document
    assert set(document) == {"endpoint", "parent", "snapshot", "clones", "seconds"}
    assert (document["endpoint"], document["parent"], document["snapshot"]) == (
        "memory:",
        "golden",
        "base",
    )
    first = document["clones"][0]
    assert set(first) == CLONE_KEYS
    assert (first["linked"], first["mode"], first["power"]) == (True, "linked", "off")


def test_yaml_says_the_same_as_json(run: Run) -> None:
    from ruamel.yaml import YAML

    as_json = run("list", "-o", "json").document
    assert YAML(typ="safe").load(run("list", "-o", "yaml").out) == as_json


def test_dry_run_prints_the_requests_and_sends_nothing(run: Run) -> None:
    outcome = run("clone", "golden", "a", "--dry-run", "-o", "json", "--memory", "4GiB")
    document = outcome.document
    assert document["clones"][0]["status"] == "planned"
    (request,) = document["requests"]
    assert (request["name"], request["hardware"]["memory_bytes"]) == ("a", 4 << 30)
    assert "nothing was sent. It would make 1 from base" in outcome.err
    assert run("clone", "golden", "a", "--dry-run").out.startswith("endpoint: 'memory:'\n")


def test_list_as_json_keeps_its_contract(run: Run) -> None:
    vms = run("list", "-o", "json").document["vms"]
    assert [vm["name"] for vm in vms] == ["bare", "golden", "twin", "twin"]
    assert set(vms[0]) == {
        *("name", "id", "uuid", "parent", "snapshot", "mode", "linked", "power", "owner"),
        *("own_bytes", "shared_bytes", "trouble", "unreadable", "instant"),
    }


def test_show_adds_snapshots_and_disk_chains(run: Run) -> None:
    document = run("show", "golden", "-o", "json").document
    assert document["snapshots"][0]["name"] == "base"
    assert document["disks"][0]["chain"][0] == "[ssd1] golden/golden.vmdk"
    text = run("show", "golden").out
    assert "snapshots\n  base (current)" in text


def test_tree_is_nested(run: Run) -> None:
    (family,) = run("tree", "-o", "json").document["children"]
    assert family["vm"] == "golden"
    assert family["children"][0]["snapshot"] == "base"


@pytest.mark.parametrize(
    ("locale", "stroke"), [("C", "`-- @base"), ("en_US.ISO-8859-1", "`-- @base")]
)
def test_tree_is_ascii_where_the_locale_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, locale: str, stroke: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert stroke in run("tree").out


def test_tree_draws_lines_where_the_locale_can(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert "└── @base (current)" in run("tree").out


def test_snapshots_are_listed(run: Run) -> None:
    document = run("snapshot", "list", "golden", "-o", "json").document
    assert (document["vm"], document["snapshots"][0]["current"]) == ("golden", True)
    outcome = run("snapshot", "list", "bare")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "bare has no snapshot\n")


def test_actions_report_what_they_did(run: Run) -> None:
    document = run("delete", "bare", "--yes", "--force", "-o", "json").document
    assert set(document) == {"endpoint", "results", "seconds"}
    (result,) = document["results"]
    assert (result["name"], result["action"], result["status"]) == ("bare", "delete", "done")
    assert run("snapshot", "create", "bare", "x").code == 0
    assert run("snapshot", "revert", "golden", "base", "--yes", "--force").code == 0
    assert run("snapshot", "delete", "golden", "base", "--yes", "--force").code == 0


def test_power_commands_skip_vms_already_in_that_state(run: Run) -> None:
    assert run("start", "bare", "--force").code == 0
    assert run("restart", "bare", "--force").code == 0
    outcome = run("stop", "bare", "--force")
    assert (outcome.code, outcome.out) == (0, "")
    assert "nothing to do" in outcome.err


@pytest.mark.parametrize(
    "args",
    [
        ["delete", "golden", "--yes"],
        ["start", "bare"],
        ["stop", "bare"],
        ["restart", "bare"],
        ["snapshot", "revert", "golden", "base", "--yes"],
        ["snapshot", "delete", "golden", "base", "--yes"],
    ],
)
def test_foreign_vms_need_force(run: Run, args: list[str]) -> None:
    outcome = run(*args)
    assert (outcome.code, outcome.out) == (1, "")
    assert "what linkedclone did not make" in outcome.err
    assert "--force" in outcome.err


def test_verbose_tells_each_step_and_the_endpoint(run: Run) -> None:
    outcome = run("-v", "clone", "golden", "a")
    assert "endpoint: memory: (LINKEDCLONE_ENDPOINT)" in outcome.err
    assert "a: clone done" in outcome.err


def test_falling_back_to_local_is_said_where_it_matters_and_with_verbose(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 22: not with every command, but where something is not found, or with -v."""
    monkeypatch.delenv("LINKEDCLONE_ENDPOINT")
    note = "no endpoint is configured, so this uses local:"
    assert note in run("list").err
    assert note in run("show", "golden").err
    assert note in run("-v", "usage").err
    assert note not in run("usage").err


def test_unsearched_places_are_named_before_a_deletion_or_with_verbose(run: Run) -> None:
    """Item 22: to a person not with every command; the JSON document always has it."""
    command = ["-e", "memory:family", "delete", "web", "attic", "--yes", "--force"]
    note = "were not looked for"
    assert note not in run(*command).err
    assert note in run("-v", *command).err
    assert note in " ".join(run("-o", "json", *command).document["notes"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(run: Run, shell: str) -> None:
    outcome = run("completion", shell)
    assert outcome.code == 0
    assert "_LINKEDCLONE_COMPLETE" in outcome.out


def test_commands_and_options_are_completed(
    home: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from linkedclone.cli.main import main

    monkeypatch.setenv("_LINKEDCLONE_COMPLETE", "bash_complete")
    for words, expected in (
        ("linkedclone cl", "clone"),
        ("linkedclone clone --snap", "--snapshot"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            main([])
        assert f"plain,{expected}" in capsys.readouterr().out


def test_every_command_is_in_the_overview_and_says_the_same() -> None:
    import click

    from linkedclone.cli.command_table import COMMANDS
    from linkedclone.cli.running import program

    context = click.Context(program)
    for commands in COMMANDS.values():
        for name, text in commands.items():
            command = program.get_command(context, name)
            assert command is not None
            assert (command.help or "").splitlines()[0].startswith(text.rstrip("."))


def test_every_group_says_the_same_as_its_commands() -> None:
    import click

    from linkedclone.cli.grammar import LazyGroup
    from linkedclone.cli.running import program

    context = click.Context(program)
    for name in ("snapshot", "endpoints"):
        group = program.get_command(context, name)
        assert isinstance(group, LazyGroup)
        for verb in group.list_commands(context):
            command = group.get_command(context, verb)
            assert command is not None
            text = group.sections["Commands"][verb]
            assert (command.help or "").startswith(text.rstrip("."))


def test_global_options_are_those_of_the_overview() -> None:
    import click

    from linkedclone.cli.command_table import OPTIONS
    from linkedclone.cli.running import program

    context = click.Context(program, info_name="linkedclone", **program.context_settings)
    records = {r[0] for p in program.get_params(context) if (r := p.get_help_record(context))}
    assert records == {form for form, _ in OPTIONS.values()}


def test_names_that_steer_a_terminal_are_made_harmless() -> None:
    from linkedclone.cli.terminal import printable

    assert printable("a\x1b[31mb\nc\x07") == "a\ufffd[31mb\ufffdc\ufffd"
    assert printable("Büro-日本") == "Büro-日本"


def test_documents_survive_a_terminal_without_unicode(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkedclone.cli.output import render_document

    monkeypatch.setenv("LC_ALL", "C")
    assert json.loads(render_document({"a": "日本"}, "json")) == {"a": "日本"}
    assert "\\u65e5" in render_document({"a": "日本"}, "json")


def test_a_dry_run_tells_of_the_snapshot_that_it_would_take(run: Run) -> None:
    outcome = run("clone", "bare", "a", "b", "--snapshot", "new:now", "--dry-run")
    assert outcome.code == 0
    assert "It would take snapshot now first, make 2 from now" in outcome.err


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_the_board_stays_within_the_terminal(width: int, height: int) -> None:
    from io import StringIO

    from rich.console import Console

    from linkedclone.cli.views.progress import Board
    from linkedclone.execution.progress import Event
    from linkedclone.model.jobs import JobStatus

    board = Board()
    names = tuple(f"a-rather-long-name-of-a-desktop-{n:03}" for n in range(100))
    statuses = [JobStatus.DONE, JobStatus.FAILED, JobStatus.RUNNING, JobStatus.QUEUED]
    board.begin(names, "clone")
    board.close()
    for number, name in enumerate(names):
        status = statuses[number % 4]
        board.update(Event(name=name, action="clone", status=status, percent=number))
    text = StringIO()
    console = Console(file=text, width=width, height=height)
    console.print(board.draw(width, height))
    lines = text.getvalue().splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert "50 of 100  25 failed" in lines[0]
    assert "more" in lines[-1]


def test_a_delete_of_a_range_with_gaps_deletes_the_rest_and_can_be_repeated(run: Run) -> None:
    """Item 20: what is absent counts as deleted, as long as something that was named is there."""
    family = ["-e", "memory:family", "-o", "json"]
    outcome = run(*family, "delete", "kiosk-{1..4}", "--yes")
    assert outcome.code == 0
    became = {r["name"]: (r["status"], r.get("note")) for r in outcome.document["results"]}
    gone = ("done", "there is no such VM; nothing to do")
    assert became == {
        "kiosk-1": ("done", None),
        "kiosk-2": ("done", None),
        "kiosk-3": gone,
        "kiosk-4": gone,
    }


@pytest.mark.parametrize("names", ["kiosk-{3..5}", "koisk-1", "/vm/kiosk-7"])
def test_a_delete_of_names_that_all_fit_no_vm_is_an_error(run: Run, names: str) -> None:
    outcome = run("-e", "memory:family", "delete", names, "--yes")
    assert outcome.code == 2
    assert "linkedclone list" in outcome.err


@pytest.mark.parametrize("verb", [["start"], ["stop"], ["promote", "--yes"], ["adopt"]])
def test_other_verbs_act_on_existing_vms_and_fail_for_missing_ones(
    run: Run, verb: list[str]
) -> None:
    outcome = run("-e", "memory:family", "-o", "json", *verb, "kiosk-{1..3}")
    failed = [r["name"] for r in outcome.document["results"] if r["status"] == "failed"]
    assert failed == ["kiosk-3"]
    assert outcome.code == 4


@pytest.mark.parametrize(("verb", "there"), [("start", "desk-1"), ("stop", "kiosk-2")])
def test_names_that_are_missing_beside_ones_with_nothing_to_do_are_partly_done(
    run: Run, family: MemoryHypervisor, verb: str, there: str
) -> None:
    """Item 20: a stop or start can be repeated where some have gone meanwhile."""
    run(verb, there)
    outcome = run("-o", "json", verb, there, "gone")
    assert outcome.code == 4
    assert outcome.document["unchanged"] == [there]
    assert [r["name"] for r in outcome.document["results"]] == ["gone"]
    assert f"{there}: already as requested" in outcome.err


def test_a_deletion_that_is_answered_with_no_tells_of_nothing_done(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.cli.confirm.has_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    outcome = run("-e", "memory:family", "delete", "kiosk-{2..3}")
    assert outcome.code == 1
    assert "there is no VM 'kiosk-3'" in outcome.err
    assert "kiosk-3" not in outcome.out


def test_answering_no_to_an_image_removal_is_not_an_interrupt(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.cli.confirm.has_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    outcome = run("-e", "memory:family", "image", "remove", "debian")
    assert (outcome.code, outcome.err) == (1, "nothing was done\n")


def test_an_existing_clone_is_reported_with_its_snapshot_and_differences(run: Run) -> None:
    """Item 13: neither the snapshot that is asked for nor hardware is claimed of it."""
    family = ["-e", "memory:family"]
    asked = ["--cpus", "8", "--snapshot", "new:never"]
    outcome = run(*family, "-o", "json", "clone", "golden", "desk-1", *asked)
    assert outcome.code == 4
    (clone,) = outcome.document["clones"]
    assert (clone["status"], clone["parent"], clone["snapshot"]) == ("differs", "golden", "base")
    assert clone["differences"] == [
        {"field": "snapshot", "wanted": "never", "found": "base"},
        {"field": "cpus", "wanted": 8, "found": 1},
    ]
    assert outcome.document["snapshot"] == "base"
    outcome = run(*family, "clone", "golden", "desk-1", "new-1", *asked)
    assert "desk-1 (existing): snapshot base instead of never; cpus 1 instead of 8" in (outcome.err)
    assert outcome.out.splitlines()[0].split()[-3:] == ["SNAPSHOT", "DIFFERS", "IN"]


def test_a_clone_of_an_older_snapshot_than_the_named_one_differs(
    run: Run, family: MemoryHypervisor
) -> None:
    """Item 13: ``--snapshot OLD`` refuses nothing that is a clone of this parent."""
    assert run("snapshot", "create", "golden", "newer").code == 0
    dry = run("-o", "json", "clone", "golden", "desk-1", "--snapshot", "newer", "--dry-run")
    assert "leave 1 that differs" in dry.err
    assert "desk-1 (existing): snapshot base instead of newer" in dry.err
    real = run("-o", "json", "clone", "golden", "desk-1", "--snapshot", "newer")
    assert real.code == 4
    assert "1 differs in" in real.err
    for outcome in (dry, real):
        (clone,) = outcome.document["clones"]
        assert (clone["status"], clone["snapshot"]) == ("differs", "base")
        assert clone["differences"] == [
            {"field": "snapshot", "wanted": "newer", "found": "base"},
        ]


def test_an_unneeded_snapshot_is_neither_taken_nor_reported(run: Run) -> None:
    asked = ["clone", "golden", "desk-1", "--snapshot", "new:never"]
    outcome = run("-e", "memory:family", *asked)
    assert "at snapshot base" in outcome.err
    assert "at snapshot never" not in outcome.err
