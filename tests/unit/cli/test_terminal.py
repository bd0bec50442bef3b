"""What a person at a terminal sees and is asked."""

from pathlib import Path

import pytest

from tests.unit.cli.terminal import run_on_terminal


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLUMNS": ""}


def test_a_no_leaves_everything_as_it_is(env: dict[str, str]) -> None:
    screen = run_on_terminal("delete", "bare", "--force", env=env, typed=[("[y/N]", "n\n")])
    assert screen.code == 1
    assert "at memory: this will\n  delete bare\nGo on? [y/N]: n" in screen.text
    assert "nothing was done" in screen.text


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["delete", "bare"], "delete bare"),
        (["snapshot", "delete", "golden", "base"], "delete snapshot base of golden"),
        (["snapshot", "revert", "golden", "base"], "revert golden to base; what it wrote since"),
    ],
)
def test_a_yes_lets_it_go(env: dict[str, str], args: list[str], shown: str) -> None:
    screen = run_on_terminal(*args, "--force", env=env, typed=[("[y/N]", "y\n")])
    assert screen.code == 0
    assert shown in screen.text
    assert "done" in screen.text


@pytest.mark.parametrize("typed", ["\udcff\udcfe", "y\udcff", "\x1b[A", "maybe", "x" * 3000])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_what_is_neither_yes_nor_no_is_asked_again(
    env: dict[str, str], typed: str, locale: str
) -> None:
    screen = run_on_terminal(
        *("delete", "bare", "--force"),
        env={**env, "LC_ALL": locale},
        typed=[("[y/N]", f"{typed}\n"), ("invalid input", "n\n")],
    )
    assert screen.code == 1
    assert "nothing was done" in screen.text


def test_yes_on_the_command_line_asks_nothing(env: dict[str, str]) -> None:
    screen = run_on_terminal("delete", "bare", "--force", "--yes", env=env)
    assert screen.code == 0
    assert "Go on?" not in screen.text


def test_ctrl_c_at_a_question_is_reported(env: dict[str, str]) -> None:
    screen = run_on_terminal("delete", "bare", "--force", env=env, typed=[("[y/N]", "\x03")])
    assert screen.code == 130
    assert "error: interrupted" in screen.text
    assert "Traceback" not in screen.text


def test_a_password_is_asked_for_without_an_echo(env: dict[str, str]) -> None:
    url = "vsphere://me@127.0.0.1:1"
    screen = run_on_terminal(
        "-e", url, "list", env=env, typed=[(f"Password for {url}", "c4nary-pw\n")]
    )
    assert screen.code == 1
    assert "refuses connections" in screen.text
    assert "c4nary" not in screen.text


def test_typed_bytes_that_are_not_text_are_an_error_of_input(env: dict[str, str]) -> None:
    url = "vsphere://me@127.0.0.1:1"
    typed = [(f"Password for {url}", "c4n\udcff\udcfe\n")]
    screen = run_on_terminal("-e", url, "list", "--debug", env=env, typed=typed)
    assert screen.code == 2
    assert "a password is not text in UTF-8" in screen.text
    assert "c4n" not in screen.text


def test_progress_counts_and_leaves_nothing_behind(env: dict[str, str]) -> None:
    screen = run_on_terminal("clone", "golden", "desk-{001..030}", env=env)
    assert screen.code == 0
    assert "30 created in" in screen.text
    assert "clone  " in screen.text


def test_colours_can_be_switched_off(env: dict[str, str]) -> None:
    screen = run_on_terminal("list", env={**env, "NO_COLOR": "1"})
    assert "\x1b[32m" not in screen.raw


def test_a_dumb_terminal_gets_no_live_lines(env: dict[str, str]) -> None:
    screen = run_on_terminal("clone", "golden", "a", env={**env, "TERM": "dumb"})
    assert screen.code == 0
    assert "\x1b" not in screen.raw


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_tables_and_trees_fit_the_terminal(env: dict[str, str], columns: int) -> None:
    env = {**env, "LINKEDCLONE_ENDPOINT": "memory:family"}
    for command in (
        ["list"],
        ["tree", "--scan", "all"],
        ["usage", "--vms", "--scan", "all"],
        ["gc"],
        ["snapshot", "list", "golden"],
    ):
        screen = run_on_terminal(*command, env=env, columns=columns)
        assert screen.code == 0
        # What gc says on standard error is a sentence, which terminals break.
        results = [line for line in screen.text.splitlines() if " found, " not in line]
        assert max(len(line.rstrip()) for line in results) <= columns
        assert any(word in screen.text for word in ("golden", "base", "[ssd1]"))


def test_a_cascade_shows_all_that_goes_before_it_asks(env: dict[str, str]) -> None:
    screen = run_on_terminal(
        *("-e", "memory:family", "delete", "golden", "--cascade", "--force"),
        env=env,
        typed=[("[y/N]", "n\n")],
    )
    assert screen.code == 1
    for name in ("desk-1", "desk-2", "desk-3", "kiosk-1", "kiosk-2", "web", "golden"):
        assert f"\n  delete {name}\n" in screen.text
    assert "note: 6 clones of the VMs that you named" in screen.text
    assert "note: files of unregistered VMs were not looked for" in screen.text
    assert "nothing was done" in screen.text


def test_a_base_that_goes_along_is_named_before_the_question(env: dict[str, str]) -> None:
    args = ("-e", "memory:family", "delete", "attic", "--force")
    screen = run_on_terminal(*args, env=env, typed=[("[y/N]", "y\n")])
    assert screen.code == 0
    shown, _, _ = screen.text.partition("Go on?")
    assert (
        "  delete attic\n"
        "    and with the last of them the base [ssd2] old-golden/old-golden.vmdk\n" in shown
    )


def test_a_promotion_says_what_it_copies(env: dict[str, str]) -> None:
    args = ("-e", "memory:family", "promote", "kiosk-1")
    screen = run_on_terminal(*args, env=env, typed=[("[y/N]", "y\n")])
    assert screen.code == 0
    assert "at memory:family this will\n  promote kiosk-1: copy 2.0 GiB\nGo on?" in screen.text
    assert "promote  done" in screen.text
    screen = run_on_terminal(*args, env=env, typed=[("[y/N]", "\x03")])
    assert screen.code == 130
    assert "error: interrupted" in screen.text
