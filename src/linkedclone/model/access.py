"""How endpoints and VMs can be got at from here."""

import glob
from dataclasses import dataclass, field
from typing import Final

from linkedclone.model.values.document import NULL_IF_EMPTY, Document
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Identity

MOST_PARENTS: Final = 20
"""How many VMs to clone from are shown of a new endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
    """The certificate that an endpoint presents.

    Attributes:
        pem: The certificate in PEM form, ready to be pinned.
        sha256: SHA-256 of its DER form, 64 lower-case hex digits.
        subject: Whose it says it is (``CN=vcenter.example``); empty if unreadable.
        issuer: Who signed it; empty if unreadable.
        not_after: When it expires, as OpenSSL writes it; empty if unreadable.
        trusted: Whether the system's authorities vouch for it, so that nothing need be pinned.
    """

    pem: str
    sha256: str
    subject: str
    issuer: str
    not_after: str
    trusted: bool = False

    @property
    def fingerprint(self) -> str:
        """The fingerprint as browsers and openssl show it."""
        digits = self.sha256.upper()
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What an endpoint said after the login.

    Attributes:
        identity: What it is.
        parents: Paths of VMs with a snapshot: what can be cloned from at once.
    """

    identity: Identity
    parents: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """Return the JSON form; of the parents a few, and how many there are."""
        shown = list(self.parents[:MOST_PARENTS])
        return {
            **self.identity.document(),
            "parents": shown,
            "parents_total": len(self.parents),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow(Document):
    """One configured endpoint, without any password.

    Attributes:
        name: Its name.
        url: Where it is.
        default: Whether it is used if none is named.
        trust: How its certificate is checked: ``pinned``, ``ca``, ``system``,
            ``insecure``; empty where there is none.
        password: Where its password is: ``keyring``, ``file``, ``ask``; empty
            where there is none.
    """

    name: str
    url: str
    default: bool
    trust: str = field(metadata=NULL_IF_EMPTY)
    password: str = field(metadata=NULL_IF_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAddress(Document):
    """Where a VM's screen is.

    Attributes:
        url: What a browser or a viewer opens; may hold a ticket that is valid
            once and for a short time only.
        page: A page of the hypervisor's own client that shows it after a login;
            empty where there is none.
        how: How to look, in a sentence for people.
    """

    url: str
    page: str = field(default="", metadata=NULL_IF_EMPTY)
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SshLogin:
    """How one logs in to a guest by SSH.

    Attributes:
        host: Where from here.
        port: At which port.
        user: As whom.
        key_file: The private key.
        options: Further options of ``ssh``, as name and value.
    """

    host: str
    port: int
    user: str
    key_file: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLogin:
    """Who runs a command inside a guest."""

    user: str
    password: Secret = field(repr=False)


def render_include(folder: str, pattern: str) -> str:
    """Return the line that lets ssh read files of a folder, whatever its path has in it. Pure.

    ``Include`` takes its argument for a pattern (ssh_config(5)).
    """
    path = f"{glob.escape(folder)}/{pattern}".replace('"', '\\"')
    return f'Include "{path}"'
