"""Identities of Windows guests: the answers for Sysprep. Pure.

Field by field as CustomizationSysprep has it. Passwords are plain text on the wire
alone [fact: vs-cust-passwords].
"""

from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.versions import require_version
from linkedclone.drivers.vsphere.native import Native, build_data
from linkedclone.errors import InputError
from linkedclone.guest.windows_zones import find_zone_number
from linkedclone.model.customization import DomainJoin, SecretSource
from linkedclone.model.guest import Guest

_OU: Final = (8, 0, 2)
"""The version that knows Identification.domainOU first [fact: vs-cust-identities]."""

_OWNER: Final = "Administrator"
_ORGANISATION: Final = "Organization"
"""The placeholder for missing values: Sysprep stops and asks where it is empty."""

_WORKGROUP: Final = "WORKGROUP"
_ZONE: Final = "Etc/UTC"


def build_sysprep(guest: Guest, version: tuple[int, ...], *, name: Native) -> Native:
    """Return a fresh Sysprep identity."""
    kinds = vim.vm.customization
    found = build_data(
        kinds.Sysprep,
        guiUnattended=build_data(
            kinds.GuiUnattended, timeZone=find_zone_number(_ZONE), autoLogon=False, autoLogonCount=0
        ),
        userData=build_data(
            kinds.UserData, fullName=_OWNER, orgName=_ORGANISATION, computerName=name, productId=""
        ),
        identification=build_data(kinds.Identification, joinWorkgroup=_WORKGROUP),
    )
    return overlay_sysprep(found, guest, version)


def overlay_sysprep(found: Native, guest: Guest, version: tuple[int, ...]) -> Native:
    """Put what the guest says into a Sysprep identity; what it leaves open stays."""
    wanted = guest.customization.windows
    _overlay_unattended(found.guiUnattended, guest)
    user = found.userData
    user.fullName = wanted.full_name or user.fullName
    user.orgName = wanted.organisation or user.orgName
    key = wanted.product_key
    user.productId = (key if isinstance(key, str) else guest.reveal(key)) or user.productId
    if wanted.workgroup:
        found.identification = build_data(
            vim.vm.customization.Identification, joinWorkgroup=wanted.workgroup
        )
    if wanted.join:
        found.identification = _build_join(wanted.join, guest, version)
    if wanted.run_once:
        commands = list(wanted.run_once)
        found.guiRunOnce = build_data(vim.vm.customization.GuiRunOnce, commandList=commands)
    return found


def overlay_options(found: Native, guest: Guest) -> Native:
    """Return what becomes of identifier, accounts and the machine itself afterwards."""
    wanted = guest.customization.windows
    if not isinstance(found, vim.vm.customization.WinOptions):
        found = build_data(
            vim.vm.customization.WinOptions, changeSID=True, deleteAccounts=False, reboot="reboot"
        )
    if not wanted.new_sid:
        found.changeSID = False
    if wanted.delete_accounts:
        found.deleteAccounts = True
    return found


def _overlay_unattended(found: Native, guest: Guest) -> None:
    wanted = guest.customization.windows
    if guest.customization.time_zone:
        found.timeZone = find_zone_number(guest.customization.time_zone)
    if wanted.administrator_password:
        found.password = _build_password(wanted.administrator_password, guest)
    if wanted.auto_logon:
        if found.password is None:
            raise InputError(
                "auto_logon needs a password of Administrator",
                hint="give administrator_password, or leave auto_logon out",
            )
        found.autoLogon, found.autoLogonCount = True, wanted.auto_logon


def _build_join(join: DomainJoin, guest: Guest, version: tuple[int, ...]) -> Native:
    found = build_data(
        vim.vm.customization.Identification,
        joinDomain=join.domain,
        domainAdmin=join.user,
        domainAdminPassword=_build_password(join.password, guest),
    )
    if join.ou:
        hint = "leave it out, and let the domain put new computers there (redircmp)"
        require_version(version, _OU, "windows.join.ou", hint)
        found.domainOU = join.ou
    return found


def _build_password(source: SecretSource, guest: Guest) -> Native:
    return build_data(vim.vm.customization.Password, value=guest.reveal(source), plainText=True)
