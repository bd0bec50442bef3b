"""How a VM can be got at from here."""

import glob
from dataclasses import dataclass, field

from linkedclone.model.values.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAddress:
    """Where a VM's screen is.

    Attributes:
        url: What a browser or a viewer opens; may hold a ticket that is valid
            once and for a short time only.
        how: How to look, in a sentence for people.
        page: A page of the hypervisor's own client that shows it after a login;
            empty where there is none.
    """

    url: str
    how: str
    page: str = ""

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"url": self.url, "page": self.page or None, "how": self.how}


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
