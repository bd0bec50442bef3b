"""Chooses one object of many by its name, inventory path or managed object id. Pure.

Every kind of object is named in the same way: :func:`match` alone says what a
person's words fit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from urllib.parse import unquote

from linkedclone.drivers.vsphere.names import unescape, unescape_fully
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.inventory_path import build_path, build_ways
from linkedclone.errors import AmbiguousError, InputError, NotFoundError
from linkedclone.model.values.vm_names import is_step

Way = tuple[str, ...]
"""The levels of an inventory path, each name escaped as vCenter keeps it."""

_Id = TypeVar("_Id", bound=str)


def choose(what: str, ref: str, candidates: Mapping[str, Seen], around: Mapping[str, Seen]) -> Seen:
    """Return the one candidate, by id, that a person's words fit, see :func:`match`.

    ``what`` is looked for (``resource pool``); an id counts where no name is like it.
    ``around`` holds the objects above the candidates.
    """
    fits = find_all(ref, candidates, around)
    if not fits:
        _refuse_steps(what, ref)
        raise no_such(what, ref, (build_path(seen, around) for seen in candidates.values()))
    if len(fits) > 1:
        raise AmbiguousError(
            f"{ref!r} fits {len(fits)} of the kind {what}",
            candidates=_list_candidates(fits, around),
            hint="name it by its inventory path, or by its id",
        )
    return fits[0]


def _list_candidates(fits: Sequence[Seen], around: Mapping[str, Seen]) -> tuple[str, ...]:
    """Return their paths; with the ids where paths tell nothing."""
    paths = [build_path(seen, around) for seen in fits]
    return tuple(
        sorted(
            path if paths.count(path) == 1 and _is_told(path) else f"{path}  {seen.id}"
            for path, seen in zip(paths, fits, strict=True)
        )
    )


def find_all(
    ref: str, candidates: Mapping[str, Seen], around: Mapping[str, Seen]
) -> tuple[Seen, ...]:
    """Return all candidates that a person's words fit: by name or path, else by id."""
    ways = {moid: build_ways(seen, around) for moid, seen in candidates.items()}
    fits = match(ref, ways) or ((ref,) if ref in candidates else ())
    return tuple(candidates[moid] for moid in fits)


def no_such(what: str, ref: str, paths: Iterable[str]) -> NotFoundError:
    """Return the error that nothing fits; what exists is listed as it can be named.

    A path that lacks a name is of an object that is hidden, or inside one: it is only counted.
    """
    every = list(paths)
    shown = sorted(path for path in every if _is_told(path))
    more = ", …" if len(shown) > _SHOWN else ""
    listed = ", ".join(shown[:_SHOWN]) + more if shown else "none that you may see"
    hidden = len(every) - len(shown)
    rest = f"; {hidden} more with a name or place that is hidden from you" if hidden else ""
    return NotFoundError(f"there is no {what} {ref!r}", hint=f"there are: {listed}{rest}")


def _is_told(path: str) -> bool:
    return all(path.removeprefix("/").split("/"))


def _refuse_steps(what: str, ref: str) -> None:
    """Refuse a path with ``..``, ``.`` or a void level, however it is escaped.

    vCenter would take ``..`` for a name, and other tools would take that name for a step upward.
    """
    steps = [name for name in unquote(unescape_fully(_bare(ref))).split("/") if is_step(name)]
    if _bare(ref) and steps:
        raise InputError(
            f"the {what} {ref!r} has a level that is not a name: {steps[0]!r}",
            hint="write the name of each level, as VDI/Desktops",
        )


def match(ref: str, ways: Mapping[_Id, Iterable[Way]]) -> tuple[_Id, ...]:
    """Return the objects that a name or an inventory path fits; of some there are two paths.

    With a slash in front it is a whole inventory path; anything else is a name, or the
    end of a path: ``Desktops``, ``VDI/Desktops``. Names count as people write them and as
    vCenter keeps them, with slash, backslash and percent sign escaped. The closest
    reading wins: of a path that with the escapes, which is what is shown of paths; of a
    name that without. At last case is ignored, as vCenter does.
    """
    whole, text = ref.startswith("/"), _bare(ref)
    if not text:
        return ()
    spellings = (_keep, unescape, unescape_fully) if whole else (unescape, _keep, unescape_fully)
    for spell in spellings:
        found = _select(ways, partial(_fits, ref=ref, spell=spell))
        if found:
            return found
    return _select(ways, partial(_resembles, text=text.casefold(), whole=whole))


def fold(ref: str) -> str:
    """Return what two spellings of one name have in common."""
    return unescape_fully(ref).casefold()


def _select(ways: Mapping[_Id, Iterable[Way]], fits: Callable[[Way], bool]) -> tuple[_Id, ...]:
    return tuple(moid for moid, of_it in ways.items() if any(fits(way) for way in of_it))


def _bare(ref: str) -> str:
    return ref.removeprefix("./").strip("/")


def _fits(way: Way, *, ref: str, spell: Callable[[str], str]) -> bool:
    """Say whether a path, or an end of it, reads like the words when spelt so."""
    if spell(way[-1]) == ref:
        return True
    names = [spell(name) for name in way]
    starts = range(1 if ref.startswith("/") else len(names))
    return any("/".join(names[start:]) == _bare(ref) for start in starts)


def _resembles(way: Way, *, text: str, whole: bool) -> bool:
    """Say whether a path, or an end of it, reads like the words in a mixture of spellings."""
    if not way:
        return False
    for reading in {spell(way[-1]).casefold() for spell in (_keep, unescape, unescape_fully)}:
        if text == reading and not (whole and len(way) > 1):
            return True
        rest = text.removesuffix(f"/{reading}")
        if rest != text and _resembles(way[:-1], text=rest, whole=whole):
            return True
    return False


def _keep(name: str) -> str:
    return name


_SHOWN: Final = 20
