"""NoCloud: the documents that tell a guest who it is, and the disk that carries them.

cloud-init reads them from a file system labelled ``cidata`` [fact: ci-nocloud]. What they
say of a guest is made in ``cloudconfig``, for all hypervisors alike.
"""

import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from linkedclone.guest.cloud_config import (
    build_cloud_config,
    build_meta_data,
    build_network,
    build_user_data,
    build_vendor_data,
    encode_document,
)
from linkedclone.model.customization import CloudInit, Customization, GuestOs, GuestUser
from linkedclone.model.guest import Guest

VOLUME_LABEL = "cidata"
ROOT = "root"

_RUN_SCRIPT = (
    'f=$(mktemp -p /var/tmp) && printf %s "$0" >"$f" && chmod 700 "$f" && "$f" "$1"; '
    's=$?; rm -f "$f"; exit $s'
)
"""Run a script that is given as an argument, by the interpreter that its first line names.

Not from ``/run`` or ``/tmp``: systems mount those so that nothing in them can be run.
"""


def plain_guest(*, host_name: str, instance_id: str) -> Guest:
    """Return a guest of which nothing is wanted but a name of its own, and DHCP."""
    return Guest(
        customization=Customization(os=GuestOs.CLOUD_INIT),
        host_name=host_name,
        instance_id=instance_id,
    )


def admit_key(guest: Guest, *, user: str, key: str) -> Guest:
    """Return the guest with one more public key that may log in.

    Args:
        user: Who logs in with the key: ``root``, a user that is made if the
            guest has none of that name, or empty for the image's own default user.
    """
    wanted = guest.customization.cloud_init
    if user in {"", ROOT}:
        admitted = replace(wanted, ssh_keys=(*wanted.ssh_keys, key))
    else:
        admitted = replace(wanted, users=_admit(wanted.users, user, key))
    return replace(guest, customization=replace(guest.customization, cloud_init=admitted))


def _admit(users: tuple[GuestUser, ...], name: str, key: str) -> tuple[GuestUser, ...]:
    if all(user.name != name for user in users):
        return (*users, GuestUser(name=name, ssh_keys=(key,), sudo=True))
    return tuple(
        replace(user, ssh_keys=(*user.ssh_keys, key)) if user.name == name else user
        for user in users
    )


def as_cloud_init(guest: Guest) -> Guest:
    """Say for cloud-init what a customization of ``os: linux`` says, as far as that can do it.

    Root's password becomes a user's; the script is dealt with in :func:`build_documents`.
    """
    wanted = guest.customization
    if wanted.os is not GuestOs.LINUX:
        return guest
    password = wanted.linux.password
    users = (GuestUser(name=ROOT, password=password),) if password else ()
    return replace(guest, customization=replace(wanted, cloud_init=CloudInit(users=users)))


def build_documents(guest: Guest, macs: Sequence[str], *, user: str = "") -> dict[str, bytes]:
    """Build the seed's files by name, with passwords in clear; ``user``: see :func:`admit_key`."""
    wanted = guest.customization
    network = build_network(guest.cards, macs, dns=wanted.dns, search=wanted.search)
    documents = {
        "meta-data": encode_document(build_meta_data(guest)),
        "user-data": _build_user_data(guest, user),
        "network-config": encode_document(network),
    }
    vendor = build_vendor_data(guest)
    return {**documents, "vendor-data": vendor} if vendor else documents


def _build_user_data(guest: Guest, user: str) -> bytes:
    # Users of a document that is passed on are joined to these: a user who is
    # missing here would be missing in the guest.
    config: dict[str, object] = {"users": ["default"], **build_cloud_config(guest)}
    if user == ROOT:
        config["disable_root"] = False
    if guest.customization.os is GuestOs.LINUX and guest.customization.linux.script:
        config |= _build_script(guest.customization.linux.script)
    return build_user_data(guest, config)


def _build_script(script: str) -> dict[str, object]:
    """Let a script run where LinuxPrep runs it: before and after all else, once.

    cloud-init runs ``bootcmd`` first of all, but at each boot, so that its own
    ``cloud-init-per`` has to see to the rest; ``runcmd`` comes last.
    """
    run = ("sh", "-c", _RUN_SCRIPT, script)
    before = ["cloud-init-per", "instance", "precustomization", *run, "precustomization"]
    return {"bootcmd": [before], "runcmd": [shlex.join((*run, "postcustomization"))]}


def build_seed_iso(documents: Mapping[str, bytes]) -> bytes:
    """Build the disk image: ISO 9660 with Joliet and Rock Ridge names, 60 KB, in 1-2 ms.

    The files depend on the documents alone; the image carries the time of writing.
    """
    from pycdlib import PyCdlib

    image = PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME_LABEL)
    for number, (name, data) in enumerate(documents.items()):
        image.add_fp(
            io.BytesIO(data),
            len(data),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()
