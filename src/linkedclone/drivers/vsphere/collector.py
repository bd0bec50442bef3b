"""Property reads: one RetrievePropertiesEx for a whole question, all pages followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.lazy import decode, objects_of, token_of
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.session import Session
from linkedclone.drivers.vsphere.walks import Walk
from linkedclone.drivers.vsphere.wire import undecoded

CHUNK: Final = 100
"""Objects asked for in one request: the page size of the server (handbook, section 2)."""

_WALKING_CHUNK: Final = CHUNK // 2
"""The same where walks lead to more objects: so that all fit on one page, and
the server works on two requests at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One managed object as it was read.

    Attributes:
        kind: Its type's bare name (``VirtualMachine``).
        id: Its managed object id.
        values: Its properties by path; what is unset or unreadable is missing.
    """

    kind: str
    id: str
    values: Mapping[str, Native]

    def get(self, path: str) -> Native:
        """Return a property, or None."""
        return self.values.get(path)

    def id_at(self, path: str) -> str:
        """Return the id of the object that a property refers to, or an empty string."""
        value = self.values.get(path)
        return "" if value is None else moid_of(value)


Wanted = Mapping[str, Sequence[str]]
"""Property paths by the type that they are wanted of. Leaf paths only: pyVmomi
stumbles over enum values that it does not know."""


class Collector:
    """Reads properties through the endpoint's PropertyCollector."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._native = session.content.propertyCollector

    def read(
        self,
        about: str,
        starts: Sequence[Native],
        wanted: Wanted,
        walks: Sequence[Walk] = (),
        *,
        lazily: bool = False,
    ) -> dict[str, Seen]:
        """Read properties of the starting objects and of all that the walks lead to.

        One call, and one more for each further page; more than 100 starting
        objects, or 50 with walks, are asked for in several calls at once. Objects that were
        deleted meanwhile are left out.

        Args:
            about: What is being done, for error texts.
            starts: Managed objects.
            wanted: Which properties of which type; objects of other types are
                walked through and not returned.
            walks: Where to go on from the starting objects, and from there.
                Walks that are named but not given are not taken.
            lazily: For long answers of which little is looked at: values that
                are data objects are decoded on demand (see ``lazy``), and
                cannot be sent back. Faults cannot be read so.

        Returns:
            What was seen, by id.
        """
        size = _WALKING_CHUNK if walks else CHUNK
        chunks = [starts[at : at + size] for at in range(0, len(starts), size)]
        follow = self._lazy_pages if lazily else self._pages

        def read_chunk(some: Sequence[Native]) -> list[Seen]:
            return self._read(some, lambda left: follow(about, _build_filter(left, wanted, walks)))

        pages = self._session.map(read_chunk, chunks)
        return {seen.id: seen for page in pages for seen in page}

    def _read(
        self, starts: Sequence[Native], follow: Callable[[Sequence[Native]], list[Seen]]
    ) -> list[Seen]:
        """Read, leaving out the starting objects that turn out to be gone."""
        left = list(starts)
        while left:
            try:
                return follow(left)
            except _Vanished as vanished:
                left = [start for start in left if moid_of(start) != vanished.id]
        return []

    def _pages(self, about: str, question: Native) -> list[Seen]:
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        page = self._session.read(
            about, _noticing(self._native.RetrievePropertiesEx), [question], options
        )
        found: list[Seen] = []
        while page is not None:
            found.extend(map(_build_seen, page.objects))
            if not page.token:
                break
            page = self._session.read(about, self._native.ContinueRetrievePropertiesEx, page.token)
        return found

    def _lazy_pages(self, about: str, question: Native) -> list[Seen]:
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        first = _noticing(undecoded(self._native, "RetrievePropertiesEx"))
        onward = undecoded(self._native, "ContinueRetrievePropertiesEx")
        stub = self._native._stub  # noqa: SLF001 - what references are bound to
        page = self._session.read(about, first, [question], options)
        found: list[Seen] = []
        while True:
            for kind, moid, values in objects_of(page):
                decoded = {name: decode(value, object, stub) for name, value in values.items()}
                found.append(Seen(kind=kind, id=moid, values=decoded))
            token = token_of(page)
            if not token:
                return found
            page = self._session.read(about, onward, token)


class _Vanished(Exception):  # noqa: N818 - never leaves this module
    """A starting object does not exist any more."""

    def __init__(self, moid: str) -> None:
        super().__init__(moid)
        self.id = moid


def _noticing(method: Native) -> Native:
    """Wrap the call so that an object that is gone is told apart from other faults."""

    def call(*arguments: object) -> Native:
        try:
            return method(*arguments)
        except vmodl.fault.ManagedObjectNotFound as fault:
            if fault.obj is None:
                raise
            raise _Vanished(str(moid_of(fault.obj))) from None

    return call


def _build_seen(content: Native) -> Seen:
    return Seen(
        kind=kind_of(content.obj),
        id=moid_of(content.obj),
        values={item.name: item.val for item in content.propSet},
    )


def _build_filter(starts: Sequence[Native], wanted: Wanted, walks: Sequence[Walk]) -> Native:
    query = vmodl.query.PropertyCollector
    given = {walk.name for walk in walks}
    traversals = [
        query.TraversalSpec(
            name=walk.name,
            type=getattr(vim, walk.kind),
            path=walk.path,
            skip=False,
            selectSet=[query.SelectionSpec(name=name) for name in walk.then if name in given],
        )
        for walk in walks
    ]
    return query.FilterSpec(
        objectSet=[
            query.ObjectSpec(obj=start, skip=False, selectSet=traversals) for start in starts
        ],
        propSet=[
            query.PropertySpec(type=getattr(vim, kind), all=False, pathSet=list(paths))
            for kind, paths in wanted.items()
        ],
    )
