"""What is found wrong with families."""

from dataclasses import replace

import pytest

from linkedclone.lineage.proof import DEEPEST
from linkedclone.model.findings import Verdict
from linkedclone.model.inventory import Inventory, LayerFile
from linkedclone.model.vm import LEFT_FAILED, Power, Vm
from linkedclone.planning.vms.family_checks import find_trouble
from tests.unit.building import REASON, clone_of, disk, hide, layer, sized, stray, unreadable, vm
from tests.unit.planning.scene import GOLD, ONE, TWO, seen

CHECKS = ("readable VMs", "chain depth", "chain files", "identity", "delta size", "stray files")


def trouble(inventory: Inventory, check: str) -> list[tuple[Verdict, str]]:
    """Return what one check found wrong."""
    found = [one for one in find_trouble(inventory) if one.check == check]
    assert found, "each check says something"
    wrong = [one for one in found if one.verdict is not Verdict.OK]
    assert not wrong or wrong == found
    assert all(one.remedy for one in wrong)
    return [(one.verdict, one.text) for one in wrong]


@pytest.mark.parametrize(
    "inventory",
    [seen(), sized(seen(GOLD, ONE, TWO), gold=100), seen(GOLD, hide(ONE)), seen(vm("diskless"))],
)
def test_a_healthy_family_gives_one_good_finding_for_each_check(inventory: Inventory) -> None:
    assert [(f.check, f.verdict) for f in find_trouble(inventory)] == [
        (check, Verdict.OK) for check in CHECKS
    ]


def test_a_fork_that_runs_without_an_identity_of_its_own_is_a_failure() -> None:
    assert ONE.mark
    left = replace(ONE, power=Power.ON, mark=replace(ONE.mark, instant=True, spec=LEFT_FAILED))
    ((verdict, text),) = trouble(seen(GOLD, left, TWO), "identity")
    assert verdict is Verdict.FAILED
    assert "one: its identity is not confirmed" in text
    assert trouble(seen(GOLD, replace(left, mark=ONE.mark)), "identity") == []


def deep(name: str, depth: int) -> Vm:
    return vm(name, disk(*(f"{name}/{number}.vmdk" for number in range(depth))))


def test_overlong_chains_are_reported_deepest_first() -> None:
    inventory = seen(deep("fine", DEEPEST), deep("deep", DEEPEST + 1), deep("abyss", DEEPEST + 9))
    texts = [text for _, text in trouble(inventory, "chain depth")]
    assert len(texts) == 2
    assert "abyss" in texts[0]
    assert str(DEEPEST + 1) in texts[1]


def test_a_missing_file_is_reported_with_its_readers() -> None:
    inventory = sized(seen(GOLD, ONE, TWO))
    gone = {**inventory.files, layer("gold/gold.vmdk"): LayerFile(missing=True)}
    ((verdict, text),) = trouble(replace(inventory, files=gone), "chain files")
    assert verdict is Verdict.FAILED
    assert "gold, one, two" in text


def test_many_readers_of_a_missing_file_are_counted() -> None:
    clones = [clone_of(GOLD, f"desk-{number}") for number in range(9)]
    inventory = sized(seen(GOLD, *clones))
    gone = {**inventory.files, layer("gold/gold.vmdk"): LayerFile(missing=True)}
    ((_, text),) = trouble(replace(inventory, files=gone), "chain files")
    assert text.endswith("and 5 more")


MAC = "02:00:00:00:00:01"
TWINS = {
    "no two": ([replace(ONE, macs=(MAC,)), TWO], []),
    "the same instance UUID": ([ONE, replace(TWO, uuid=ONE.uuid)], ["UUID"]),
    "the same UUID for the guest": (
        [replace(ONE, bios_uuid="b"), replace(TWO, bios_uuid="b")],
        ["UUID"],
    ),
    "one's UUID is what the other's guest sees": (
        [ONE, replace(TWO, bios_uuid=ONE.uuid)],
        ["UUID"],
    ),
    "one UUID for both purposes": ([replace(ONE, bios_uuid=ONE.uuid)], []),
    "the same MAC address": (
        [replace(ONE, macs=(MAC,)), replace(TWO, macs=("x", MAC))],
        ["MAC address"],
    ),
    "the same instance-id": (
        [replace(ONE, instance_id="i-1"), replace(TWO, instance_id="i-1")],
        ["instance-id"],
    ),
    "empty ones do not count": ([ONE, TWO], []),
    "templates do not count": ([ONE, replace(TWO, uuid=ONE.uuid, template=True)], []),
    "all at once": (
        [
            replace(ONE, macs=(MAC,), instance_id="i"),
            replace(TWO, macs=(MAC,), instance_id="i", uuid=ONE.uuid),
        ],
        ["UUID", "MAC address", "instance-id"],
    ),
}


@pytest.mark.parametrize(("vms", "words"), TWINS.values(), ids=TWINS)
def test_twins_are_reported(vms: list[Vm], words: list[str]) -> None:
    found = trouble(seen(GOLD, *vms), "identity")
    assert len(found) == len(words)
    for (_, text), word in zip(found, words, strict=True):
        assert f"the same {word}" in text
        assert text.endswith("one, two")


GROWN = {
    "half of the base": ({"gold": 100, "one": 50}, []),
    "more than half of the base": ({"gold": 100, "one": 51}, ["one"]),
    "unknown": ({"gold": 100, "one": None}, []),
    "over a base of unknown size": ({"gold": None, "one": 51}, []),
}


@pytest.mark.parametrize(("sizes", "names"), GROWN.values(), ids=GROWN)
def test_a_large_delta_is_reported(sizes: dict[str, int | None], names: list[str]) -> None:
    found = trouble(sized(seen(GOLD, ONE), **sizes), "delta size")
    assert [text.split()[0] for _, text in found] == names


def test_writes_of_a_parent_after_its_snapshot_are_not_a_large_delta() -> None:
    inventory = sized(seen(GOLD, ONE), **{"gold": 100, "gold-000001": 1000})
    assert trouble(inventory, "delta size") == []


def test_orphaned_files_are_reported_with_their_size() -> None:
    strays = [stray("gold/gold.vmdk", f"x/{n}.vmdk", used=1 << 20) for n in range(3)]
    ((verdict, text),) = trouble(seen(GOLD, *strays), "stray files")
    assert verdict is Verdict.WARNING
    assert "3 disk files" in text
    assert "3" in text.partition("(")[2]


def test_a_vm_that_cannot_be_read_is_never_said_to_be_well() -> None:
    inventory = seen(GOLD, ONE, unreadable(vm("lost")))
    assert trouble(inventory, "readable VMs") == [
        (Verdict.FAILED, f"lost cannot be read: {REASON}; its base is unknown")
    ]
    (files,) = [one.text for one in find_trouble(inventory) if one.check == "chain files"]
    assert "2 VMs" in files
