"""On the wire our clone is govc's, but for what is listed here with its reason."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from tests import command
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, opened, prepare
from tests.vsphere.govc import run_govc

DIFFER: Final = {
    "name": "two clones cannot have one name in one folder",
    "spec.location.folder": "govc says the folder twice; the argument of the call decides",
    "spec.config": "ours: mark and UUID are there from birth, hardware and notes come along",
    "spec.powerOn": "govc clones first and starts later; ours is one call, unless --power off",
}
"""The fields that differ by design, and why. All others have to be equal."""

_VIM: Final = "{urn:vim25}"


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    with opened(simulator) as driver:
        prepare(driver)
    return command.environment(simulator, tmp_path)


FORKS_DIFFER: Final = {
    "spec.name": "two clones cannot have one name in one folder",
    "spec.config": "ours: the mark, and who the guest is to be",
    "spec.location.deviceChange": "ours: each card is disconnected until its guest is another one",
}
"""The same of instant clones."""


def flatten(element: ET.Element, path: str = "") -> dict[str, str]:
    """Return every leaf of a request by its path; an element that is empty says nothing."""
    leaves: dict[str, str] = {}
    counts: dict[str, int] = {}
    for child in element:
        tag = child.tag.removeprefix(_VIM)
        number = counts.get(tag, 0)
        counts[tag] = number + 1
        name = f"{tag}[{number}]" if number else tag
        leaves |= flatten(child, f"{path}.{name}" if path else name)
    if not len(element) and (text := (element.text or "").strip()):
        leaves[path] = text
    return leaves


def last_clone(simulator: Simulator, method: str = "CloneVM_Task") -> dict[str, str]:
    (call,) = ET.fromstring(simulator.requests(method)[-1]).iter(f"{_VIM}{method}")
    return flatten(call)


def by_govc(simulator: Simulator, *options: str) -> dict[str, str]:
    done = run_govc(
        simulator,
        *("vm.clone", "-vm", PARENT, "-pool", "/DC0/host/DC0_H0/Resources"),
        *("-ds", "LocalDS_0", "-on=false", *options, "by-govc"),
    )
    assert done.returncode == 0, done.stderr
    return last_clone(simulator)


def by_us(simulator: Simulator, env: dict[str, str], *options: str) -> dict[str, str]:
    done = command.run("clone", PARENT, "by-us", *options, env=env)
    assert done.returncode == 0, done.stderr
    return last_clone(simulator)


def comparable(
    leaves: dict[str, str], differ: Mapping[str, str] = MappingProxyType(DIFFER)
) -> dict[str, str]:
    """Leave out what differs by design, and false: a flag that is not sent is false."""
    return {
        path: text
        for path, text in leaves.items()
        if not any(path == known or path.startswith((f"{known}.", f"{known}[")) for known in differ)
        and text != "false"
    }


def test_a_linked_clone_is_govcs(simulator: Simulator, env: dict[str, str]) -> None:
    theirs = by_govc(simulator, "-link", "-snapshot", "base")
    ours = by_us(simulator, env)
    assert comparable(ours) == comparable(theirs)
    # So that two empty answers are not taken for equal ones.
    assert set(comparable(ours)) == {
        "_this",
        "folder",
        "spec.location.datastore",
        "spec.location.diskMoveType",
        "spec.location.pool",
        "spec.snapshot",
    }
    assert ours["spec.location.diskMoveType"] == "createNewChildDiskBacking"
    assert ours.get("spec.template", "false") == theirs.get("spec.template", "false") == "false"


def test_every_listed_difference_is_one(simulator: Simulator, env: dict[str, str]) -> None:
    theirs = by_govc(simulator, "-link", "-snapshot", "base")
    ours = by_us(simulator, env)
    for known in DIFFER:
        mine, other = (
            {path: text for path, text in leaves.items() if path.startswith(known)}
            for leaves in (ours, theirs)
        )
        assert mine != other, known


def test_left_off_both_are_the_same_in_power_too(simulator: Simulator, env: dict[str, str]) -> None:
    theirs = by_govc(simulator, "-link", "-snapshot", "base")
    ours = by_us(simulator, env, "--power", "off")
    assert ours["spec.powerOn"] == theirs["spec.powerOn"] == "false"


def test_a_remapped_card_is_edited_where_govc_edits_it(
    simulator: Simulator, env: dict[str, str]
) -> None:
    theirs = by_govc(simulator, "-link", "-snapshot", "base", "-net", "DC0_DVPG0")
    ours = by_us(simulator, env, "--network", "DC0_DVPG0")
    where = "spec.location.deviceChange."
    decides = ("operation", "device.key", "device.backing.port.")
    picked = [
        {
            path.removeprefix(where): text
            for path, text in leaves.items()
            if path.removeprefix(where).startswith(decides) and path.startswith(where)
        }
        for leaves in (ours, theirs)
    ]
    assert picked[0] == picked[1]
    assert set(picked[0]) == {
        "operation",
        "device.key",
        "device.backing.port.switchUuid",
        "device.backing.port.portgroupKey",
    }


def test_without_a_snapshot_a_full_clone_is_what_govc_calls_a_link(
    simulator: Simulator, env: dict[str, str]
) -> None:
    theirs = by_govc(simulator, "-link", "-vm", "/DC0/vm/DC0_H0_VM1")
    done = command.run("clone", "/DC0/vm/DC0_H0_VM1", "by-us", "--full", env=env)
    assert done.returncode == 0, done.stderr
    ours = last_clone(simulator)
    assert comparable(ours) == comparable(theirs)
    assert ours["spec.location.diskMoveType"] == "moveAllDiskBackingsAndAllowSharing"


def test_an_instant_clone_is_govcs(simulator: Simulator, env: dict[str, str]) -> None:
    started = run_govc(simulator, "vm.power", "-on", PARENT)
    assert started.returncode == 0, started.stderr
    simulator.control("POST", "fork", {"name": "DC0_H0_VM0", "ready": True})
    forked = run_govc(
        simulator,
        *("vm.instantclone", "-vm", PARENT, "-folder", "/DC0/vm", "-ds", "LocalDS_0"),
        *("-pool", "/DC0/host/DC0_H0/Resources", "by-govc"),
    )
    assert forked.returncode == 0, forked.stderr
    theirs = last_clone(simulator, "InstantClone_Task")
    done = command.run("clone", PARENT, "by-us", "--instant", env=env)
    assert done.returncode == 0, done.stderr
    ours = last_clone(simulator, "InstantClone_Task")
    assert comparable(ours, FORKS_DIFFER) == comparable(theirs, FORKS_DIFFER)
    assert set(comparable(ours, FORKS_DIFFER)) == {
        *("_this", "spec.location.folder", "spec.location.datastore", "spec.location.pool"),
    }
    assert ours["spec.location.deviceChange.device.connectable.migrateConnect"] == "disconnect"
