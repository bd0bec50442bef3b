"""Identities of Linux guests: the classic engine, and cloud-init's own documents. Pure."""

from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.versions import require_version
from linkedclone.drivers.vsphere.native import Native, build_data
from linkedclone.errors import InputError, UnsupportedError
from linkedclone.guest.cloud_config import build_user_data, encode_document, join_documents
from linkedclone.guest.guestinfo import build_vmware_meta_data
from linkedclone.model.guest import Guest

_DOMAIN: Final = "localdomain"
"""The placeholder for no domain: the API requires one, as a part of the full name."""

_SCRIPT: Final = (7, 0)
_ROOT_PASSWORD: Final = (9, 1)
_RAW: Final = (7, 0, 3)
"""Versions that know LinuxPrep.scriptText, LinuxPrep.password and CloudinitPrep first
[fact: vs-cust-identities]."""

_LARGEST: Final = 524_288
"""Bytes of each of cloud-init's documents [fact: vs-cust-identities]."""


def build_linux_prep(guest: Guest, version: tuple[int, ...], *, name: Native) -> Native:
    """Return a fresh LinuxPrep, to be overlaid with what the guest says of itself."""
    found = build_data(
        vim.vm.customization.LinuxPrep,
        hostName=name,
        domain=_DOMAIN,
        hwClockUTC=guest.customization.linux.hwclock == "utc",
    )
    return overlay_linux_prep(found, guest, version)


def overlay_linux_prep(found: Native, guest: Guest, version: tuple[int, ...]) -> Native:
    """Put what the guest says into a LinuxPrep; what it leaves open stays."""
    wanted = guest.customization
    if wanted.domain:
        found.domain = wanted.domain
    if wanted.time_zone:
        found.timeZone = wanted.time_zone
    if wanted.linux.hwclock == "local":
        found.hwClockUTC = False
    if wanted.linux.script:
        require_version(version, _SCRIPT, "linux.script", "leave it out")
        found.scriptText = wanted.linux.script
    if wanted.linux.password:
        hint = "keep root's password in the parent, or use os: cloud-init, which can set passwords"
        require_version(version, _ROOT_PASSWORD, "linux.password", hint)
        found.password = build_data(
            vim.vm.customization.Password, value=guest.reveal(wanted.linux.password), plainText=True
        )
    return found


def build_cloudinit_prep(
    guest: Guest, version: tuple[int, ...], names: tuple[str, ...], *, macs: tuple[str, ...] = ()
) -> Native:
    """Return the documents that vSphere hands to cloud-init in the guest."""
    _check_raw(guest, version)
    metadata = encode_document(build_vmware_meta_data(guest, macs, names=names)).decode()
    return build_data(
        vim.vm.customization.CloudinitPrep,
        metadata=_bounded("metadata", metadata),
        userdata=_bounded("user data", build_user_data(guest).decode()),
    )


def overlay_cloudinit_prep(
    found: Native,
    guest: Guest,
    version: tuple[int, ...],
    names: tuple[str, ...],
    *,
    macs: tuple[str, ...] = (),
) -> Native:
    """Put what the guest says into stored documents.

    Its identity replaces theirs, its network only if it says something of
    cards. Its user data is beside theirs, and wins where both set a value.
    """
    _check_raw(guest, version)
    stored = _read_mapping(found.metadata or "")
    own = build_vmware_meta_data(guest, macs, names=names)
    if not guest.cards and "network" in stored:
        del own["network"]
    found.metadata = _bounded("metadata", encode_document({**stored, **own}).decode())
    fresh = build_user_data(guest).decode()
    if found.userdata and not guest.customization.cloud_init.user_data:
        fresh = join_documents(fresh, found.userdata).decode()
    found.userdata = _bounded("user data", fresh)
    return found


def _check_raw(guest: Guest, version: tuple[int, ...]) -> None:
    hint = "hand the documents over with transport: guestinfo"
    require_version(version, _RAW, "transport: customization", hint)
    if guest.customization.cloud_init.vendor_data:
        raise UnsupportedError(
            "vendor_data means nothing to transport: customization",
            hint=f"{hint}, or put it into user_data",
            kind="NotSupported",
        )


def _read_mapping(text: str) -> dict[str, object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(text) or {}
    except YAMLError as error:
        found, reason = None, str(error)
    else:
        reason = f"it is a {type(found).__name__}"
    if isinstance(found, dict):
        return found
    raise InputError(
        "the metadata of the stored specification cannot be read as a mapping",
        details=reason,
        hint="fix the specification, or put everything into the file, without stored",
    )


def _bounded(what: str, text: str) -> str:
    size = len(text.encode())
    if size > _LARGEST:
        raise InputError(
            f"the {what} has {size:,} bytes",
            hint=f"vSphere takes {_LARGEST:,} at most; let the guest fetch what is large",
        )
    return text
