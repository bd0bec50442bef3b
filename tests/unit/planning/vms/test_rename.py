"""What is given another name."""

from dataclasses import replace

import pytest

from linkedclone.errors import InputError, NotOursError
from linkedclone.model.plan import RenameVm
from linkedclone.planning.vms.rename import plan_rename
from tests.unit.planning.scene import GOLD, MIDDLE, ONE


def test_a_clone_of_ours_is_renamed() -> None:
    plan = plan_rename(ONE, "uno")
    assert plan.steps == (RenameVm(vm=ONE.id, vm_name="one", new_name="uno"),)
    assert plan.notes == ()


def test_a_vm_that_already_has_the_name_needs_nothing() -> None:
    plan = plan_rename(ONE, "one")
    assert plan.empty
    assert plan.existing == (ONE,)


def test_the_case_alone_is_a_new_name() -> None:
    assert not plan_rename(ONE, "One").empty


def test_renaming_a_foreign_vm_needs_force() -> None:
    with pytest.raises(NotOursError, match="gold"):
        plan_rename(GOLD, "au")
    assert not plan_rename(GOLD, "au", force=True).empty


def test_the_plan_says_that_the_family_of_a_renamed_vm_stays() -> None:
    assert "are not affected" in plan_rename(MIDDLE, "mid").notes[0]


@pytest.mark.parametrize("name", ["", "a/b", "..", " a", "x" * 81, "-x", "a%2fb", "a\nb"])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        plan_rename(ONE, name)


def test_a_vm_that_cannot_be_read_is_not_renamed() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        plan_rename(replace(ONE, uuid="", mark=None), "uno", force=True)
