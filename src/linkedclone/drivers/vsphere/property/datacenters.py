"""The datacenters of an endpoint, and the one that it is restricted to."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Datacenter:
    """A datacenter."""

    native: Native
    path: str


def choose_datacenter(wanted: str, around: Mapping[str, Seen]) -> Seen:
    """Return the datacenter that an endpoint is restricted to."""
    every = {moid: seen for moid, seen in around.items() if seen.kind == "Datacenter"}
    return choose("datacenter", wanted, every, around)


class Datacenters:
    """Knows the datacenters of an endpoint; they are read once, when first asked for."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._found: tuple[Datacenter, ...] | None = None
        self._others: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def all(self) -> tuple[Datacenter, ...]:
        """Return every datacenter, or the one that the endpoint is restricted to."""
        with self._lock:
            if self._found is None:
                self._found = self._read()
            return self._found

    def start(self) -> Native:
        """Return where searches start: the endpoint's datacenter, else the root folder."""
        if not self.restricted:
            return self._session.content.rootFolder
        return self.all()[0].native

    @property
    def restricted(self) -> str:
        """The name of the datacenter that the endpoint is restricted to; empty if it is to none."""
        return self._session.endpoint.datacenter.strip("/")

    def leave_out(self, path: str) -> bool:
        """Say whether an inventory path is in another datacenter than the endpoint's."""
        return bool(self.restricted and self.all()) and path.startswith(self._others)

    def _read(self) -> tuple[Datacenter, ...]:
        root = self._session.content.rootFolder
        around = self._collector.read("read datacenters", [root], PARTS, [traversal.DATACENTERS])
        every = [seen for seen in around.values() if seen.kind == "Datacenter"]
        if self.restricted:
            own = choose_datacenter(self._session.endpoint.datacenter, around)
            self._others = tuple(f"{build_path(o, around)}/" for o in every if o.id != own.id)
            every = [own]
        return tuple(
            Datacenter(
                native=self._session.managed("Datacenter", seen.id), path=build_path(seen, around)
            )
            for seen in every
        )
