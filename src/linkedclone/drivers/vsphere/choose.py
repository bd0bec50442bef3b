"""Chooses one object of many by its name, inventory path or managed object id. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from linkedclone.drivers.vsphere.collector import Seen
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.paths import build_path
from linkedclone.errors import AmbiguousError, NotFoundError


def choose(what: str, ref: str, candidates: Mapping[str, Seen], around: Mapping[str, Seen]) -> Seen:
    """Return the one candidate that a person's words fit.

    A path that begins with a slash is a whole inventory path; anything else
    may be its end: ``Desktops``, ``VDI/Desktops``.

    Args:
        what: What is looked for, for error texts (``resource pool``).
        ref: The name, path or managed object id; an id counts where no name is like it.
        candidates: The objects to choose from, by id.
        around: The objects above them.

    Raises:
        NotFoundError: None fits; the hint lists what exists.
        AmbiguousError: Several fit.
    """
    paths = {moid: unescape(build_path(seen, around)) for moid, seen in candidates.items()}
    wanted = "/" + ref.strip("/")
    fits = [
        moid
        for moid, path in paths.items()
        if path == wanted or (not ref.startswith("/") and path.endswith(wanted))
    ]
    if not fits and ref in candidates:
        return candidates[ref]
    if not fits:
        shown = sorted(paths.values())
        more = ", …" if len(shown) > _SHOWN else ""
        listed = ", ".join(shown[:_SHOWN]) + more if shown else "none that you may see"
        raise NotFoundError(f"there is no {what} {ref!r}", hint=f"there are: {listed}")
    if len(fits) > 1:
        raise AmbiguousError(
            f"{ref!r} fits {len(fits)} of the kind {what}",
            candidates=tuple(sorted(paths[moid] for moid in fits)),
            hint="name it by its inventory path",
        )
    return candidates[fits[0]]


_SHOWN = 20
