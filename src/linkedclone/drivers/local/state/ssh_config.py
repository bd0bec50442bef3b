"""Plain ``ssh NAME``: entries for OpenSSH's own configuration file.

Each VM's folder holds the entry of that VM, and one file in the state folder
includes whatever stands in the folders of the VMs that exist: through the links
under ``names``, so it is true whenever ssh reads it. The port behind which a
guest is reached is new at each start, and the port of a machine that is gone
may be another's by now. So no entry names a port: ssh asks at connect time
(``ProxyCommand``), and gets a connection to the right machine or an error.
"""

import re
import shlex
import sys
from pathlib import Path

from linkedclone.drivers.local.state.folder import SSH_CONFIG, StateFolder, key_of
from linkedclone.drivers.local.state.record import VmRecord
from linkedclone.drivers.local.state.ssh_key import KEY, build_options
from linkedclone.model.access import render_include as render_line

KNOWN_HOSTS = "known_hosts"
DEFAULT_USER = "root"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that mean themselves as a pattern of ``Host`` (ssh_config(5))."""


def login_of(record: VmRecord) -> str:
    """Return who logs in to a VM."""
    return record.machine.login or DEFAULT_USER


def render_entry(state: StateFolder, folder: Path, record: VmRecord) -> bytes:
    """Return the entry of a VM; a VM whose name ssh would take for a pattern has none.

    Args:
        folder: The VM's own folder, where it will stand.
    """
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
    """Return the file that includes the entries of all VMs that exist."""
    line = render_line(str(state.names), f"*/{SSH_CONFIG}")
    return f"# Kept by linkedclone: ssh NAME reaches each of its VMs.\n{line}\n".encode()
