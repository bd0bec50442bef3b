"""What linked clones need of this machine, for ``doctor``.

Nothing is changed, and the state folder is not opened as commands open it: that
would clean up the leftovers to report, and fail where a person wants
to know why it fails.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.diagnosis import host, state_checks
from linkedclone.drivers.local.diagnosis.memory_checks import check_memory
from linkedclone.drivers.local.inventory.observe import observe_all
from linkedclone.drivers.local.machine.open import OpenMachine, open_machine
from linkedclone.drivers.local.state.folder import StateFolder, find_state
from linkedclone.drivers.local.state.settings import find_root
from linkedclone.drivers.local.state.store import load_all
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.inventory import Examination
from linkedclone.system.reading import explain_odd_file


def examine(endpoint: Endpoint) -> Examination:
    """Look at this machine and the endpoint's state folder, which need not exist."""
    root = find_root(endpoint)
    findings = diagnose(root, open_machine, accel=endpoint.accel)
    state = None if _is_closed(findings) else _find_state(root)
    if state is None:
        return Examination(findings=findings)
    try:
        inventory = observe_all(state, open_machine, sizes=True, guests=False)
    except (LinkedCloneError, OSError) as error:
        failed = Finding(check="inventory", verdict=Verdict.FAILED, text=str(error))
        return Examination(findings=(*findings, failed))
    return Examination(findings=findings, inventory=inventory)


def diagnose(root: Path, machines: OpenMachine, *, accel: str = "") -> tuple[Finding, ...]:
    """Carry out all checks; what goes wrong becomes a finding and is never raised."""
    permissions = _run("permissions", lambda: host.check_permissions(root))
    state = None if _is_closed(permissions) else _find_state(root)
    kernels = _list_kernels(state) if state is not None else ()
    if state is None and permissions and not _is_closed(permissions):
        permissions += _run("state folder", lambda: _tell_state(root))
    findings = (
        *_run("programs", host.check_programs),
        *_run("accelerator", lambda: host.check_accelerator(accel, kernels)),
        *permissions,
        *_run("disk space", lambda: host.check_space(root)),
    )
    return findings if state is None else findings + _look_into(state, machines)


def _is_closed(findings: Iterable[Finding]) -> bool:
    return any(f.check == "permissions" and f.verdict is Verdict.FAILED for f in findings)


def _look_into(state: StateFolder, machines: OpenMachine) -> tuple[Finding, ...]:
    return (
        *_run("links", lambda: state_checks.check_links(state)),
        *_run("leftovers", lambda: state_checks.check_leftovers(state)),
        *_run("machines", lambda: state_checks.check_machines(state, machines)),
        *_run("networks", lambda: state_checks.check_networks(state)),
        *_run("identities", lambda: state_checks.check_identities(state, machines)),
        *_run("layers", lambda: state_checks.check_layers(state)),
        *_run("memory", lambda: check_memory(state)),
        *_run("downloads", lambda: state_checks.check_downloads(state)),
    )


def _run(check: str, work: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    try:
        return tuple(work())
    except LinkedCloneError as error:
        text, remedy = str(error), error.hint
    except OSError as error:
        text, remedy = explain_odd_file(error) or (str(error), "")
    return (Finding(check=check, verdict=Verdict.FAILED, text=text, remedy=remedy),)


def _find_state(root: Path) -> StateFolder | None:
    with suppress(OSError, LinkedCloneError):
        return find_state(root)
    return None


def _tell_state(root: Path) -> Iterable[Finding]:
    """Raise why a state folder cannot be opened; a missing folder is not a finding."""
    find_state(root)
    return ()


def _list_kernels(state: StateFolder) -> tuple[Path, ...]:
    """Return the kernels of the VMs: what KVM is tried with where the host's cannot be read."""
    with suppress(OSError):
        stored = load_all(state).vms
        return tuple(
            vm.folder / vm.record.machine.kernel for vm in stored if vm.record.machine.kernel
        )
    return ()
