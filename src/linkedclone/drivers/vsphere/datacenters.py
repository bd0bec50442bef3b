"""The datacenters of an endpoint, and the one that it is restricted to."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from linkedclone.drivers.vsphere import walks
from linkedclone.drivers.vsphere.collector import Collector
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.paths import PARTS, build_path
from linkedclone.drivers.vsphere.session import Session
from linkedclone.errors import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Datacenter:
    """A datacenter.

    Attributes:
        native: The managed object.
        path: Its inventory path.
    """

    native: Native
    path: str


class Datacenters:
    """Knows the datacenters of an endpoint; they are read once, when first asked for."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._found: tuple[Datacenter, ...] | None = None
        self._lock = threading.Lock()

    def all(self) -> tuple[Datacenter, ...]:
        """Return every datacenter, or the one that the endpoint is restricted to.

        Raises:
            NotFoundError: The endpoint names one that does not exist.
        """
        with self._lock:
            if self._found is None:
                self._found = self._restrict(self._read())
            return self._found

    def start(self) -> Native:
        """Return where searches start: the endpoint's datacenter, else the root folder."""
        if not self._session.endpoint.datacenter:
            return self._session.content.rootFolder
        return self.all()[0].native

    def _read(self) -> tuple[Datacenter, ...]:
        root = self._session.content.rootFolder
        around = self._collector.read("read datacenters", [root], PARTS, [walks.DATACENTERS])
        return tuple(
            Datacenter(
                native=self._session.managed("Datacenter", seen.id), path=build_path(seen, around)
            )
            for seen in around.values()
            if seen.kind == "Datacenter"
        )

    def _restrict(self, every: tuple[Datacenter, ...]) -> tuple[Datacenter, ...]:
        wanted = self._session.endpoint.datacenter.strip("/")
        if not wanted:
            return every
        found = [one for one in every if one.path.endswith("/" + wanted)]
        if not found:
            names = ", ".join(sorted(one.path for one in every)) or "none that you may see"
            raise NotFoundError(f"there is no datacenter {wanted!r}", hint=f"there are: {names}")
        return (min(found, key=lambda one: len(one.path)),)
