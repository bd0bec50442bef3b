"""A look that threads share begins after each of them has asked."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic, sleep

import pytest

from linkedclone.system.single_flight import SharedLook


class World:
    """Something to look at, whose looks end when they are let."""

    def __init__(self) -> None:
        self.state = 0
        self.looks = 0
        self.let = Event()

    def look(self) -> int:
        self.looks += 1
        seen = self.state
        assert self.let.wait(120)
        return seen


def wait_until_looking(world: World) -> None:
    deadline = monotonic() + 120
    while not world.looks:
        assert monotonic() < deadline
        sleep(0.001)


def test_who_asks_while_another_looks_is_not_answered_with_what_that_one_saw() -> None:
    world = World()
    shared = SharedLook(world.look)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(shared.take)
        wait_until_looking(world)
        world.state = 1
        later = [pool.submit(shared.take) for _ in range(3)]
        sleep(0.1)
        world.let.set()
        assert first.result() == 0
        assert [answer.result() for answer in later] == [1, 1, 1]
    assert world.looks < 1 + len(later)


def test_who_asks_later_looks_anew() -> None:
    world = World()
    world.let.set()
    shared = SharedLook(world.look)
    assert shared.take() == 0
    world.state = 1
    assert shared.take() == 1


def test_a_look_that_fails_answers_nobody_else() -> None:
    answers: list[OSError | int] = [OSError(), 1]

    def look() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    shared = SharedLook(look)
    with pytest.raises(OSError):  # noqa: PT011 - it is the very one
        shared.take()
    assert shared.take() == 1
