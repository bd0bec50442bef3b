"""What a person is shown of a plan before it is carried out, and how the answer is read."""

import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from linkedclone.cli.confirm import describe_plan
from linkedclone.cli.signals import interruptible, read_hidden_line, read_line
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    Plan,
    PromoteVm,
    SetPower,
    Step,
    UnregisterVm,
)
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Power
from tests.unit.building import layer


def _delete(name: str, *bases: str) -> DeleteVm:
    takes = tuple(map(layer, bases))
    return DeleteVm(vm=VmId(f"vm-{name}"), vm_name=name, takes_base=takes)


def _promote(name: str, size: int | None) -> PromoteVm:
    return PromoteVm(vm=VmId(f"vm-{name}"), vm_name=name, copy_bytes=size)


def _plan(*steps: Step) -> Plan:
    return Plan(stages=(steps,))


def test_many_deletions_are_shown_as_complete_ranges() -> None:
    plan = _plan(*(_delete(f"desk-{number:03}") for number in range(1, 101)), _delete("web"))
    assert describe_plan(plan) == ["delete desk-{001..100}", "delete web"]


def test_a_base_is_named_once_however_many_take_it_along() -> None:
    lines = describe_plan(_plan(_delete("a", "x/x.vmdk"), _delete("b", "x/x.vmdk")))
    assert lines == [
        "delete a",
        "delete b",
        "  and with the last of them the base [datastore-1] x/x.vmdk",
    ]


def test_promotions_say_what_they_copy() -> None:
    assert describe_plan(_plan(_promote("a", 1 << 30), _promote("b", None))) == [
        "promote a: copy 1.0 GiB",
        "promote b: copy what it shares",
    ]
    many = _plan(*(_promote(f"desk-{number}", 1 << 30) for number in range(1, 31)))
    assert describe_plan(many) == ["promote desk-{1..30}", "  and copy 30.0 GiB in all"]


def test_the_question_names_what_is_kept_and_lost() -> None:
    vm = VmId("vm-1")
    keep = UnregisterVm(vm=vm, vm_name="last", keeps=(layer("x/x.vmdk"),))
    snapshot = DeleteSnapshot(vm=vm, vm_name="a", snapshot=SnapshotId("s"), name="base")
    stop = SetPower(vm=vm, vm_name="a", power=Power.OFF)
    assert describe_plan(_plan(stop, keep, snapshot)) == [
        "unregister last; its files stay",
        "  and keep the base [datastore-1] x/x.vmdk",
        "delete snapshot base of a",
    ]


# -- the answer -------------------------------------------------------------------------


@contextmanager
def sit_down() -> Iterator[int]:
    """Let questions be asked on a terminal; return the end of it that a person sits at."""
    here, theirs = os.openpty()
    with (
        os.fdopen(theirs) as typed,
        os.fdopen(theirs, "w", closefd=False) as shown,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", typed)
        patch.setattr(sys, "stderr", shown)
        yield here
    os.close(here)


def shown_at(person: int, text: str) -> str:
    """Read what is shown until a text is."""
    seen = ""
    while text not in seen:
        seen += os.read(person, 100).decode()
    return seen


@pytest.mark.parametrize("read", [read_line, read_hidden_line])
def test_a_signal_that_ends_no_read_ends_the_question(read: Callable[[str], str]) -> None:
    """As one that comes right before the read: Python has noted it, and would read on."""
    with sit_down() as person:

        def press() -> None:
            shown_at(person, "Go on?")
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        presser = threading.Thread(target=press)
        presser.start()
        before = termios.tcgetattr(sys.stdin)
        with interruptible(), pytest.raises(KeyboardInterrupt):
            read("Go on?")
        presser.join()
        assert termios.tcgetattr(sys.stdin) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_answer_is_read_and_a_hidden_one_is_not_shown() -> None:
    with sit_down() as person:
        os.write(person, b"yes\n")
        assert read_line("Go on? ") == "yes"

        def type_it() -> None:
            shown_at(person, "Word: ")
            os.write(person, b"secret\n")

        typist = threading.Thread(target=type_it)
        typist.start()
        assert read_hidden_line("Word: ") == "secret"
        typist.join()
        assert "secret" not in shown_at(person, "\n")


def test_end_of_input_is_not_an_answer() -> None:
    with sit_down() as person:
        os.write(person, b"\x04")
        with pytest.raises(EOFError):
            read_line("Go on?")
