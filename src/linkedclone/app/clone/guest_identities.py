"""What a customization adds to the main job: checks, and addresses that stay single."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from linkedclone.config.customization_file import settle_customization
from linkedclone.config.guest_passwords import find_secrets
from linkedclone.errors import InputError
from linkedclone.guest.host_names import check_host_names
from linkedclone.model.report import CloneResult, Failure, Stage, Status
from linkedclone.model.request import CloneRequest
from linkedclone.model.vm import Vm
from linkedclone.planning.clone.ip_addresses import Clash, find_clashes


def settle(request: CloneRequest) -> CloneRequest:
    """Check the customization of a request, and complete it: texts of files, secrets.

    What the command line has done already is not done again. Files are
    relative to the working folder here, and there is no prompt.

    Raises:
        InputError: Something is wrong with it, a name makes no host name, or a
            password is missing.
    """
    if request.customization is None:
        return request
    here = Path.cwd()
    customization = settle_customization(request.customization, here)
    stored = customization.stored
    if request.customization_spec and stored and request.customization_spec != stored:
        raise InputError(
            f"the stored specification is {request.customization_spec!r} on the command line "
            f"and {stored!r} in the customization",
            hint="leave one of the two out",
        )
    check_host_names(customization, [request.called(name) for name in request.names])
    return replace(
        request,
        customization=customization,
        customization_spec=request.customization_spec or stored,
        secrets=find_secrets(customization, folder=here, environ=os.environ, known=request.secrets),
    )


def tell_clashes(
    results: Mapping[str, CloneResult], vms: Sequence[Vm]
) -> tuple[dict[str, CloneResult], tuple[str, ...]]:
    """Fail the clones whose address another VM has, too, and that have to give way.

    They are kept: nothing is lost, and what the guest did with the address can
    be looked at.

    Args:
        results: What became of each clone.
        vms: All VMs, read after the last clone was made.

    Returns:
        The results that change, and notes about clashes that others give way in.
    """
    here = {result.id: key for key, result in results.items() if result.id}
    clones = [vm for vm in vms if vm.id in here]
    changed: dict[str, CloneResult] = {}
    notes: list[str] = []
    for clash in find_clashes(clones, vms):
        key = here[clash.clone.id]
        if not clash.loses:
            if clash.other.id not in here:
                notes.append(f"{_describe(clash)}; change one of the two")
        elif results[key].error is None:
            changed[key] = replace(results[key], status=Status.FAILED, error=_clash_failure(clash))
    return changed, tuple(notes)


def _describe(clash: Clash) -> str:
    other = clash.other.path or clash.other.name
    return f"{clash.clone.name} was given {clash.address}, and {other} has it, too"


def _clash_failure(clash: Clash) -> Failure:
    name = clash.clone.name
    return Failure(
        stage=Stage.CUSTOMIZE,
        brief=_describe(clash),
        hint="it was kept; another command gave the address out at the same time, so delete it "
        f"and run this again: ``delete`` {name}",
    )
