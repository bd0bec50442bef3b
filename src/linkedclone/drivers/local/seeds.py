"""The NoCloud seed of a clone: who the guest is, and who may log in."""

import re
from pathlib import Path

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.machine.ssh import KEY, ensure_key
from linkedclone.guest.nocloud import NoCloudSeed, build_seed_iso

_LONGEST_LABEL = 63


def build_seed(state: StateFolder, *, name: str, instance_id: str, user: str) -> bytes:
    """Build the seed image of a VM.

    Args:
        state: The state folder; its own SSH key may log in.
        name: The VM's name; the host name is made of it.
        instance_id: The VM's UUID: a new clone is a new instance to cloud-init,
            the same clone started again is not.
        user: Who logs in; see ``NoCloudSeed``.

    Raises:
        HypervisorError: There is no SSH key yet, and none can be made.
    """
    seed = NoCloudSeed(
        instance_id=instance_id,
        host_name=host_name_of(name),
        ssh_keys=(read_public_key(state),),
        user=user,
    )
    return build_seed_iso(seed)


def host_name_of(name: str) -> str:
    """Make a host name of a VM's name: letters, digits and hyphens (RFC 952). Pure."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label[:_LONGEST_LABEL].rstrip("-") or "clone"


def read_public_key(state: StateFolder) -> str:
    """Return the state folder's own public key; the key is made at first."""
    return private_key(state).with_suffix(".pub").read_text().strip()


def private_key(state: StateFolder) -> Path:
    """Return the state folder's own SSH key."""
    key = state.root / KEY
    return key if key.exists() else ensure_key(state.root)
