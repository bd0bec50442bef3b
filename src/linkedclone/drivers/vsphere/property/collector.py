"""Property reads: one RetrievePropertiesEx for a whole question, all pages followed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final, Generic, TypeVar

from pyVmomi import vmodl

from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError, judge, parse
from linkedclone.drivers.vsphere.connection.errors import tell
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.connection.wire import undecoded
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property.lazy import decode
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
    """One managed object as it was read.

    Attributes:
        kind: Its type's bare name (``VirtualMachine``).
        id: Its managed object id.
        values: Its properties by path; what is unset or refused is missing.
        refused: The properties that the server refused to tell, each with its
            words. What is missing from both is unset.
    """

    kind: str
    id: str
    values: Mapping[str, Native]
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
        if lazily:
            pages = self.read_found(about, starts, wanted, self.decode_lazily, walks)
            return {seen.id: seen for seen in pages}
        chunks = self._read_chunks(
            starts,
            lambda some: self._pages(about, Question(some, wanted, walks)),
            walks,
        )
        return {seen.id: seen for seen in chunks}

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
        nobody needs of a page before it is parsed.
        """
        pages = _Pages(lighten=lighten, take=take)
        return self._read_chunks(
            starts,
            lambda some: self._raw_pages(about, Question(some, wanted, walks), pages),
            walks,
        )

    def decode_lazily(self, found: Found) -> Seen:
        """Return an object whose values are decoded when they are looked at."""
        stub = self._native._stub  # noqa: SLF001 - what references are bound to
        values = {name: decode(value, object, stub) for name, value in found.elements.items()}
        return Seen(kind=found.kind, id=found.id, values=values, refused=found.refused)

    def _read_chunks(
        self,
        starts: Sequence[Native],
        follow: Callable[[Sequence[Native]], list[_Out]],
        walks: Sequence[Walk],
    ) -> Iterable[_Out]:
        size = _WALKING_CHUNK if walks else CHUNK
        chunks = [starts[at : at + size] for at in range(0, len(starts), size)]
        pages = self._session.map(lambda some: self._read(some, follow), chunks)
        return pages[0] if len(pages) == 1 else chain.from_iterable(pages)

    def read_first(
        self, about: str, start: Native, wanted: Wanted, walks: Sequence[Walk]
    ) -> tuple[dict[str, Seen], bool]:
        """Read one page only; return it, and whether it was all. See :meth:`read`.

        One call, and another that gives up the pages after it.
        """
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        question = Question([start], wanted, walks)
        page = self._session.read(
            about, self._native.RetrievePropertiesEx, [question.build()], options
        )
        seen = {} if page is None else {one.id: one for one in map(_build_seen, page.objects)}
        whole = page is None or not page.token
        tally = Tally(question)
        self._session.read_on(about, _note, tally, seen.values(), "" if whole else page.token)
        if whole:
            self._session.read_on(about, tally.finish)
        else:
            cancel = self._native.CancelRetrievePropertiesEx
            self._session.read(about, cancel, page.token)
        return seen, whole

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

    def _pages(self, about: str, question: Question) -> list[Seen]:
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        page = self._session.read(
            about, _noticing(self._native.RetrievePropertiesEx, about), [question.build()], options
        )
        found: list[Seen] = []
        tally = Tally(question)
        while page is not None:
            more = list(map(_build_seen, page.objects))
            found.extend(more)
            self._session.read_on(about, _note, tally, more, page.token)
            if not page.token:
                break
            page = self._session.read_on(
                about, self._native.ContinueRetrievePropertiesEx, page.token
            )
        self._session.read_on(about, tally.finish)
        return found

    def _raw_pages(self, about: str, question: Question, pages: _Pages[_Out]) -> list[_Out]:
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        method = _FIRST
        first = _noticing(undecoded(self._native, _FIRST), about)
        onward = undecoded(self._native, _NEXT)
        out: list[_Out] = []
        tally = Tally(question)
        body = self._session.read(about, first, [question.build()], options)
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
    """How pages are taken apart."""

    lighten: Callable[[bytes], bytes]
    take: Callable[[Found], _Out]

    def take_apart(self, body: bytes, token: str, *, method: str, tally: Tally) -> list[_Out]:
        """Take a page apart that leads on by a token.

        Raises:
            StrangeAnswerError: It is no page of this method, or of an answer to another question.
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


def _note(tally: Tally, page: Collection[Seen], token: str) -> None:
    tally.begin_page({one.id for one in page}, leads_on=bool(token))
    for one in page:
        tally.note(one.kind, one.id, one.values.keys(), one.refused.keys())


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
    """Wrap the call so that an object that is gone is told apart from other faults."""

    def call(*arguments: object) -> Native:
        try:
            return method(*arguments)
        except vmodl.fault.ManagedObjectNotFound as fault:
            if fault.obj is None:
                raise
            raise _Vanished(str(moid_of(fault.obj)), about) from None

    return call


def _build_seen(content: Native) -> Seen:
    return Seen(
        kind=kind_of(content.obj),
        id=moid_of(content.obj),
        values={item.name: item.val for item in content.propSet},
        refused=refused_of(content),
    )


def refused_of(content: Native) -> Mapping[str, str]:
    """Return the properties of an object that were refused, each with the fault's words."""
    return {one.path: tell(one.fault) for one in content.missingSet}
