"""Inventory folders: found by name, path or id, and made where they are missing."""

import re
from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import kind_of, moid_of
from linkedclone.drivers.vsphere.placement.datacenter import Landscape
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.inventory_path import build_path
from linkedclone.errors import DuplicateNameError, InputError, NotFoundError, RefusedError
from linkedclone.model.request import Placement
from linkedclone.model.values.ids import FolderId
from linkedclone.model.values.vm_names import find_unseen, is_step

_ID: Final = re.compile(r"group-v\d+")

LONGEST_NAME: Final = 80
"""Characters of an entity's name [fact: vs-names]."""


def find_folder(land: Landscape, wanted: Placement, own_id: str) -> tuple[str, str, str]:
    """Return the folder's id, the whole path, and what of it is yet to be made.

    Without a name it is the source's own, or the topmost one of another datacenter.
    """
    if wanted.folder:
        folder, missing = _find_named(land, wanted)
        path = build_path(folder, land.around)
        return folder.id, f"{path}/{missing}" if missing else path, missing
    own = land.around.get(own_id)
    if own is not None and own.kind == "Folder":
        path = build_path(own, land.around)
        if not wanted.datacenter or path.startswith(f"{land.path}/"):
            return own.id, path, ""
    if not wanted.datacenter:
        raise RefusedError(
            "the parent is in no folder of its own, as VMs of a vApp do",
            hint="say where the clones go with ``placement.folder``",
        )
    top = f"{land.path}/vm"
    for seen in land.kind("Folder").values():
        if build_path(seen, land.around) == top:
            return seen.id, top, ""
    raise RefusedError(
        f"the folder {top} cannot be seen", hint="name one with ``placement.folder``"
    )


def _find_named(land: Landscape, wanted: Placement) -> tuple[Seen, str]:
    """Return the folder that the request names, and the path of what is missing below it.

    A folder that is to be made and whose path does not begin at the root
    is below the datacenter's VM folder.
    """
    top, around = f"{land.path}/vm", land.around
    folders = {
        moid: seen
        for moid, seen in land.kind("Folder").items()
        if f"{build_path(seen, around)}/".startswith(f"{top}/")
    }
    try:
        return choose("folder", wanted.folder, folders, around), ""
    except NotFoundError:
        if not wanted.create_folder or _ID.fullmatch(wanted.folder):
            raise
    return _descend(_levels(wanted.folder, top), top, folders, around)


def _levels(ref: str, top: str) -> list[str]:
    path = ref.rstrip("/")
    for start in (f"{top}/", f"{top}/".removeprefix("/"), "vm/", "./"):
        if path.startswith(start):
            path = path.removeprefix(start)
            break
    else:
        if path.startswith("/"):
            raise InputError(
                f"the folder {ref!r} cannot be made: it is not below {top}",
                hint=f"VMs are below {top}; ``placement.datacenter`` names another datacenter",
            )
    levels = path.split("/")
    for level in levels:
        if is_step(level) or len(unescape(level)) > LONGEST_NAME or find_unseen(level):
            raise InputError(
                f"the folder {ref!r} cannot be made: {level!r} is not a valid folder name",
                hint=f"a name has 1 to {LONGEST_NAME} characters that can be seen; "
                "a slash in it is written %2f",
            )
    return levels


def _descend(
    levels: list[str], top: str, folders: Mapping[str, Seen], around: Mapping[str, Seen]
) -> tuple[Seen, str]:
    here = next(seen for seen in folders.values() if build_path(seen, around) == top)
    for number, level in enumerate(levels):
        below = [
            seen
            for seen in folders.values()
            if seen.id_at("parent") == here.id
            and unescape(str(seen.get("name"))).casefold() == unescape(level).casefold()
        ]
        if not below:
            return here, "/".join(levels[number:])
        here = below[0]
    return here, ""


def create_folder(session: Session, above: FolderId, path: str) -> FolderId:
    """Create a folder level by level; a level that another run creates meanwhile is used.

    vCenter escapes special characters by itself [fact: vs-names].
    """
    here = str(above)
    for level in path.split("/"):
        name = unescape(level)
        native = session.managed("Folder", here)
        try:
            made = session.call(f"make the folder {name!r}", native.CreateFolder, name)
        except DuplicateNameError as error:
            index = session.content.searchIndex
            made = session.read(f"find {name!r}", index.FindChild, native, name)
            if made is None or kind_of(made) != "Folder":
                raise InputError(
                    f"the folder {name!r} cannot be made: something else has that name",
                    details=error.details,
                    hint="choose another ``placement.folder``",
                ) from error
        here = moid_of(made)
    return FolderId(here)
