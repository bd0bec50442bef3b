"""What ``endpoints`` and ``doctor`` ask and show."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from linkedclone.app.endpoints import (
    check_fingerprint,
    look_at_certificate,
    pin,
    pinned_before,
)
from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import has_terminal, printable, say, shows_on_terminal
from linkedclone.cli.views.tables import GOOD_BAD, Column, render_table
from linkedclone.config.endpoint import Endpoint, Tls
from linkedclone.errors import CertificateError, InputError
from linkedclone.model.access import MOST_PARENTS, EndpointRow, PresentedCertificate, Welcome
from linkedclone.model.findings import Finding
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Identity


def settle_trust(endpoint: Endpoint, *, fingerprint: str | None, ca_file: Path | None) -> Endpoint:
    """Settle how the certificate of a new endpoint is checked; ask a person if need be."""
    if ca_file is not None:
        return replace(endpoint, tls=Tls(ca_file=ca_file))
    if endpoint.tls.insecure:
        say("warning: the certificate is not checked; anyone between could read the password")
        return endpoint
    seen = look_at_certificate(endpoint)
    if fingerprint is not None:
        check_fingerprint(seen, fingerprint)
        return pin(endpoint, seen)
    if seen.trusted:
        return endpoint
    _ask_to_pin(endpoint, seen)
    return pin(endpoint, seen)


def _ask_to_pin(endpoint: Endpoint, seen: PresentedCertificate) -> None:
    facts = _describe_certificate(seen)
    if not has_terminal():
        raise InputError(
            f"the certificate of {endpoint.host} is not signed by a trusted authority",
            details="\n".join(facts),
            hint="if that is the right one, repeat with --fingerprint SHA256; or give --ca-file",
        )
    say(f"{endpoint.host} presents a certificate that no authority of this system has signed:")
    for fact in facts:
        say(f"  {fact}")
    before = pinned_before(endpoint.name)
    if before:
        same = before.strip() == seen.pem.strip()
        say("It is the one pinned so far." if same else "It is NOT the one pinned so far.")
    if not click.confirm("Is that the right fingerprint? Pin this certificate?", err=True):
        brief = f"the certificate of {endpoint.host} was not accepted; nothing was saved"
        raise CertificateError(brief, hint="ask the server's administrator for its fingerprint")


def _describe_certificate(seen: PresentedCertificate) -> list[str]:
    facts = [
        ("subject", seen.subject),
        ("issuer", seen.issuer),
        ("expires", seen.not_after),
        ("SHA-256", seen.fingerprint),
    ]
    return [f"{title:8} {printable(value)}" for title, value in facts if value]


_LONGEST_PASSWORD_BYTES: Final = 1 << 16


def read_stdin_password() -> Secret:
    """Read a password from standard input: its first line."""
    try:
        line = sys.stdin.buffer.readline(_LONGEST_PASSWORD_BYTES) if sys.stdin else b""
    except OSError as error:
        raise InputError("standard input cannot be read", details=str(error)) from error
    password = line.decode(errors="surrogateescape").rstrip("\r\n")
    if not password or len(line) == _LONGEST_PASSWORD_BYTES:
        raise InputError("there is no password on standard input", hint="write it as one line")
    return Secret(password)


_TRUST = {
    "pinned": "certificate pinned",
    "ca": "certificate checked against a CA file",
    "system": "certificate trusted by the system",
    "insecure": "certificate NOT checked",
}
_KEPT = {
    "keyring": "password in the keyring",
    "file": "password in a file that only you can read",
    "ask": "password not stored",
}


def render_welcome(row: EndpointRow, welcome: Welcome) -> str:
    """Write what a person wants to know about an endpoint that was added."""
    identity = welcome.identity
    facts = [_TRUST.get(row.trust, ""), _KEPT.get(row.password, "")]
    how = "; ".join(fact for fact in facts if fact)
    lines = [f"{row.name}: {identity.product} {identity.version} at {row.url}"]
    if how:
        lines.append(how)
    if row.default:
        lines.append("it is the default: no --endpoint needed")
    shown = welcome.parents[:MOST_PARENTS]
    if not shown:
        lines.append("no VM has a snapshot yet; to clone one: --snapshot new")
        return "\n".join(printable(line) for line in lines)
    lines.append("VMs with a snapshot, ready to be cloned:")
    lines += [f"  {path}" for path in shown]
    if len(welcome.parents) > len(shown):
        lines.append(f"  and {len(welcome.parents) - len(shown)} more")
    return "\n".join(printable(line) for line in lines)


def render_endpoints(rows: Sequence[EndpointRow]) -> str:
    """Draw the table of configured endpoints."""
    columns = [
        Column(title="NAME"),
        Column(title="DEFAULT"),
        Column(title="URL"),
        Column(title="CERTIFICATE", from_width=60),
        Column(title="PASSWORD", from_width=60),
    ]
    cells = [
        [row.name, "yes" if row.default else "", row.url, row.trust or "-", row.password or "-"]
        for row in rows
    ]
    return render_table(columns, cells)


def render_identity(address: str, identity: Identity) -> str:
    """Say what answered."""
    return printable(f"{address}: logged in to {identity.product} {identity.version}")


def render_findings(findings: Sequence[Finding]) -> str:
    """Draw what ``doctor`` found: a line each, with what would mend it below."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        text, *more = render_references(finding.text).splitlines() or [""]
        verdict = f"{finding.verdict.value:7}"
        colour = GOOD_BAD[finding.verdict.value].rpartition(" ")[2]
        shown = click.style(verdict, fg=colour) if shows_on_terminal() else verdict
        lines.append(f"{shown}  {finding.check:{width}}  {printable(text)}")
        indent = " " * (width + 11)
        lines += [f"{indent}{printable(line)}" for line in more]
        if finding.remedy:
            lines.append(f"{indent}try: {printable(render_references(finding.remedy))}")
    return "\n".join(lines)
