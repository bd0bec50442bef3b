"""What ``doctor`` finds at a vSphere endpoint."""

from __future__ import annotations

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


def diagnose(session: Session, datacenters: Datacenters) -> tuple[Finding, ...]:
    """Check what linked clones need of this endpoint. Two or three calls."""
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
        _find_privileges(session, datacenters),
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


def _find_privileges(session: Session, datacenters: Datacenters) -> Finding:
    try:
        missing, where = _missing_privileges(session, datacenters)
    except LinkedCloneError as error:
        return Finding(
            check="privileges", verdict=Verdict.WARNING, text=str(error), remedy=error.hint
        )
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


def _missing_privileges(session: Session, datacenters: Datacenters) -> tuple[list[str], str]:
    start = datacenters.start()
    manager = session.content.authorizationManager
    answers = session.read(
        "read the user's privileges",
        manager.HasPrivilegeOnEntities,
        [start],
        session.user.key,
        list(PRIVILEGES),
    )
    held = {item.privId for one in answers for item in one.privAvailability if item.isGranted}
    where = session.endpoint.datacenter or "the root of the inventory"
    return [privilege for privilege in PRIVILEGES if privilege not in held], where
