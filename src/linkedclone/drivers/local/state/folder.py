"""The state folder: everything that ``local:`` knows, and nothing outside it.

::

    id                        a UUID: what the endpoint is, wherever the folder is moved;
                              never made anew where there are VMs
    lock                      the family lock
    names/KEY                 symbolic link to ../vms/ID: the VM exists while this link does
    uuids/UUID                symbolic link to the same: who took a UUID
    vms/ID/                   one VM's own files; ID is KEY and a random tag
        keys                  of a renamed VM: under which KEY to look for it
        vm.json               what disks cannot say: name, UUID, mark, hardware, snapshots
        lock                  the VM's lock
        disk-TAG.qcow2        a layer: the one that is written to, or a sealed one
        disk-TAG.qcow2.seal   the fingerprint of a sealed layer
        ram-TAG, state-TAG    the memory that a snapshot kept, and the devices' state; with seals
        *                     whatever was put there by hand; never touched, see ``foreign_files``
        seed.iso, kernel, initrd, uefi-variables.fd, run/    what the machine needs
        ssh_config            what plain ``ssh NAME`` needs; see ``ssh``
    staging/TAG.ACTION.KEY/   a command at work; its lock is held for as long as it lives
    moving, moved-from        notes of a move that is under way, see ``moving``
    downloads/                images that were fetched in part, see ``downloading``
    id_ed25519, …pub          the SSH key that the guests let in

**Names.** KEY is the name folded to lower case, with all but letters, digits,
``.``, ``_`` and ``-`` of ASCII escaped. Making the link is what makes the VM,
removing it is what deletes the VM; both are atomic, and the link cannot be made
twice. Renaming a VM moves its link; its ID stays, for the chains name it.
A folder in ``vms`` without a link and without a ``vm.json`` is the rest of a
deleted VM: layers that other VMs still read, until the last of those goes. One
with a ``vm.json`` and without a link is an **unlinked VM**: a copy that lost its
links, or a copy that a person made. It is kept as it is, see ``unlinked``.

**Lineage** is in the qcow2 headers alone. Every backing path is written as
``../../vms/ID/FILE``, so the folder can be moved as a whole. Sealing a layer
never moves or renames it.

**Locks**, taken in this order: a VM's (exclusive to change it, shared to clone
from it), then the family lock. A command with files that no ``vm.json`` names yet,
or checks a layer to use it, holds the family lock shared until they are named;
a command that removes layers holds it exclusive, and only then looks for their readers. So
a layer cannot vanish between check and use.

**Crashes.** A command that changes anything has an entry in ``staging`` while it
works, and registers there what it makes and what it takes away. A killed one
leaves its entry without a holder. The next command finds it, and removes of what
is registered what nothing reaches. What no entry names is never removed unasked.

**Files of other programs** (``.DS_Store``, ``lost+found``, copies) may be in any
of these folders. They are passed over, and never removed.
"""

import errno
import hashlib
import os
import re
import secrets
import shlex
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linkedclone.errors import HypervisorError, InputError, PermissionDeniedError
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.system.atomic_files import publish_file, whole_file
from linkedclone.system.private_files import PRIVATE_FOLDER
from linkedclone.system.reading import open_regular, refuse_file

STORE_NAME = "local"
VMS = "vms"
MOVING = "moving"
MOVED_FROM = "moved-from"
KEYS_FILE = "keys"
RECORD = "vm.json"
SSH_CONFIG = "ssh_config"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_KEY = 120
_NO_KEY = "%"
"""The key of ids that are none of ours; no name has it."""
_MEMORY_NAME = re.compile(r"(?:ram|state)-[0-9a-f]{8}")
_DISK_NAME = re.compile(r"disk-[0-9a-f]{8}\.(qcow2|raw|vmdk)")
_VM_ID = re.compile(r"[a-z0-9_%-][a-z0-9._%-]*\.[0-9a-f]{8}")
_LARGEST_NOTE_BYTES = 16 << 20
"""More than any file has that is not a disk, and that we write and read whole."""
_NOT_A_LINK = {errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFolder:
    """An opened state folder."""

    root: Path
    store: StoreId
    durable: bool = True  # whether what is done outlives a power failure
    immutable: bool = True  # whether sealed layers get the immutable flag where permitted

    @property
    def names(self) -> Path:
        return self.root / "names"

    @property
    def uuids(self) -> Path:
        """The folder of links that say who took which UUID; a stale one counts for nothing."""
        return self.root / "uuids"

    @property
    def vms(self) -> Path:
        return self.root / VMS

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def downloads(self) -> Path:
        """The folder of images that are being fetched, or were in part; made when needed."""
        return self.root / "downloads"

    @property
    def images_lock(self) -> Path:
        """The lock for naming images."""
        return self.root / "images.lock"

    @property
    def family_lock(self) -> Path:
        """The lock between using layers and removing them."""
        return self.root / "lock"

    def folder(self, vm: VmId) -> Path:
        return self.vms / vm

    def birth_link(self, vm: VmId) -> Path:
        """Return the link that makes the VM exist under its first name."""
        key = vm.rpartition(".")[0]
        return self.names / (key if is_key(key) else _NO_KEY)

    def key(self, vm: VmId) -> str | None:
        """Return the key under which the VM exists; None if it does not exist.

        One read of a link, unless the VM was renamed.
        """
        born = self.birth_link(vm).name
        if self.holder(born) == vm:
            return born
        return next((key for key in self._list_later_keys(vm) if self.holder(key) == vm), None)

    def link(self, vm: VmId) -> Path:
        """Return the link that makes the VM exist; its first one, if it does not."""
        return self.names / (self.key(vm) or self.birth_link(vm).name)

    def _list_later_keys(self, vm: VmId) -> Iterator[str]:
        """List the possible names of a renamed VM: those in its file, or all if that was lost."""
        yield from self._read_keys(vm)
        folder = self.folder(vm)
        # The folder of a deleted VM whose layers are kept has no record.
        if os.path.lexists(folder / RECORD) or not os.path.lexists(folder):
            with suppress(FileNotFoundError):
                yield from os.listdir(self.names)  # noqa: PTH208 - several times faster

    def keys(self, vm: VmId) -> Path:
        """Return the file that names the possible keys of a renamed VM."""
        return self.folder(vm) / KEYS_FILE

    def _read_keys(self, vm: VmId) -> tuple[str, ...]:
        try:
            lines = read_note(self.keys(vm)).decode(errors="replace").split()
        except (OSError, HypervisorError):
            return ()
        return tuple(filter(is_key, lines))

    def exists(self, vm: VmId) -> bool:
        return self.key(vm) is not None

    def holder(self, key: str) -> VmId | None:
        """Return the VM that a key's link points to; None if there is no link of ours."""
        return read_vm_link(self.names / key)

    def find(self, key: str) -> VmId | None:
        """Return the VM that exists under this key; None if there is none.

        A second link to a VM, as a person may have made one, is not a name of it: what
        was done to that name would be done to the VM.
        """
        vm = self.holder(key)
        own = vm is not None and (self.birth_link(vm).name == key or self.key(vm) == key)
        return vm if own else None

    def list_vms(self) -> tuple[VmId, ...]:
        """Return all VMs that exist, by key."""
        try:
            keys = sorted(os.listdir(self.names))  # noqa: PTH208 - several times faster
        except FileNotFoundError:  # a copy without empty folders
            return ()
        found = (self.find(key) for key in keys if is_key(key))
        return tuple(vm for vm in found if vm is not None)

    def relative(self, path: Path) -> str:
        """Return a path as seen from the root; one outside stays absolute."""
        text, prefix = str(path), f"{self.root}/"
        return text.removeprefix(prefix)


def read_vm_link(link: Path) -> VmId | None:
    """Return the VM that a link points to; None if there is no link of ours."""
    try:
        target = os.readlink(link)  # noqa: PTH115 - several times faster
    except OSError as error:
        if error.errno in _NOT_A_LINK:
            return None
        raise
    return parse_vm_link(target)


def parse_vm_link(target: str) -> VmId | None:
    """Return the VM that a link's target names; None if we make no such links. Pure."""
    above, _, name = target.rpartition("/")
    return VmId(name) if above == f"../{VMS}" and name not in {"", ".", ".."} else None


def make_vm_link(link: Path, vm: VmId) -> None:
    os.symlink(f"../{VMS}/{vm}", link)  # noqa: PTH211 - several times faster


def open_state(root: Path, *, durable: bool = True, immutable: bool = True) -> StateFolder:
    """Open a state folder, or make it, for its user alone: disks hold the guests' secrets."""
    root = Path(os.path.abspath(root))  # noqa: PTH100 - links in the user's path stay as they are
    check_path(root)
    if root.is_symlink() and not root.exists():
        raise HypervisorError(
            f"{root} is a link to {os.path.realpath(root)}, where nothing is",
            hint=f"if the state folder was moved, change the link: ln -sfn NEW_PATH {root}",
            kind="ENOENT",
        )
    try:
        root.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    except PermissionError as error:
        brief, hint = f"{root} cannot be made", "use another folder: ``endpoint`` local:/path"
        raise PermissionDeniedError(brief, details=str(error), hint=hint, kind="EACCES") from error
    _make_id(root)
    store = _read_store(root)
    state = StateFolder(root=root, store=store, durable=durable, immutable=immutable)
    for folder in (state.names, state.uuids, state.vms, state.staging):
        _make_folder(folder)
    return state


def check_path(root: Path) -> None:
    """Refuse a path that other programs could not be told."""
    if not _is_utf8(root):
        raise InputError(
            f"{root} is not a path in UTF-8, and QEMU's programs take no other for a disk",
            hint="use another folder: ``endpoint`` local:/path",
        )
    if set(str(root)) & set("\r\n"):
        raise InputError(
            f"{root} has a line break, and the configurations of ssh and systemd take none",
            hint="use another folder: ``endpoint`` local:/path",
        )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    except FileExistsError as error:  # and it is not a folder
        number = errno.ENOTDIR
        raise NotADirectoryError(number, os.strerror(number), str(folder)) from error


def find_state(root: Path) -> StateFolder | None:
    """Return a state folder to look at; None if there is none yet. Makes nothing."""
    root = Path(os.path.abspath(root))  # noqa: PTH100 - as above
    try:
        store = _read_store(root)
    except FileNotFoundError:
        _refuse_lost_id(root)
        return None
    state = StateFolder(root=root, store=store)
    return state if state.vms.is_dir() else None


def read_note(path: Path, *, longest: int = _LARGEST_NOTE_BYTES) -> bytes:
    """Read a small file of ours whole; a longer one than such a file can be is refused."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > longest:
            raise refuse_file(path, "it is too long")
        return file.read(longest)


def _read_store(root: Path) -> StoreId:
    text = read_note(root / "id").decode(errors="replace").strip()
    try:
        return StoreId(str(uuid.UUID(text)))
    except ValueError as error:
        raise HypervisorError(
            f"{root / 'id'} does not hold a UUID",
            details=repr(text[:80]),
            hint="restore that file from a backup: the UUIDs of all clones are made from it",
            kind="id",
        ) from error


def _make_id(root: Path) -> None:
    """Make the id of a state folder that has none, unless VMs say that it had one."""
    path = root / "id"
    if os.path.lexists(path):
        return
    _refuse_lost_id(root)
    made = whole_file(f"{uuid.uuid4()}\n".encode())
    with suppress(FileExistsError):  # another command was quicker: its id counts
        publish_file(path, made, durable=True)


def _refuse_lost_id(root: Path) -> None:
    """Refuse to take a folder for a new one that has VMs and no id."""
    path, folders = root / "id", (root / "names", root / VMS)
    left = [name for folder in folders if folder.is_dir() for name in sorted(os.listdir(folder))]  # noqa: PTH208 - names are wanted
    if any(is_key(name) for name in left) and not os.path.lexists(path):
        backup = f"restore that file from a backup, or from where {root} was copied from"
        anew = f"cat /proc/sys/kernel/random/uuid > {shlex.quote(str(path))}"
        raise HypervisorError(
            f"{path} is missing, though there are VMs in {root}",
            details="the UUIDs of all clones are made from it, and tell a repeated command "
            "which clones it made before",
            hint=f"{backup}; if it is lost for good, give the folder another identity: {anew}",
            kind="id",
        )


def key_of(name: str) -> str:
    """Return what a name is filed under; names that differ only in case share it."""
    folded = unicodedata.normalize("NFC", name.casefold())
    plain = "".join(c if c in _PLAIN else _escape(c) for c in folded)
    if plain.startswith("."):
        plain = "%2e" + plain[1:]
    if len(plain) > _LONGEST_KEY:
        digest = hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()[:16]
        plain = f"{plain[:_LONGEST_KEY]}%{digest}"
    return plain


def render_keys(keys: Iterable[str]) -> bytes:
    """Return the content of a VM's file of keys: where its link can be while it is moved."""
    return "".join(f"{key}\n" for key in keys).encode()


def is_key(text: str) -> bool:
    """Say whether it is what a name can be filed under; see :func:`key_of`."""
    return bool(text) and not text.startswith(".") and set(text) <= _PLAIN | {"%"}


def _escape(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogatepass"))


def new_vm_id(name: str) -> VmId:
    """Return an id for a new VM: its key for people, and a tag that never comes again."""
    return VmId(f"{key_of(name)}.{secrets.token_hex(4)}")


def new_disk_name(suffix: str) -> str:
    """Return a name for a new layer that no other layer of any VM has."""
    return f"disk-{secrets.token_hex(4)}.{suffix}"


def is_vm_id(name: str) -> bool:
    """Say whether it is an id as :func:`new_vm_id` gives; a copy by hand has another name."""
    return _VM_ID.fullmatch(name) is not None


def is_disk_name(name: str) -> bool:
    """Say whether it is a name as :func:`new_disk_name` gives; others are foreign."""
    return _DISK_NAME.fullmatch(name) is not None


def new_memory_names() -> tuple[str, str]:
    """Return names for the memory that a snapshot keeps, and for the state of its devices."""
    tag = secrets.token_hex(4)
    return f"ram-{tag}", f"state-{tag}"


def is_memory_name(name: str) -> bool:
    """Say whether it is a name as :func:`new_memory_names` gives."""
    return _MEMORY_NAME.fullmatch(name) is not None


def backing_path(vm: VmId, file_name: str) -> str:
    """Return the path of a layer as it is written into the headers above it."""
    return f"../../{VMS}/{vm}/{file_name}"
