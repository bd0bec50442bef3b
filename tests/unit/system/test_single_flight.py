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


def test_a_request_during_a_look_does_not_get_its_result() -> None:
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


def test_a_later_request_looks_anew() -> None:
    world = World()
    world.let.set()
    shared = SharedLook(world.look)
    assert shared.take() == 0
    world.state = 1
    assert shared.take() == 1


def test_a_failed_look_is_not_shared_with_other_callers() -> None:
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
