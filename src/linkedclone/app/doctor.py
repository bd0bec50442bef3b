"""Check everything from the configuration file to the privileges at the endpoint."""

import os
from collections.abc import Iterator, Mapping

from linkedclone.app.connect import connect
from linkedclone.config.config_file import ConfigFile
from linkedclone.config.endpoint import Endpoint
from linkedclone.config.passwords import Ask
from linkedclone.config.paths import config_file
from linkedclone.config.resolve_endpoint import resolve_endpoint
from linkedclone.drivers.registry import examine_endpoint
from linkedclone.errors import (
    AuthenticationError,
    CertificateError,
    LinkedCloneError,
)
from linkedclone.model.findings import Diagnosis, Finding, Verdict
from linkedclone.model.inventory import Examination
from linkedclone.planning.vms.family_checks import find_trouble


def diagnose(
    text: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    ask: Ask | None = None,
) -> Diagnosis:
    """Check an endpoint; what goes wrong becomes a finding and is never raised."""
    environ = os.environ if environ is None else environ
    findings = list(_check_file(environ))
    try:
        endpoint = resolve_endpoint(text, environ=environ, ask=ask)
    except LinkedCloneError as error:
        return Diagnosis(endpoint="", findings=(*findings, _failed("endpoint", error)))
    where = f"{endpoint.address} ({endpoint.origin})"
    findings.append(Finding(check="endpoint", verdict=Verdict.OK, text=where))
    examined = examine_endpoint(endpoint)
    findings.extend(_check_connection(endpoint) if examined is None else _tell(examined))
    return Diagnosis(endpoint=endpoint.address, findings=tuple(findings))


def _check_file(environ: Mapping[str, str]) -> Iterator[Finding]:
    path = config_file(environ)
    check = "configuration"
    try:
        file = ConfigFile.load(path)
    except LinkedCloneError as error:
        yield _failed(check, error)
        return
    if not path.exists():
        yield Finding(check=check, verdict=Verdict.OK, text=f"{path} does not exist: none needed")
        return
    count = len(file.settings.endpoints)
    text = f"{path} is in order; endpoints: {count}"
    if path.stat().st_mode & 0o022:
        remedy = f"chmod 600 {path}"
        text = f"{path} can be changed by others"
        yield Finding(check=check, verdict=Verdict.WARNING, text=text, remedy=remedy)
        return
    yield Finding(check=check, verdict=Verdict.OK, text=text)


def _tell(examined: Examination) -> Iterator[Finding]:
    yield from examined.findings
    if examined.inventory is not None:
        yield from find_trouble(examined.inventory)


def _check_connection(endpoint: Endpoint) -> Iterator[Finding]:
    """Connect; name the obstacle if that fails."""
    place = f"{endpoint.host}:{endpoint.port}"
    reachable = Finding(check="connection", verdict=Verdict.OK, text=f"{place} answers")
    trusted = Finding(check="certificate", verdict=Verdict.OK, text="trusted")
    try:
        with connect(endpoint) as connection:
            yield from connection.diagnose()
    except CertificateError as error:
        yield from (reachable, _failed("certificate", error))
    except AuthenticationError as error:
        yield from (reachable, trusted, _failed("login", error))
    except LinkedCloneError as error:
        yield _failed("connection", error)


def _failed(check: str, error: LinkedCloneError) -> Finding:
    return Finding(check=check, verdict=Verdict.FAILED, text=str(error), remedy=error.hint)
