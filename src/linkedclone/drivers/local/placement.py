"""Where clones go, which is one place for all, and which networks they may be put on.

Whether QEMU may put a card on a bridge of this host is asked before anything is
started. QEMU lets a helper do it, which needs root's rights and decides by an access
list (QEMU: qemu-bridge-helper.c). What it says itself when one of the two is
missing does not tell which.
"""

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.guest.seed import check_customization
from linkedclone.drivers.local.inventory.vm import FOLDER_PATH
from linkedclone.drivers.local.machine.firmware import find_firmware
from linkedclone.drivers.local.state.folder import STORE_NAME, StateFolder
from linkedclone.drivers.qemu.hardware import UEFI, MachineRecord
from linkedclone.drivers.qemu.networks import NetworkKind, parse_network
from linkedclone.errors import NotFoundError, RefusedError
from linkedclone.model.request import CloneRequest, Network, Nic, Target
from linkedclone.model.values.ids import FolderId

FOLDER = FolderId("vm")
_ONE_PLACE = "leave it out: local: has one place for all"
_HELPER = "qemu-bridge-helper"


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgePlaces:
    """Where to look."""

    # Folders that QEMU's helper may be in.
    helpers: tuple[Path, ...] = (Path("/usr/lib/qemu"), Path("/usr/libexec"))
    access: Path = Path("/etc/qemu/bridge.conf")  # the helper's access list
    # The folder that the kernel shows network interfaces in.
    interfaces: Path = Path("/sys/class/net")


def check_bridges(machine: MachineRecord) -> None:
    for card in machine.cards:
        network = parse_network(card.network)
        if network.kind is NetworkKind.BRIDGE:
            check_bridge(network.name)


def check_bridge(name: str, places: BridgePlaces | None = None) -> None:
    places = places or BridgePlaces()
    if not (places.interfaces / name / "bridge").exists():
        there = sorted(path.parent.name for path in places.interfaces.glob("*/bridge"))
        hint = f"there are: {', '.join(there)}" if there else "this host has none"
        raise NotFoundError(f"there is no bridge {name!r} on this host", hint=hint)
    _check_helper(places)
    _check_access(name, places.access)


def _check_helper(places: BridgePlaces) -> None:
    path = shutil.which(_HELPER, path=os.pathsep.join(map(str, places.helpers)))
    if path is None:
        raise RefusedError(
            f"QEMU's {_HELPER} is missing",
            details=f"it is neither in {' nor in '.join(map(str, places.helpers))}",
            hint="apt-get install qemu-system-common",
        )
    seen = Path(path).stat()
    rooted = seen.st_uid == 0 and seen.st_mode & stat.S_ISUID
    if not (rooted or os.geteuid() == 0 or "security.capability" in os.listxattr(path)):
        raise RefusedError(
            f"{path} may not touch bridges: it does not run as root",
            hint=f"sudo chmod u+s {path}",
        )


def _check_access(name: str, path: Path) -> None:
    try:
        allowed = is_allowed(name, path)
    except PermissionError:
        return  # only root may read it, and so the helper may
    except OSError as error:
        raise RefusedError(
            f"no user may use the bridge {name}: {path} cannot be read",
            details=str(error),
            hint=_allow(name, path),
        ) from error
    if not allowed:
        raise RefusedError(f"{path} does not allow the bridge {name}", hint=_allow(name, path))


def _allow(name: str, path: Path) -> str:
    return f"as root: mkdir -p {path.parent} && echo 'allow {name}' >> {path}"


def is_allowed(name: str, path: Path) -> bool:
    """Read an access list, with those that it includes: a refusal beats a permission."""
    rules = _read_rules(path, depth=8)
    return (
        ("deny", name) not in rules
        and ("deny", "all") not in rules
        and (("allow", name) in rules or ("allow", "all") in rules)
    )


def _read_rules(path: Path, *, depth: int) -> set[tuple[str, str]]:
    rules: set[tuple[str, str]] = set()
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if len(words) != 2:
            continue
        verb, argument = words
        if verb == "include" and depth:
            rules |= _read_rules(Path(argument), depth=depth - 1)
        rules.add((verb, argument))
    return rules


def find_target(state: StateFolder, request: CloneRequest) -> Target:
    """Return where clones go: there is one place only."""
    check_customization(request.customization)
    placement = request.placement
    wanted = (
        ("folder", placement.folder, {FOLDER, FOLDER_PATH}),
        ("datastore", placement.datastore, {STORE_NAME, state.store}),
        ("resource pool", placement.resource_pool, set[str]()),
        ("customization specification", request.customization_spec, set[str]()),
    )
    for what, name, known in wanted:
        if name and name not in known:
            raise NotFoundError(f"there is no {what} {name!r}", hint=_ONE_PLACE)
    if request.hardware.firmware == UEFI:
        find_firmware()
    return Target(
        folder=FOLDER,
        folder_path=FOLDER_PATH,
        datastore=state.store,
        datastore_name=STORE_NAME,
        networks=_find_networks(request.hardware.nics),
    )


def _find_networks(nics: Sequence[Nic]) -> tuple[Network, ...]:
    wanted = dict.fromkeys(nic.network for nic in nics if nic.action != "remove")
    found = []
    for text in wanted:
        network = parse_network(text)
        if network.kind is NetworkKind.BRIDGE:
            check_bridge(network.name)
        found.append(Network(wanted=text, id=str(network), name=str(network)))
    return tuple(found)
