"""Waits for task updates with WaitForUpdatesEx.

Used when few tasks are in flight, since it answers the moment a task ends;
``tasks`` polls otherwise.
"""

from collections.abc import Mapping, Sequence

from pyVmomi import vmodl

from linkedclone.drivers.vsphere.connection.errors import tell
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.questions import Question, Wanted
from linkedclone.errors import LinkedCloneError, Transience


class Watch:
    """Waits for changes of some objects. Called by one thread at a time.

    Its filter stays at the server until other objects are watched, or the
    session ends: then a new one is made. After the first failure in a session
    that goes on, as where a proxy cuts long calls off, it is of no use any
    more: then the caller has to poll.

    Attributes:
        works: False after a failure.
    """

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self.works = True
        self._session = session
        self._native = session.content.propertyCollector
        self._wanted = wanted
        self._logins = 0
        self._forget()

    def _forget(self) -> None:
        self._filter: Native = None
        self._watched: frozenset[str] = frozenset()
        self._version = ""
        self._known: dict[str, Seen] = {}
        self._logins = self._session.logins

    def observe(self, objects: Sequence[Native], seconds: int) -> Mapping[str, Seen]:
        """Wait for a change, at most so long; return what is known of the objects, by id.

        Empty where nothing has changed, and where that is unknown: that is
        no proof that nothing happened, so the caller has to read then. What
        has vanished is missing.
        """
        if not self.works:
            return {}
        if self._logins != self._session.logins:
            self._forget()
        try:
            self._watch(objects)
            news = self._wait(seconds)
        except LinkedCloneError as error:
            away = error.transience is Transience.AWAY
            self.works = away or self._logins != self._session.logins
            return {}
        # No other session reports the updates of a session that ended.
        return news if self._logins == self._session.logins else {}

    def _watch(self, objects: Sequence[Native]) -> None:
        ids = frozenset(map(moid_of, objects))
        if ids <= self._watched:
            return
        if self._filter is not None:
            self._session.read("stop following tasks", self._filter.DestroyPropertyFilter)
        question = Question(objects, self._wanted).build()
        self._filter = self._session.read(
            "follow tasks", self._native.CreateFilter, question, partialUpdates=False
        )
        self._watched, self._version, self._known = ids, "", {}

    def _wait(self, seconds: int) -> Mapping[str, Seen]:
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
        news = self._session.read(
            "follow tasks", self._native.WaitForUpdatesEx, self._version, options
        )
        if news is None:
            return {}
        self._version = news.version
        for change in (change for part in news.filterSet for change in part.objectSet):
            self._learn(change)
        return dict(self._known)

    def _learn(self, change: Native) -> None:
        moid = moid_of(change.obj)
        if change.kind == "leave":
            self._known.pop(moid, None)
            return
        before = self._known[moid].values if moid in self._known else {}
        values = {**before, **{item.name: item.val for item in change.changeSet}}
        refused = {one.path: tell(one.fault) for one in change.missingSet}
        self._known[moid] = Seen(kind=kind_of(change.obj), id=moid, values=values, refused=refused)
