"""Property reads: one RetrievePropertiesEx for a whole question, all pages followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final, Generic, TypeVar

from pyVmomi import vmodl

from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError, judge, parse
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.connection.tolerant import decode
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property.questions import Question, Tally, Wanted
from linkedclone.drivers.vsphere.property.response import (
    Found,
    foretell_token,
    objects_of,
    token_of,
    without_collections,
)
from linkedclone.drivers.vsphere.property.traversal import Walk
from linkedclone.errors import (
    GoneError,
    HypervisorError,
    LostAnswerError,
    UnreadableAnswerError,
)

CHUNK: Final = 100
"""Objects asked for in one request: the page size of the server [fact: vs-pages]."""

_WALKING_CHUNK: Final = CHUNK // 2
"""The same where walks lead to more objects: so that all fit on one page, and
the server works on two requests at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One managed object as it was read."""

    kind: str  # its type's bare name (``VirtualMachine``)
    id: str
    values: Mapping[str, Native]  # its properties by path; what is unset or refused is missing
    # The properties that the server refused to tell, each with its words. What is missing from both
    # is unset.
    refused: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Native:
        """Return a property, or None."""
        return self.values.get(path)

    def told(self, path: str) -> Native:
        """Return a property, or None if it is unset."""
        if path in self.refused:
            raise _unread(self, path)
        return self.values.get(path)

    def demand(self, path: str) -> Native:
        """Return a property that is always set: without it nothing can be decided."""
        value = self.values.get(path)
        if value is None:
            raise _unread(self, path)
        return value

    def id_at(self, path: str) -> str:
        """Return the id of the object that a property refers to, or an empty string."""
        value = self.values.get(path)
        return "" if value is None else moid_of(value)

    def ids_at(self, path: str) -> tuple[str, ...]:
        """Return the ids of all objects that a property refers to."""
        return tuple(moid_of(value) for value in self.values.get(path) or ())


_Seen = TypeVar("_Seen", bound=Seen)


def gather(found: Iterable[_Seen]) -> dict[str, _Seen]:
    """Return what was read by id."""
    seen: dict[str, _Seen] = {}
    for one in found:
        if seen.setdefault(one.id, one) != one:
            raise UnreadableAnswerError(
                f"the server tells of {one.kind}:{one.id} twice, and contradicts itself",
                hint="it may have changed in the meantime: run it again",
            )
    return seen


def _unread(seen: Seen, path: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"could not read {path} of {seen.kind}:{seen.id}",
        details=seen.refused.get(path, "the server gives neither its type nor a reason"),
        hint="what cannot be read counts as unknown, and nothing is done; "
        "``doctor`` lists the privileges that are missing",
    )


_FIRST: Final = "RetrievePropertiesEx"
_NEXT: Final = "ContinueRetrievePropertiesEx"

_ATTEMPTS: Final = 3
"""How often a question is asked whose session ends, or whose pages are lost, on the way."""

_Out = TypeVar("_Out")


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
        lighten: Callable[[bytes], bytes] = bytes,
    ) -> dict[str, Seen]:
        """Read properties of the starting objects and of all that the walks lead to, by id.

        One call, and one more for each further page; more than 100 starting objects, or
        50 with walks, are asked for in several calls at once. Objects that were deleted
        meanwhile are left out. Objects of types that nothing is wanted of are walked
        through and not returned. Walks that are named but not given are not taken.
        For ``lighten`` see :meth:`read_found`.
        """
        found = self.read_found(about, starts, wanted, self._decode, walks, lighten=lighten)
        return {seen.id: seen for seen in found}

    def read_found(
        self,
        about: str,
        starts: Sequence[Native],
        wanted: Wanted,
        take: Callable[[Found], _Out],
        walks: Sequence[Walk] = (),
        *,
        lighten: Callable[[bytes], bytes] = bytes,
    ) -> Iterable[_Out]:
        """Read as :meth:`read` does, and hand each object to ``take`` as the XML that it came as.

        Nothing of a page is kept but what ``take`` returns. While a page is
        taken apart, the next one is on its way. ``lighten`` may drop what
        no caller needs of a page before it is parsed.
        """
        pages = _Pages(lighten=lighten, take=take)

        def follow(some: Sequence[Native]) -> list[_Out]:
            return self._follow(about, Question(some, wanted, walks), pages)

        size = _WALKING_CHUNK if walks else CHUNK
        chunks = [starts[at : at + size] for at in range(0, len(starts), size)]
        read = self._session.map(lambda some: self._read(some, follow), chunks)
        return read[0] if len(read) == 1 else chain.from_iterable(read)

    def _decode(self, found: Found) -> Seen:
        """Return an object with its values as pyVmomi's, which can be sent back."""
        stub = self._native._stub  # noqa: SLF001 - what references are bound to
        values = {name: decode(value, object, stub) for name, value in found.elements.items()}
        return Seen(kind=found.kind, id=found.id, values=values, refused=found.refused)

    def read_first(
        self, about: str, start: Native, wanted: Wanted, walks: Sequence[Walk]
    ) -> tuple[dict[str, Seen], bool]:
        """Read one page only; return it, and whether it was all. See :meth:`read`.

        One call, and another that gives up the pages after it.
        """
        question = Question([start], wanted, walks)
        tally = Tally(question)
        page = self._ask(about, question)
        token = foretell_token(page)
        take = _Pages(take=self._decode).take_apart
        found = self._session.read_on(about, partial(take, method=_FIRST, tally=tally), page, token)
        if token:
            cancel = self._native.CancelRetrievePropertiesEx
            self._session.read(about, cancel, token)
        else:
            self._session.read_on(about, tally.finish)
        return {seen.id: seen for seen in found}, not token

    def _ask(self, about: str, question: Question) -> bytes:
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        first = _noticing(_undecoded(self._native, _FIRST), about)
        page: bytes = self._session.read(about, first, [question.build()], options)
        return page

    def _read(
        self, starts: Sequence[Native], follow: Callable[[Sequence[Native]], list[_Out]]
    ) -> list[_Out]:
        """Read, leaving out the starting objects that turn out to be gone."""
        left = list(starts)
        again = _ATTEMPTS
        while left:
            logins = self._session.logins
            try:
                return follow(left)
            except _Vanished as vanished:
                there = [start for start in left if moid_of(start) != vanished.id]
                # The root folder is never gone: without it everything would be.
                root = vanished.id == moid_of(self._session.content.rootFolder)
                if root or len(there) == len(left):
                    raise GoneError(
                        f"could not {vanished.about}: {vanished.id} does not exist any more",
                        hint="run it again",
                        kind="ManagedObjectNotFound",
                    ) from vanished
                left = there
            except HypervisorError as error:
                # The tokens of further pages end with the session that they were
                # given in, and a page that was lost is not told twice.
                again -= 1
                ended = logins != self._session.logins
                if not again or not (ended or _was_lost(error)):
                    raise
        return []

    def _follow(self, about: str, question: Question, pages: _Pages[_Out]) -> list[_Out]:
        method, body = _FIRST, self._ask(about, question)
        onward = _undecoded(self._native, _NEXT)
        out: list[_Out] = []
        tally = Tally(question)
        with ThreadPoolExecutor(1) as ahead:
            while True:
                token = foretell_token(body)
                coming = token and ahead.submit(self._session.read_on, about, onward, token)
                take = partial(pages.take_apart, method=method, tally=tally)
                out.extend(self._session.read_on(about, take, body, token))
                if not coming:
                    self._session.read_on(about, tally.finish)
                    return out
                method, body = _NEXT, coming.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pages(Generic[_Out]):
    lighten: Callable[[bytes], bytes] = bytes
    take: Callable[[Found], _Out]

    def take_apart(self, body: bytes, token: str, *, method: str, tally: Tally) -> list[_Out]:
        """Take a page apart that leads on by a token.

        Raises:
            StrangeAnswerError: It is not a page of this method, or answers another question.
            ValueError: It leads on by another token, so that pages would be lost.
        """
        with without_collections():
            answer = parse(self.lighten(body), bound_depth=False)
            if judge(answer, method, result_due=method == _NEXT) is not None:
                msg = "a fault where a page was due"
                raise StrangeAnswerError(msg)
            if token_of(answer) != token:
                msg = "the page has its token in another place"
                raise ValueError(msg)
            objects = list(objects_of(answer))
            tally.begin_page({found.id for found in objects}, leads_on=bool(token))
            for found in objects:
                tally.note(found.kind, found.id, found.elements.keys(), found.refused.keys())
            return list(map(self.take, objects))


def _undecoded(managed: Native, method: str) -> Callable[..., bytes]:
    """Return a managed object's method that answers with XML; a fault is raised as ever."""
    stub = managed._stub  # noqa: SLF001 - the connection that the object belongs to
    info = type(managed)._GetMethodInfo(method)  # noqa: SLF001 - as pyVmomi calls itself

    def call(*arguments: object) -> bytes:
        body: bytes = stub.fetch(managed, info, list(arguments))
        return body

    return call


def _was_lost(error: HypervisorError) -> bool:
    strange = isinstance(error.__cause__, StrangeAnswerError)
    return strange or isinstance(error, LostAnswerError)


class _Vanished(Exception):  # noqa: N818 - never leaves this module
    """A starting object does not exist any more."""

    def __init__(self, moid: str, about: str) -> None:
        super().__init__(moid)
        self.id = moid
        self.about = about


def _noticing(method: Native, about: str) -> Native:
    """Wrap the call so that a missing object is distinguished from other faults."""

    def call(*arguments: object) -> Native:
        try:
            return method(*arguments)
        except vmodl.fault.ManagedObjectNotFound as fault:
            if fault.obj is None:
                raise
            raise _Vanished(str(moid_of(fault.obj)), about) from None

    return call
