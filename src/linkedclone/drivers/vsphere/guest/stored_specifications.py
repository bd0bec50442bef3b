"""Customization specifications that are stored in vCenter."""

import threading

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import NotFoundError, UnsupportedError


class StoredSpecs:
    """Reads stored specifications, each once."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._specs: dict[str, Native] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> Native:
        """Return a specification; an empty name has none."""
        if not name:
            return None
        with self._lock:
            if name not in self._specs:
                self._specs[name] = self._read(name)
            return self._specs[name]

    def _read(self, name: str) -> Native:
        manager = self._session.content.customizationSpecManager
        if manager is None:
            raise UnsupportedError("the endpoint keeps no customization specifications")
        about = f"read the customization specification {name!r}"
        try:
            return self._session.read(about, manager.GetCustomizationSpec, name).spec
        except NotFoundError as error:
            seen = self._collector.read(about, [manager], {"CustomizationSpecManager": ("info",)})
            names = sorted(item.name for one in seen.values() for item in one.told("info") or ())
            raise NotFoundError(
                f"there is no customization specification {name!r}",
                details=error.details,
                hint="there are: " + (", ".join(names) or "none"),
            ) from error
