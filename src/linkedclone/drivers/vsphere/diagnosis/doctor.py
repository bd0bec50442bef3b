"""What ``doctor`` finds at a vSphere endpoint."""

from collections.abc import Callable, Iterable

from linkedclone.config.endpoint import Tls
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.diagnosis.privileges import BY_USE, REQUIRED, every_privilege
from linkedclone.drivers.vsphere.property.datacenters import Datacenters
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding, Verdict

Look = Callable[[], Iterable[Finding]]
"""Looks at something that may cost calls."""


def diagnose(
    session: Session, datacenters: Datacenters, product: Look, reach: Look
) -> tuple[Finding, ...]:
    """Check what linked clones need here: one call, and those of the looks.

    ``product`` is about what the endpoint is, ``reach`` about its datastores.
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
        *_find("host", product),
        Finding(
            check="version",
            verdict=Verdict.OK,
            text=f"{about.fullName}, API {about.apiVersion}",
        ),
        *_find_privileges(session, datacenters),
        *_find("datastores", reach),
    )


def find_tls(tls: Tls) -> Finding:
    """Say how the certificate is checked."""
    if tls.insecure:
        return Finding(
            check="certificate",
            verdict=Verdict.WARNING,
            text="not checked: anyone between could read the password",
            remedy="pin the certificate: ``endpoints add`` NAME URL",
        )
    if tls.pinned_pem or tls.pinned_sha256:
        text = "is the pinned one"
    elif tls.ca_file:
        text = f"verified with {tls.ca_file}"
    else:
        text = "verified with the system's authorities"
    return Finding(check="certificate", verdict=Verdict.OK, text=text)


def find_vcenter() -> tuple[Finding, ...]:
    """Say that the endpoint is a vCenter."""
    return (Finding(check="vCenter", verdict=Verdict.OK, text="it is one"),)


def _find_privileges(session: Session, datacenters: Datacenters) -> tuple[Finding, ...]:
    try:
        missing, where = _missing_privileges(session, datacenters)
    except LinkedCloneError as error:
        return (_warn("privileges", error),)
    return (_find_required(missing, where), _find_optional(missing, where))


def _find(check: str, look: Look) -> tuple[Finding, ...]:
    try:
        return tuple(look())
    except LinkedCloneError as error:
        return (_warn(check, error),)


def _warn(check: str, error: LinkedCloneError) -> Finding:
    return Finding(check=check, verdict=Verdict.WARNING, text=str(error), remedy=error.hint)


def _find_required(missing: frozenset[str], where: str) -> Finding:
    lacking = [privilege for privilege in REQUIRED if privilege in missing]
    if not lacking:
        text = f"all {len(REQUIRED)} that linked clones take are held at {where}"
        return Finding(check="privileges", verdict=Verdict.OK, text=text)
    return Finding(
        check="privileges",
        verdict=Verdict.WARNING,
        text=f"missing at {where}: {', '.join(lacking)}",
        remedy="give them to the user there, or on the very folder, pool, datastore and "
        "network that the clones use",
    )


def _find_optional(missing: frozenset[str], where: str) -> Finding:
    check = "privileges of options"
    lacking = {use: [one for one in some if one in missing] for use, some in BY_USE.items()}
    listed = [f"{use}: {', '.join(some)}" for use, some in lacking.items() if some]
    if not listed:
        return Finding(check=check, verdict=Verdict.OK, text=f"all are held at {where}")
    return Finding(
        check=check,
        verdict=Verdict.WARNING,
        text="\n".join([f"missing at {where} for", *listed]),
        remedy="give them to the user, if these are to be used",
    )


def _missing_privileges(session: Session, datacenters: Datacenters) -> tuple[frozenset[str], str]:
    start = datacenters.start()
    manager = session.content.authorizationManager
    answers = session.read(
        "read the user's privileges",
        manager.HasPrivilegeOnEntities,
        [start],
        session.user.key,
        list(every_privilege()),
    )
    held = {item.privId for one in answers for item in one.privAvailability if item.isGranted}
    where = session.endpoint.datacenter or "the root of the inventory"
    return frozenset(every_privilege()) - held, where
