"""What a property read asks for, and whether an answer is one to it.

Nothing in an answer says which question it belongs to. A whole one that was
meant for another question reads as "there is nothing else", so every answer is
held against its own question.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property.traversal import Walk

Wanted = Mapping[str, Sequence[str]]
"""Property paths by the type that they are wanted of. Leaf paths only
[fact: py-unknown-values]."""

_ALWAYS: Final[Wanted] = {
    "ManagedEntity": ("name",),
    "VirtualMachine": ("name", "runtime.powerState", "runtime.connectionState"),
}
"""Properties that every object has, told or refused [fact: vs-required-properties]."""


class Question:
    """Properties of objects, and of all that the walks lead to.

    Attributes:
        starts: The objects to start from, by id.
        walks: Where to go on from there.
    """

    def __init__(
        self, starts: Sequence[Native], wanted: Wanted, walks: Sequence[Walk] = ()
    ) -> None:
        self.starts = {moid_of(start): start for start in starts}
        self.walks = walks
        self._wanted = wanted
        self._paths: dict[str, AbstractSet[str]] = {}

    def build(self) -> Native:
        """Return it as the API has it."""
        query = vmodl.query.PropertyCollector
        given = {walk.name for walk in self.walks}
        traversals = [
            query.TraversalSpec(
                name=walk.name,
                type=getattr(vim, walk.kind),
                path=walk.path,
                skip=False,
                selectSet=[query.SelectionSpec(name=name) for name in walk.then if name in given],
            )
            for walk in self.walks
        ]
        return query.FilterSpec(
            objectSet=[
                query.ObjectSpec(obj=start, skip=False, selectSet=traversals)
                for start in self.starts.values()
            ],
            propSet=[
                query.PropertySpec(type=getattr(vim, kind), all=False, pathSet=list(paths))
                for kind, paths in self._wanted.items()
            ],
        )

    def paths_of(self, kind: str) -> AbstractSet[str]:
        """Return what is asked of objects of a type; of one that is not known, of any."""
        if kind not in self._paths:
            self._paths[kind] = frozenset(
                path
                for wanted, paths in self._wanted.items()
                if _is_kind(kind, wanted)
                for path in paths
            )
        return self._paths[kind]

    def always_of(self, kind: str) -> AbstractSet[str]:
        """Return what is asked of objects of a type, and each of them has."""
        return self.paths_of(kind) & {
            path for one, paths in _ALWAYS.items() if _is_kind(kind, one) for path in paths
        }


def _is_kind(kind: str, wanted: str) -> bool:
    known = getattr(vim, kind, None)
    return not isinstance(known, type) or issubclass(known, getattr(vim, wanted))


class Tally:
    """What an answer has told so far, page by page, held against its question."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._ids: set[str] = set()
        self._counts: dict[str, int] = defaultdict(int)
        self._untold: dict[str, AbstractSet[str]] = {}

    def begin_page(self, ids: AbstractSet[str], *, leads_on: bool) -> None:
        """Note the objects of a page."""
        if leads_on and ids <= self._ids:
            msg = "a page that refers to another page and has nothing new"
            raise StrangeAnswerError(msg)
        self._ids |= ids

    def note(self, kind: str, moid: str, told: AbstractSet[str], refused: AbstractSet[str]) -> None:
        """Note what an answer tells of an object."""
        question = self._question
        paths = question.paths_of(kind)
        if not paths or (not question.walks and moid not in question.starts):
            msg = f"an answer to another question: it is about {kind}:{moid}"
            raise StrangeAnswerError(msg)
        if not told <= paths:
            more = ", ".join(sorted(told - paths))
            msg = f"an answer to another question: it tells {more} of {kind}:{moid}"
            raise StrangeAnswerError(msg)
        self._counts[kind] += 1
        if kind not in self._untold:
            self._untold[kind] = question.always_of(kind)
        if self._untold[kind]:
            self._untold[kind] = self._untold[kind] - told - refused

    def finish(self) -> None:
        """Note that this was all."""
        for moid, start in self._question.starts.items():
            # A fault reports an object that is gone, and one that may not be read by
            # refused properties: so silence is not an answer.
            if self._question.paths_of(kind_of(start)) and moid not in self._ids:
                msg = f"an answer that says nothing of {kind_of(start)}:{moid}"
                raise StrangeAnswerError(msg)
        for kind, untold in self._untold.items():
            # A single one of a single object may be missing for a reason of its own.
            if untold and (len(untold) > 1 or self._counts[kind] > 1):
                msg = f"an answer to another question: no {kind} has {', '.join(sorted(untold))}"
                raise StrangeAnswerError(msg)
