"""How guests are reached over SSH: the key, the options, and the entries for plain ``ssh NAME``.

Each VM's folder holds the entry of that VM, and one file in the state folder
includes whatever is in the folders of the VMs that exist: through the links
under ``names``, so it is true whenever ssh reads it. The port behind which a
guest is reached is new at each start, and the port of a machine that is gone
may be another's by now. So no entry names a port: ssh asks at connect time
(``ProxyCommand``), and gets a connection to the right machine or an error.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from linkedclone.drivers.local.state.folder import SSH_CONFIG, StateFolder, key_of
from linkedclone.drivers.local.state.record import VmRecord
from linkedclone.errors import HypervisorError
from linkedclone.model.access import render_include as render_line
from linkedclone.model.vm import SshAddress
from linkedclone.system.locks import hold

KEY = "id_ed25519"
LOCK_SECONDS = 30.0
KNOWN_HOSTS = "known_hosts"
HOST_KEY_ALIAS = "guest"
DEFAULT_USER = "root"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that mean themselves as a pattern of ``Host`` (ssh_config(5))."""


def login_of(record: VmRecord) -> str:
    return record.machine.login or DEFAULT_USER


def render_entry(state: StateFolder, folder: Path, record: VmRecord) -> bytes:
    """Return the entry of a VM; a VM whose name ssh would take for a pattern has none."""
    names = [n for n in dict.fromkeys((record.name, key_of(record.name))) if _PLAIN.fullmatch(n)]
    if not names:
        return b""
    settings = {
        "User": login_of(record),
        **build_options(key=state.root / KEY, known_hosts=folder / KNOWN_HOSTS),
        "ProxyCommand": _build_proxy_command(state, record.uuid),
        "ProxyUseFdpass": "yes",
    }
    lines = (f"Host {' '.join(names)}", *(f"  {key} {value}" for key, value in settings.items()))
    return "".join(f"{line}\n" for line in lines).encode()


def forget_host_key(folder: Path) -> None:
    """Forget the host key of a VM, which is learned anew at the next login.

    For a VM that is off and is given another state of its disks: the guest may
    make itself a new key then, and ssh would refuse it as a stranger's.
    """
    (folder / KNOWN_HOSTS).unlink(missing_ok=True)


def _build_proxy_command(state: StateFolder, uuid: str) -> str:
    """Build what ssh hands to a shell: by the UUID, which stays when the VM is renamed."""
    words = (sys.executable, "-m", "linkedclone", "--endpoint", f"local:{state.root}")
    return shlex.join((*words, "ssh", "--proxy", uuid)).replace("%", "%%")


def render_include(state: StateFolder) -> bytes:
    line = render_line(str(state.names), f"*/{SSH_CONFIG}")
    return f"# Kept by linkedclone: ssh NAME reaches each of its VMs.\n{line}\n".encode()


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
    machine: a new identity of the guest removes it. The port changes
    with every start, so the key is filed under a fixed alias.
    """
    return {
        "IdentityFile": _quote(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": _quote(known_hosts),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "accept-new",
        "HostKeyAlias": HOST_KEY_ALIAS,
        "LogLevel": "ERROR",
    }


def ensure_key(folder: Path) -> Path:
    """Return the private key in the folder; make one, without a passphrase, if there is none.

    The public half is beside it with the suffix ``.pub``. May be called by
    several processes at once.
    """
    key = folder / KEY
    with hold(folder / f"{KEY}.lock", deadline_s=LOCK_SECONDS):
        if not key.exists():
            with tempfile.TemporaryDirectory(prefix=f"{KEY}.", dir=folder) as scratch:
                generate_key(Path(scratch) / KEY)
                (Path(scratch) / f"{KEY}.pub").replace(folder / f"{KEY}.pub")
                (Path(scratch) / KEY).replace(key)
    return key


def generate_key(key: Path) -> None:
    """Make a key without a passphrase; the public half is beside it with the suffix ``.pub``."""
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
