"""How to reach a guest over SSH."""

import subprocess
import tempfile
from pathlib import Path

from linkedclone.errors import HypervisorError
from linkedclone.model.vm import SshAddress
from linkedclone.system.locks import hold

KEY = "id_ed25519"
LOCK_SECONDS = 30.0


def build_ssh_command(
    address: SshAddress, *, user: str, key: Path, known_hosts: Path, command: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Build the argument list of ``ssh`` for one machine. Pure.

    The user's own configuration stays out of it.
    """
    options = build_options(key=key, known_hosts=known_hosts)
    return (
        *("ssh", "-F", "none", "-p", str(address.port)),
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        f"{user}@{address.host}",
        *command,
    )


def build_options(*, key: Path, known_hosts: Path) -> dict[str, str]:
    """Build the options of ``ssh`` for one machine. Pure.

    The user's own known hosts stay out of it. The host key is learned at the
    first connection and held to from then on, in a file that belongs to the
    machine: whoever gives the guest a new identity removes it. The port changes
    with every start, so the key is filed under a fixed alias.
    """
    return {
        "IdentityFile": _quote(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": _quote(known_hosts),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "accept-new",
        "HostKeyAlias": "guest",
        "LogLevel": "ERROR",
    }


def ensure_key(folder: Path) -> Path:
    """Return the private key in the folder; make one, without a passphrase, if there is none.

    The public half stands beside it with the suffix ``.pub``. May be called by
    several processes at once.
    """
    key = folder / KEY
    with hold(folder / f"{KEY}.lock", deadline_s=LOCK_SECONDS):
        if not key.exists():
            with tempfile.TemporaryDirectory(prefix=f"{KEY}.", dir=folder) as scratch:
                _generate(Path(scratch) / KEY)
                (Path(scratch) / f"{KEY}.pub").replace(folder / f"{KEY}.pub")
                (Path(scratch) / KEY).replace(key)
    return key


def _generate(key: Path) -> None:
    brief = "no SSH key can be made"
    arguments = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "linkedclone", "-f", str(key))
    try:
        subprocess.run(  # noqa: S603 - fixed arguments
            arguments, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
    except OSError as error:
        hint = "apt-get install openssh-client"
        raise HypervisorError(brief, details=str(error), hint=hint) from error
    except subprocess.CalledProcessError as error:
        details = error.stderr.decode(errors="replace")
        hint = "``doctor`` looks at permissions and disk space"
        raise HypervisorError(brief, details=details, hint=hint) from error


def _quote(path: Path) -> str:
    """Quote a path for an option: ssh splits at spaces and expands percent signs."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
