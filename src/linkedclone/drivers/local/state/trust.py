"""Whose a state folder is, and who else could write to it: looked at before anything in it counts.

Records, links and notes decide what is read and removed, and disks hold the
guests' secrets. So all has to belong to the user who runs this, and no other user
may be able to replace any of it: neither in the folder, nor a folder on the way.
What is ours and open to others is closed; all else is refused.
"""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local.state.folder import MOVED_FROM, MOVING, SSH_CONFIG, VMS
from linkedclone.errors import PermissionDeniedError

_FOLDERS = ("names", "uuids", VMS, "staging", "downloads", "aside")
_FILES = ("id", "lock", "images.lock", MOVING, MOVED_FROM, SSH_CONFIG, "id_ed25519")
_ALSO_THERE = ("id_ed25519.pub", "id_ed25519.lock", "starting", "lost+found", ".DS_Store")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NOBODY = 65534
"""Who files belong to whose owner has no number in a user namespace."""

Fault = tuple[str, str]
"""What is wrong, and what to do about it."""


def secure_state(root: Path) -> tuple[str, ...]:
    """Make sure that a state folder is its user's alone; return what was changed, as sentences."""
    fault = find_untrusted(root)
    if fault is not None:
        raise PermissionDeniedError(fault[0], hint=fault[1], kind="owner")
    return _close(root) if root.is_dir() else ()


def find_untrusted(root: Path) -> Fault | None:
    """Return the first thing about a state folder that cannot be trusted; None for nothing."""
    plain, real = Path(os.path.abspath(root)), Path(os.path.realpath(root))  # noqa: PTH100
    way = dict.fromkeys((*reversed(plain.parents), *reversed(real.parents)))
    for folder in way:
        fault = _judge_way(folder, root) if folder.exists() else None
        if fault is not None:
            return fault
    return _judge_content(root) if root.is_dir() else None


def _judge_way(folder: Path, root: Path) -> Fault | None:
    """Look at a folder on the way: a user who can write to it can replace ours."""
    seen, quoted = folder.stat(), shlex.quote(str(folder))
    sudo = "" if os.geteuid() in {0, seen.st_uid} else "sudo "
    if not _is_trusted(seen.st_uid):
        text = f"{folder} belongs to {user_name(seen.st_uid)}, who could replace {root}"
        return text, "use another folder: ``endpoint`` local:/path"
    if seen.st_mode & stat.S_ISVTX:
        return None
    if seen.st_mode & stat.S_IWOTH:
        text = f"{folder} can be written to by everyone, who could replace {root}"
        return text, f"{sudo}chmod o-w {quoted}"
    if seen.st_mode & stat.S_IWGRP and not _is_own_group(seen.st_gid):
        text = f"{folder} can be written to by a group, which could replace {root}"
        return text, f"{sudo}chmod g-w {quoted}"
    return None


def _judge_content(root: Path) -> Fault | None:
    seen = root.stat()
    if seen.st_uid != os.geteuid():
        return _tell_owner(root, root, seen.st_uid)
    parts = [root / name for name in (*_FOLDERS, *_FILES)]
    if any(path.stat().st_mode & _OTHERS_WRITE for path in (root, *parts) if path.is_dir()):
        parts += _list_written(root)
    for path in parts:
        for look in (path.lstat, path.stat) if path.exists() else ():
            if look().st_uid != os.geteuid():
                return _tell_owner(root, path, look().st_uid)
    return None


def _list_written(root: Path) -> Iterator[Path]:
    """List what others could have put into folders that were open to them."""
    for name in ("names", "uuids", VMS, "staging"):
        if (root / name).is_dir():
            for path in (root / name).iterdir():
                yield path
                if path.is_dir() and not path.is_symlink():
                    yield from path.iterdir()


def _tell_owner(root: Path, path: Path, uid: int) -> Fault:
    owner, quoted = user_name(uid), shlex.quote(str(root))
    text = f"{path} belongs to {owner}, and this runs as {user_name(os.geteuid())}"
    if os.geteuid() == 0:
        endpoint = f"local:{root}"
        return text, f"sudo -H -u {owner} ``list`` ``endpoint`` {shlex.quote(endpoint)}"
    # Sealed layers that root made are immutable, and cannot be given away so.
    mine = user_name(os.geteuid())
    return text, f"sudo chattr -R -f -i {quoted}; sudo chown -R {mine} {quoted}"


def _close(root: Path) -> tuple[str, ...]:
    """Close to others what is ours; a folder that holds more than ours is left as it is."""
    ours = {*_FOLDERS, *_FILES, *_ALSO_THERE}
    folders = [root / name for name in _FOLDERS]
    if not root.stat().st_mode & stat.S_ISVTX and ours.issuperset(_list_names(root)):
        folders.insert(0, root)
    folders += _list_own_folders(root / VMS)
    closed = [path for path in folders if path.is_dir() and path.stat().st_mode & _OTHERS]
    for path in closed:
        _close_folder(path, hidden=not root.stat().st_mode & _OTHERS)
    told = root in closed and (root / "id").exists()
    return (f"{root} was open to others, and is its user's alone from now on",) if told else ()


def _close_folder(folder: Path, *, hidden: bool) -> None:
    """Close a folder; one that is hidden in a closed one stays where nothing can be written."""
    try:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~_OTHERS)
    except OSError as error:
        if not hidden or error.errno != errno.EROFS:
            raise


def _list_own_folders(folder: Path) -> Iterator[Path]:
    """List folders of VMs, and nothing that a link leads to or another user owns."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.geteuid():
                yield Path(entry.path)


def _list_names(root: Path) -> Iterable[str]:
    return (path.name for path in root.iterdir() if not path.name.endswith(".tmp"))


def _is_trusted(uid: int) -> bool:
    return uid in {0, os.geteuid()} or (uid == _NOBODY and _is_in_user_namespace())


def _is_in_user_namespace() -> bool:
    try:
        return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _is_own_group(gid: int) -> bool:
    """Say whether only this user and root are in a group, as in a user's private one."""
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return gid == os.getegid()
    alone = gid in {0, os.getegid()} or bool(members)
    return alone and members <= {"root", user_name(os.geteuid())}


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
