"""Random families: nothing that is allowed harms anybody, and each refusal has a real reason.

A story is a list of acts, each with a number that all its choices are made of.
The long runs (``--soak``) tell longer stories, and more of them. What a story
breaks in the product becomes a test of its own where it belongs.
"""

import random
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.families.engine import ACTS, Family
from tests.families.local import LocalWorld, fresh_folder
from tests.families.memory import MemoryWorld
from tests.families.vsphere import EsxiWorld, VsphereWorld
from tests.families.world import World
from tests.simulator import Simulator

Story = list[tuple[str, int]]

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""For worlds in which an act takes too long to try hundreds of shorter stories."""

CHECKS = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)


def stories(shortest: int, longest: int) -> st.SearchStrategy[Story]:
    act = st.tuples(st.sampled_from(ACTS), st.integers(0, 2**32))
    return st.lists(act, min_size=shortest, max_size=longest)


def few(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, phases=UNSHRUNK, suppress_health_check=CHECKS
    )


def tell(world: World, story: Story, *, most: int, look_around_every: int = 10) -> Family:
    """Live a story through; contents are checked now and then, and all of them at the end."""
    family = Family(world, most=most, look_around_every=look_around_every)
    for number, (act, choice) in enumerate(story):
        family.act(act, choice)
        if number % 10 == 9:
            world.check_contents(choice)
    family.look_around()
    world.check_contents()
    return family


def tell_in_memory(story: Story, most: int = 150) -> None:
    tell(MemoryWorld(), story, most=most)


def tell_on_this_machine(folder: Path, story: Story, most: int = 40) -> None:
    tell(LocalWorld(fresh_folder(folder)), story, most=most)


def tell_on_vsphere(story: Story, most: int = 30) -> None:
    with Simulator.start() as simulator, closing(VsphereWorld(simulator)) as world:
        tell(world, story, most=most)


def tell_on_a_lone_host(story: Story, destroy: str, most: int = 30) -> None:
    with Simulator.start("-esx") as simulator, closing(EsxiWorld(simulator)) as world:
        simulator.control("POST", "esx", {"destroy": destroy})
        tell(world, story, most=most)


@settings(max_examples=4, deadline=None, suppress_health_check=CHECKS)
@given(stories(30, 90))
def test_a_family_in_memory(story: Story) -> None:
    tell_in_memory(story)


@few(2)
@given(stories(25, 45))
def test_a_family_on_this_machine(tmp_path: Path, story: Story) -> None:
    tell_on_this_machine(tmp_path, story)


@few(2)
@given(stories(25, 45))
def test_a_family_on_vsphere(story: Story) -> None:
    tell_on_vsphere(story)


def draw_story(number: int, length: int) -> Story:
    """Return a story that is the same each time."""
    chance = random.Random(number)
    return [(chance.choice(ACTS), chance.randrange(2**32)) for _ in range(length)]


@pytest.mark.parametrize(("destroy", "number"), [("keeps-base", 2), ("takes-base", 5)])
def test_a_family_on_a_lone_host(destroy: str, number: int) -> None:
    tell_on_a_lone_host(draw_story(number, 25), destroy)


@pytest.mark.soak
@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS)
@given(stories(100, 300))
def test_large_families_in_memory(story: Story) -> None:
    tell_in_memory(story, most=400)


@pytest.mark.soak
@few(6)
@given(stories(60, 200))
def test_large_families_on_this_machine(tmp_path: Path, story: Story) -> None:
    tell_on_this_machine(tmp_path, story, most=200)


@pytest.mark.soak
@few(4)
@given(stories(60, 200))
def test_large_families_on_vsphere(story: Story) -> None:
    tell_on_vsphere(story, most=200)


def test_stories_are_about_something() -> None:
    family = tell(MemoryWorld(), draw_story(11, 250), most=150, look_around_every=50)
    tally = family.tally
    assert tally.made > 100
    acts = {"clone", "snapshot", "delete", "delete a snapshot", "revert", "promote", "adopt"}
    strangers = set(MemoryWorld.strangers)
    assert acts | strangers | {"keep the base", "collect waste", "power"} <= set(tally.done)
    assert {"delete", "delete a snapshot", "revert", "promote", "adopt"} <= set(tally.refused)
