"""An endpoint: where a hypervisor is, and how to be sure that it is the right one."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from linkedclone.errors import InputError
from linkedclone.model.values.secret import Secret

ACCELERATORS = ("auto", "kvm", "tcg")
"""What machines of ``local:`` may be run with; ``auto`` finds out whether KVM works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How the endpoint's certificate is checked. Checked it is, unless ``insecure``."""

    # PEM file with the certificate authorities to trust instead of the system's.
    ca_file: Path | None = None
    # The one certificate to trust, in PEM form, whatever name it bears; it was shown to a person
    # and accepted.
    pinned_pem: str = ""
    # The SHA-256 of the one certificate to trust, as 64 hex digits, where only the fingerprint is
    # known.
    pinned_sha256: str = ""
    insecure: bool = False  # check nothing. Only when it was asked for.


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One hypervisor connection, resolved."""

    kind: str  # which driver: ``vsphere``, ``local``, ``memory``, or one that is installed beside
    name: str = ""  # the name that it has in the configuration file; empty if none
    host: str = ""
    port: int = 443
    user: str = ""
    password: Secret | None = None
    datacenter: str = ""  # vSphere datacenter that searches start in; empty for all
    path: str = ""  # the part after the colon of a local or memory endpoint
    tls: Tls = field(default_factory=Tls)  # how its certificate is checked
    timeout_seconds: float = 60.0  # how long one call may take to answer
    # How long a run waits for it to come back when it goes away, as for a vCenter that is
    # restarted.
    patience_seconds: float = 300.0
    # Whether a lone ESXi host is changed although a vCenter manages it.
    despite_vcenter: bool = False
    # One of ``ACCELERATORS``, for machines that are started at a local endpoint; empty leaves it to
    # ``LINKEDCLONE_ACCEL``.
    accel: str = ""
    origin: str = ""  # where it was taken from, in words for people

    @property
    def address(self) -> str:
        """How it is shown: without any password."""
        if not self.host:
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == 443 else f":{self.port}"
        user = f"{self.user}@" if self.user else ""
        datacenter = f"/{self.datacenter}" if self.datacenter else ""
        return f"{self.kind}://{user}{host}{port}{datacenter}"


def with_accel(endpoint: Endpoint, accel: str) -> Endpoint:
    """Return the endpoint with the accelerator that machines are to be started with.

    Raises:
        InputError: There is no such accelerator.
    """
    return replace(endpoint, accel=check_accel(accel, what="``accel``"))


def check_accel(text: str, *, what: str) -> str:
    """Return the name of an accelerator, in lower case.

    Raises:
        InputError: There is none of this name.
    """
    name = text.strip().lower()
    if name not in ACCELERATORS:
        brief = f"{what} is {text!r}, which is not an accelerator"
        raise InputError(brief, hint="known are: " + ", ".join(ACCELERATORS))
    return name
