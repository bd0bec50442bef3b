"""What ``doctor`` finds at a vSphere endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from linkedclone.config.endpoint import Tls
from linkedclone.drivers.vsphere.datacenters import Datacenters
from linkedclone.drivers.vsphere.session import Session
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding, Verdict

PRIVILEGES: Final = (
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Provisioning.Customize",
    "VirtualMachine.Provisioning.ReadCustSpecs",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.Annotation",
    "VirtualMachine.Config.Settings",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.State.RevertToSnapshot",
    "Resource.AssignVMToPool",
    "Datastore.AllocateSpace",
    "Network.Assign",
)
"""What making, starting and deleting linked clones takes. None of them is
particular to linked clones (handbook, section 4)."""

FURTHER_PRIVILEGES: Final = {
    "VirtualMachine.Provisioning.PromoteDisks": "promote",
    "VirtualMachine.Inventory.Unregister": "delete --keep-base",
    "VirtualMachine.Config.DiskExtend": "larger disks",
    "Datastore.Browse": "gc and --scan",
    "Datastore.FileManagement": "gc, and to see what stray files hang from",
}
"""What only some commands take, and which (handbook, section 4; for the
datastore's files the text of the privileges themselves)."""


def diagnose(
    session: Session, datacenters: Datacenters, reach: Callable[[], tuple[Finding, ...]]
) -> tuple[Finding, ...]:
    """Check what linked clones need of this endpoint. Two or three calls, and those of ``reach``.

    Args:
        session: The connection.
        datacenters: Its datacenters.
        reach: Looks whether the hosts see the clones' datastores.
    """
    about = session.content.about
    endpoint = session.endpoint
    return (
        Finding(
            check="connection",
            verdict=Verdict.OK,
            text=f"{endpoint.host}:{endpoint.port} answers",
        ),
        find_tls(endpoint.tls),
        Finding(check="login", verdict=Verdict.OK, text=f"as {session.user.userName}"),
        _find_product(session),
        Finding(
            check="version",
            verdict=Verdict.OK,
            text=f"{about.fullName}, API {about.apiVersion}",
        ),
        *_find_privileges(session, datacenters),
        *_find_reach(reach),
    )


def find_tls(tls: Tls) -> Finding:
    """Say how the certificate is checked."""
    if tls.insecure:
        return Finding(
            check="certificate",
            verdict=Verdict.WARNING,
            text="not checked: anybody between could read the password",
            remedy="pin the certificate: linkedclone endpoints add NAME URL",
        )
    if tls.pinned_pem or tls.pinned_sha256:
        text = "is the pinned one"
    elif tls.ca_file:
        text = f"verified with {tls.ca_file}"
    else:
        text = "verified with the system's authorities"
    return Finding(check="certificate", verdict=Verdict.OK, text=text)


def _find_product(session: Session) -> Finding:
    if session.is_vcenter:
        return Finding(check="vCenter", verdict=Verdict.OK, text="it is one")
    return Finding(
        check="vCenter",
        verdict=Verdict.FAILED,
        text="it is an ESXi host without vCenter, which cannot clone",
        remedy="name the vCenter that manages this host as the endpoint",
    )


def _find_reach(reach: Callable[[], tuple[Finding, ...]]) -> tuple[Finding, ...]:
    try:
        return reach()
    except LinkedCloneError as error:
        return (_warn("datastores", error),)


def _warn(check: str, error: LinkedCloneError) -> Finding:
    return Finding(check=check, verdict=Verdict.WARNING, text=str(error), remedy=error.hint)


def _find_privileges(session: Session, datacenters: Datacenters) -> tuple[Finding, ...]:
    try:
        held = _held_privileges(session, datacenters)
    except LinkedCloneError as error:
        return (_warn("privileges", error),)
    where = session.endpoint.datacenter or "the root of the inventory"
    return _judge_privileges(held, where), _judge_further(held, where)


def _judge_privileges(held: frozenset[str], where: str) -> Finding:
    missing = [privilege for privilege in PRIVILEGES if privilege not in held]
    if not missing:
        text = f"all {len(PRIVILEGES)} that linked clones take are held at {where}"
        return Finding(check="privileges", verdict=Verdict.OK, text=text)
    return Finding(
        check="privileges",
        verdict=Verdict.WARNING,
        text=f"missing at {where}: {', '.join(missing)}",
        remedy="give them to the user there, or on the very folder, pool, datastore and "
        "network that the clones use",
    )


def _judge_further(held: frozenset[str], where: str) -> Finding:
    """Say what of the rest is missing; clones can be made and used without."""
    check = "further privileges"
    missing = [
        f"{privilege} ({use})"
        for privilege, use in FURTHER_PRIVILEGES.items()
        if privilege not in held
    ]
    if not missing:
        text = f"all {len(FURTHER_PRIVILEGES)} that other commands take are held at {where}"
        return Finding(check=check, verdict=Verdict.OK, text=text)
    return Finding(
        check=check,
        verdict=Verdict.WARNING,
        text=f"missing at {where}, not needed for cloning: {', '.join(missing)}",
        remedy="give them to the user if those commands are wanted",
    )


def _held_privileges(session: Session, datacenters: Datacenters) -> frozenset[str]:
    answers = session.read(
        "read the user's privileges",
        session.content.authorizationManager.HasPrivilegeOnEntities,
        [datacenters.start()],
        session.user.key,
        [*PRIVILEGES, *FURTHER_PRIVILEGES],
    )
    return frozenset(
        item.privId for one in answers for item in one.privAvailability if item.isGranted
    )
