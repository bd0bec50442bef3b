"""Who a forked guest is to be: the script, what is believed of its answer, keys, the program."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.errors import InputError
from linkedclone.guest.fork_identity import (
    MOST_TOLD_BYTES,
    ForkCard,
    ForkIdentity,
    build_clock_script,
    find_faults,
    is_clock_right,
)
from linkedclone.guest.fork_program import SEED_BYTES, build_program
from linkedclone.guest.fork_script import build_script
from linkedclone.guest.host_key import HostKey, read_host_key
from linkedclone.model.guest import GuestCard

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGjmDmcGmoaSbFgI7w5zri30zig18LQsleKOET7BJPJr"
SENT, RECEIVED = 1795892301.5, 1795892303.0
CARD = ForkCard(
    old_mac="52:54:00:00:00:01", mac="02:00:00:00:00:0A", wanted=GuestCard(), renew=False
)
IDENTITY = ForkIdentity(
    name="web-3",
    host_name="web-3",
    machine_id="0" * 31 + "1",
    instance_id="i-3",
    host_key=HostKey(private="", public=PUBLIC),
    cards=(CARD,),
    seed=bytes(SEED_BYTES),
)
LINES = (
    "linkedclone identity 1",
    "clock 1795892302",
    "host-name web-3",
    f"machine-id {IDENTITY.machine_id}",
    "instance-id i-3",
    "mac 02:00:00:00:00:0a",
    f"host-key {PUBLIC}",
    "done",
    "",
)


def told(*, replaced: str = "", by: str = "") -> bytes:
    lines = [by if line.partition(" ")[0] == replaced else line for line in LINES]
    return "\n".join(lines).encode()


def faults(answer: bytes) -> tuple[str, ...]:
    return find_faults(IDENTITY, answer)


def make_key(folder: Path) -> HostKey:
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return read_host_key(path.read_text(), path.with_suffix(".pub").read_text())


def test_a_guest_that_reads_back_what_was_wanted_has_its_identity() -> None:
    assert faults(told()) == ()


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("host-name", "host-name web-2", "its host-name is web-2, and not web-3"),
        ("instance-id", "instance-id i-2", "its instance-id is i-2, and not i-3"),
        ("mac", "mac none", "its mac is none, and not 02:00:00:00:00:0a"),
        ("machine-id", "failed the clock cannot be set", "the clock cannot be set"),
    ],
)
def test_what_is_still_the_parents_is_named(name: str, line: str, fault: str) -> None:
    assert faults(told(replaced=name, by=line)) == (fault,)


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("clock 1795892302", True),
        ("clock 1795892300", True),
        ("clock 1795892305", True),
        ("clock 1795892299", False),
        ("clock 1795892306", False),
        ("clock -1795892302", False),
        ("clock 1795892302 and more", False),
        ("clock", False),
    ],
)
def test_a_clock_is_right_within_two_seconds_of_when_it_was_asked(
    line: str, *, right: bool
) -> None:
    answer = told(replaced="clock", by=line)
    assert is_clock_right(answer, sent=SENT, received=RECEIVED) is right


def test_a_clock_is_set_by_programs_that_know_fractions_and_by_others() -> None:
    first, second = build_clock_script(SENT).decode().splitlines()
    assert first == "date -s @1795892301.500 || date -s @1795892302"
    assert second == "echo clock $(date +%s)"


def test_a_guest_without_cloud_init_keeps_no_instance_id() -> None:
    assert faults(told(replaced="instance-id", by="instance-id -")) == ()
    assert faults(told(replaced="host-name", by="host-name -")) != ()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\xfe",
        told()[:-1],
        told()[:-6],
        told().removeprefix(b"linkedclone"),
        told(replaced="mac", by="mac 02:00:00:00:00:0a\nmac 02:00:00:00:00:0b"),
        told(replaced="mac", by="host-name web-3"),
        told(replaced="clock", by=""),
        told(replaced="host-name", by="host-name \x1b[31mweb-3"),
        told(replaced="host-name", by="host-name " + "w" * 300),
        told() + told(),
        b"x" * (MOST_TOLD_BYTES + 1),
    ],
)
def test_a_strange_answer_confirms_nothing(answer: bytes) -> None:
    assert faults(answer) == ("the guest's answer cannot be understood",)


def test_what_a_guest_says_of_a_failure_is_shown_without_control_characters() -> None:
    assert faults(b"failed \x1b[31mno\n") == ("the guest's answer cannot be understood",)


def test_a_host_key_is_kept_as_dropbear_wants_it(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    seed_and_public = key.dropbear[-64:]
    assert key.dropbear.startswith(b"\0\0\0\x0bssh-ed25519\0\0\0\x40")
    assert len(key.dropbear) == 83
    assert seed_and_public != bytes(64)
    assert key.public.startswith("ssh-ed25519 ")
    assert "PRIVATE" not in repr(key)


def test_halves_of_two_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = make_key(tmp_path / "a"), make_key(tmp_path / "b")
    with pytest.raises(InputError, match="do not belong together"):
        read_host_key(first.private, second.public)
    with pytest.raises(InputError, match="cannot be understood"):
        read_host_key(first.private[:120] + "\n", first.public)


def test_the_program_says_what_it_could_not_do(tmp_path: Path) -> None:
    """Run by a user who may not reseed, it gets as far as that, and removes its own file."""
    program = tmp_path / "program"
    program.write_bytes(build_program(os.urandom(SEED_BYTES), time.time_ns()))
    program.chmod(0o755)
    tmp_path.chmod(0o777)
    done = subprocess.run(["setpriv", *DROPPED, program], check=False)
    assert done.returncode == 3
    assert not program.exists()


DROPPED = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
"""What takes its capabilities from a program that root starts, and changes nothing for others."""


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_script_is_valid_for_any_shell(shell: str, tmp_path: Path) -> None:
    card = replace(CARD, wanted=GuestCard(addresses=("10.0.0.3/24",), dns=("10.0.0.1",)))
    identity = replace(
        IDENTITY, name="it's $(here)", host_key=make_key(tmp_path), cards=(CARD, card)
    )
    script = build_script(identity, 1_795_892_301_500_000_000)
    subprocess.run([shell, "-n"], input=script, check=True)
    assert len(script) < 1 << 14


def test_the_script_hands_the_program_and_the_keys_over_unchanged(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    identity = replace(IDENTITY, host_key=key, seed=os.urandom(SEED_BYTES))
    given = build_script(identity, 7).decode().partition("umask 022")[0]
    for call, expected in (
        ("program", build_program(identity.seed, 7)),
        ("dropbear_key", key.dropbear),
        ('printf "%s\\n" "$private_key"', key.private.encode()),
    ):
        shell = ["sh", "-c", given + "\n" + call]
        assert subprocess.run(shell, capture_output=True, check=True).stdout == expected


def test_a_fork_that_is_cut_off_keeps_its_parents_instance_id_until_its_cards_are_its_own(
    tmp_path: Path,
) -> None:
    """Its next boot sets its addresses then, which are its parent's until now."""
    identity = replace(IDENTITY, host_key=make_key(tmp_path))
    script = build_script(identity, 7).decode()
    assert script.index("\ncards\n#") < script.index('echo "$instance_id" >$kept')
