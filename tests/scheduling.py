"""How the tests are distributed to several workers."""

from collections.abc import Iterable

from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

WHOLE = "tests/unit/"
"""The modules of this folder go to a worker whole: their tests take next to no time."""
SHORT = "tests/contract/"
"""The tests of this folder come last: no worker is left with a long one at the end."""


class Rooms(LoadGroupScheduling):  # type: ignore[misc]
    """Hands out groups and modules of short tests whole, all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return scope.partition("::")[0] if scope.startswith(WHOLE) else scope

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Forget what is done: each test would cost a look at all that were before it."""
        super().mark_test_complete(node, item_index, duration)
        work = self.assigned_work[node]
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(work[scope].values()):
            del work[scope]

    def schedule(self) -> None:
        """Hand out what computes between what waits, so that no processor has nothing to do."""
        begun = self.collection is not None
        super().schedule()
        if not begun:
            for unit in _mix(self.workqueue):
                self.workqueue.move_to_end(unit)


def _mix(units: Iterable[str]) -> list[str]:
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for unit in sorted(units, key=lambda unit: unit.startswith(SHORT)):
        kinds[unit.startswith(WHOLE)].append(unit)
    places = [
        (number / len(kind), unit) for kind in kinds.values() for number, unit in enumerate(kind)
    ]
    return [unit for _, unit in sorted(places, key=lambda place: place[0])]
