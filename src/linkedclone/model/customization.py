"""How guests are made to come up: one shape for Linux, Windows and cloud-init, as a file states it.

The same file serves every hypervisor. What a hypervisor has no counterpart for
is refused by name. Nothing here holds a password: a :class:`SecretSource` says
where one is found.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from linkedclone.model.values.document_errors import Written


class GuestOs(StrEnum):
    """What makes the guest itself: the classic engines, or cloud-init."""

    LINUX = "linux"
    WINDOWS = "windows"
    CLOUD_INIT = "cloud-init"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource(Written):
    """Where a password is found; exactly one is given.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file with mode 0600 whose first line it is.
        keyring: ``SERVICE/USER`` in the system's keyring.
        prompt: What a person is asked at the terminal.
    """

    env: str = ""
    file: str = ""
    keyring: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses(Written):
    """What one network card gets; in a list, one for each card in the order of the hardware.

    Attributes:
        dhcp: IPv4 by DHCP.
        range: IPv4 addresses to give out, each once: ``10.0.0.10-10.0.0.40/24``,
            ``10.0.0.0/24`` for all its hosts, or several with commas between.
        gateway: The default route; inside the range it is never given out.
        dhcp6: IPv6 by DHCP.
        range6: IPv6 addresses to give out, as ``fd00::10-fd00::ff/64``.
        gateway6: The default route of IPv6.
        dns: Name servers of this card.
        search: Domains to look names up in.
        reserved: Addresses and ranges that are never given out.
    """

    dhcp: bool = False
    range: str = ""
    gateway: str = ""
    dhcp6: bool = False
    range6: str = ""
    gateway6: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxGuest(Written):
    """What only Linux knows (LinuxPrep of vSphere; the API reference's CustomizationLinuxPrep).

    Attributes:
        hwclock: What the hardware clock holds.
        script: Shell script that runs before and after the customization, with
            ``precustomization`` or ``postcustomization`` as its argument.
        script_file: File that holds it, relative to the file that names it.
        password: Password of root.
    """

    hwclock: Literal["utc", "local"] = "utc"
    script: str = ""
    script_file: str = ""
    password: SecretSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainJoin(Written):
    """The Windows domain that a guest joins.

    Attributes:
        domain: Its DNS name.
        user: Who may add computers to it.
        password: That user's password.
        ou: Organizational unit, as ``OU=Desktops,DC=example,DC=com``.
    """

    domain: str
    user: str
    password: SecretSource
    ou: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsGuest(Written):
    """What only Windows knows (Sysprep; the API reference's CustomizationSysprep).

    Attributes:
        full_name: Registered owner.
        organisation: Registered organisation.
        product_key: Product key; left out for volume licences.
        administrator_password: Password of the local Administrator.
        auto_logon: How often Administrator is logged on by itself; needs a password.
        workgroup: The workgroup; excludes ``join``.
        join: The domain; excludes ``workgroup``.
        run_once: Commands at the first log-on.
        new_sid: Whether the machine gets a new security identifier.
        delete_accounts: Whether all local accounts go.
    """

    full_name: str = ""
    organisation: str = ""
    product_key: SecretSource | str = ""
    administrator_password: SecretSource | None = None
    auto_logon: int = 0
    workgroup: str = ""
    join: DomainJoin | None = None
    run_once: tuple[str, ...] = ()
    new_sid: bool = True
    delete_accounts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestUser(Written):
    """A user that cloud-init makes.

    Attributes:
        name: Its name.
        ssh_keys: Public keys that may log in.
        password: Its password; without one it has none, and is locked.
        sudo: Whether it may do everything, unasked.
        groups: Further groups.
        shell: Its shell; empty for the system's default.
    """

    name: str
    ssh_keys: tuple[str, ...] = ()
    password: SecretSource | None = None
    sudo: bool = False
    groups: tuple[str, ...] = ()
    shell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInit(Written):
    """What only cloud-init knows.

    Attributes:
        transport: How vSphere hands the documents over: ``guestinfo``
            (extraConfig) or ``customization`` (CloudinitPrep, API 7.0.3).
        ssh_keys: Public keys of the image's default user.
        users: Users to be made.
        run: Shell commands at the first boot.
        user_data: A document passed on as it is, beside what is made of the
            rest; it begins with ``#cloud-config``, ``#!`` or the like.
        user_data_file: File that holds it, relative to the file that names it.
        vendor_data: The same, for the vendor's document.
    """

    transport: Literal["guestinfo", "customization"] = "guestinfo"
    ssh_keys: tuple[str, ...] = ()
    users: tuple[GuestUser, ...] = ()
    run: tuple[str, ...] = ()
    user_data: str = ""
    user_data_file: str = ""
    vendor_data: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customization(Written):
    """Who the guests of a batch are to be.

    Attributes:
        os: What makes the guest itself; may be left out only beside ``stored``.
        stored: Name of a specification stored at the endpoint; what is given
            here besides overrides it.
        host_name: Made of ``{name}``, the clone's name.
        domain: DNS domain of the guests.
        time_zone: By its IANA name (``Europe/Berlin``); Windows' own number is
            found from it.
        dns: Name servers of the whole guest.
        search: Domains to look names up in.
        addresses: What each network card gets; empty leaves all to DHCP.
        linux: Given only for ``os: linux``.
        windows: Given only for ``os: windows``.
        cloud_init: Given only for ``os: cloud-init``.
    """

    os: GuestOs | None = None
    stored: str = ""
    host_name: str = "{name}"
    domain: str = ""
    time_zone: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    addresses: tuple[Addresses, ...] = ()
    linux: LinuxGuest = field(default_factory=LinuxGuest)
    windows: WindowsGuest = field(default_factory=WindowsGuest)
    cloud_init: CloudInit = field(default_factory=CloudInit)

    @property
    def gives_addresses(self) -> bool:
        """Whether addresses are given out from a range."""
        return any(card.range or card.range6 for card in self.addresses)
