"""What linked clones need of this machine, for ``doctor``: one function for each check."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.seals import check_seal, is_sealed
from linkedclone.drivers.local.staging import list_dead
from linkedclone.drivers.local.survey import take_survey
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.sizes import render_size

_LITTLE_SPACE_BYTES = 2 << 30

Check = Callable[[StateFolder], Finding]


def diagnose(state: StateFolder) -> tuple[Finding, ...]:
    """Carry out all checks; none of them changes anything."""
    return tuple(check(state) for check in CHECKS)


def check_tools(_state: StateFolder) -> Finding:
    """Look for the programs that are run."""
    wanted = {
        "qemu-img": "qemu-utils",
        "qemu-system-x86_64": "qemu-system-x86",
        "ssh-keygen": "openssh-client",
    }
    missing = [tool for tool in wanted if shutil.which(tool) is None]
    if not missing:
        return Finding(check="programs", verdict=Verdict.OK, text=", ".join(wanted) + " are there")
    return Finding(
        check="programs",
        verdict=Verdict.FAILED,
        text="not installed: " + ", ".join(missing),
        remedy="apt-get install " + " ".join(wanted[tool] for tool in missing),
    )


def check_permissions(state: StateFolder) -> Finding:
    """Look at every folder on the way to the state: one closed one is enough to fail."""
    for folder in (*reversed(state.root.parents), state.root):
        if not os.access(folder, os.X_OK):
            return _closed(folder, "x")
    for folder in (state.root, state.names, state.uuids, state.vms, state.staging):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return _closed(folder, "rwx")
    return Finding(
        check="permissions", verdict=Verdict.OK, text=f"{state.root} can be read and written"
    )


def _closed(folder: Path, needed: str) -> Finding:
    return Finding(
        check="permissions",
        verdict=Verdict.FAILED,
        text=f"{folder} is closed to user id {os.getuid()}",
        remedy=f"chmod a+x {folder}" if needed == "x" else f"chown {os.getuid()} {folder}",
    )


def check_space(state: StateFolder) -> Finding:
    """Look at the space that is left."""
    free = shutil.disk_usage(state.root).free
    little = free < _LITTLE_SPACE_BYTES
    return Finding(
        check="disk space",
        verdict=Verdict.WARNING if little else Verdict.OK,
        text=f"{render_size(free)} are free in {state.root}",
        remedy="free some space: guests pause when their disks cannot grow" if little else "",
    )


def check_leftovers(state: StateFolder) -> Finding:
    """Look for rests of commands that were killed."""
    dead = list_dead(state)
    if not dead:
        return Finding(check="leftovers", verdict=Verdict.OK, text="no command was killed midway")
    return Finding(
        check="leftovers",
        verdict=Verdict.WARNING,
        text=f"{len(dead)} commands were killed midway",
        remedy="linkedclone list",
    )


def check_families(state: StateFolder) -> Finding:
    """Look at all VMs and all layers: whether they can be read, and are what was sealed."""
    survey = take_survey(state)
    faults = list(survey.doubts)
    layers = {file.path for chain in survey.chains.values() for file in chain if not file.missing}
    for layer in sorted(layers):
        if is_sealed(layer):
            try:
                check_seal(state, layer)
            except LinkedCloneError as error:
                faults.append(str(error))
    if not faults:
        text = f"{len(survey.stored.vms)} VMs, {len(layers)} layers, all sound"
        return Finding(check="layers", verdict=Verdict.OK, text=text)
    return Finding(
        check="layers",
        verdict=Verdict.FAILED,
        text="; ".join(faults),
        remedy="put the files back in their places",
    )


CHECKS: tuple[Check, ...] = (
    check_tools,
    check_permissions,
    check_space,
    check_leftovers,
    check_families,
)
