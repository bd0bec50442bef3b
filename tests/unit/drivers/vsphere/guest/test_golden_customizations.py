"""What each field of a customization comes to on the wire: one golden case for every field.

As in ``test_golden_requests``, but with nothing masked: the passwords here are
made up. What is masked in a dry run is tested apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning import preview as rendering
from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec
from linkedclone.drivers.vsphere.cloning.preview import render_clone
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, build_shape
from linkedclone.guest.guestinfo import unpack_document
from linkedclone.model.customization import (
    Addresses,
    CloudInit,
    Customization,
    DomainJoin,
    GuestOs,
    GuestUser,
    LinuxGuest,
    SecretSource,
    WindowsGuest,
)
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.secret import Secret
from linkedclone.model.vm import Identity
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene
from tests.unit.drivers.vsphere.build import TARGET, card, disk
from tests.unit.drivers.vsphere.cloning.test_golden_requests import parent

Golden = Callable[[str, object], None]

ADMIN: Final = SecretSource(env="ADMIN")
JOIN: Final = SecretSource(file="join")
KEY: Final = SecretSource(keyring="windows/key")
SECRETS: Final = ((ADMIN, Secret("adm-1n")), (JOIN, Secret("jo-1n")), (KEY, Secret("KEY-K")))

SSH: Final = "ssh-ed25519 AAAAC3Nza ada@desk"


def slotted(key: int, slot: int) -> Any:
    device = card("assigned", key=key)
    device.slotInfo = vim.vm.device.VirtualDevice.PciBusSlotInfo(pciSlotNumber=slot)
    return device


SHAPE: Final = build_shape(
    (disk("[ssd1] golden/golden.vmdk"), slotted(4000, 192), slotted(4001, 160)), whole=True
)
"""Two cards, of which the second stands before the first on the bus."""


def stored(identity: Any, **more: Any) -> Any:
    return vim.vm.customization.Specification(
        identity=identity,
        globalIPSettings=vim.vm.customization.GlobalIPSettings(dnsServerList=["192.0.2.53"]),
        **more,
    )


def stored_linux() -> Any:
    kinds = vim.vm.customization
    entry = kinds.AdapterMapping(adapter=kinds.IPSettings(ip=kinds.DhcpIpGenerator()))
    identity = kinds.LinuxPrep(
        hostName=kinds.PrefixNameGenerator(base="stored"), domain="stored.example", hwClockUTC=True
    )
    return stored(identity, options=kinds.LinuxOptions(), nicSettingMap=[entry, entry])


def stored_windows() -> Any:
    kinds = vim.vm.customization
    return stored(
        kinds.Sysprep(
            guiUnattended=kinds.GuiUnattended(
                password=kinds.Password(value="c1pher", plainText=False),
                timeZone=4,
                autoLogon=False,
                autoLogonCount=0,
            ),
            userData=kinds.UserData(
                fullName="Stored",
                orgName="Stored Ltd",
                computerName=kinds.VirtualMachineNameGenerator(),
                productId="STORED",
            ),
            identification=kinds.Identification(joinWorkgroup="STORED"),
        ),
        options=kinds.WinOptions(changeSID=True, deleteAccounts=False),
        encryptionKey=[1, 2],
    )


def stored_windows_cards() -> Any:
    kinds = vim.vm.customization
    found = stored_windows()
    found.nicSettingMap = [
        kinds.AdapterMapping(
            adapter=kinds.IPSettings(ip=kinds.DhcpIpGenerator(), dnsServerList=["192.0.2.53"])
        )
        for _ in range(2)
    ]
    return found


def stored_cloud_init() -> Any:
    return stored(
        vim.vm.customization.CloudinitPrep(
            metadata="instance-id: old\nlocal-hostname: old\nregion: here\n",
            userdata="#cloud-config\npackages: [git]\n",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A customization, and the fields that it is the case of; ``base`` has to differ from it."""

    covers: tuple[str, ...] = ()
    wanted: Customization
    base: str = ""
    stored: Callable[[], Any] | None = None
    macs: tuple[str, ...] = ()


def linux(*covers: str, base: str = "linux", **wanted: Any) -> Case:
    return Case(covers=covers, wanted=Customization(os=GuestOs.LINUX, **wanted), base=base)


def windows(
    *covers: str, base: str = "windows", more: Mapping[str, Any] | None = None, **own: Any
) -> Case:
    wanted = Customization(os=GuestOs.WINDOWS, windows=WindowsGuest(**own), **more or {})
    return Case(covers=covers, wanted=wanted, base=base)


def cloud(
    *covers: str, base: str = "cloud-init", more: Mapping[str, Any] | None = None, **own: Any
) -> Case:
    wanted = Customization(os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(**own), **more or {})
    return Case(covers=covers, wanted=wanted, base=base)


def over(make: Callable[[], Any], *covers: str, base: str = "", **wanted: Any) -> Case:
    told = Customization(stored="gold", **wanted)
    return Case(covers=(*covers, "Customization.stored"), wanted=told, base=base, stored=make)


FIXED: Final = Addresses(range="10.0.0.10-10.0.0.20/24", gateway="10.0.0.1")
FIXED6: Final = Addresses(range6="fd00::10-fd00::20/64", gateway6="fd00::1", dhcp=True)
DHCP: Final = Addresses(dhcp=True)

CASES: Final[Mapping[str, Case]] = {
    "linux": linux("Customization.os", base=""),
    "linux-host-name": linux("Customization.host_name", host_name="x-{name}"),
    "linux-domain": linux("Customization.domain", domain="lab.example"),
    "linux-zone": linux("Customization.time_zone", time_zone="Europe/Berlin"),
    "linux-dns": linux(
        "Customization.dns", "Customization.search", dns=("10.0.0.2",), search=("lab.example",)
    ),
    "linux-fixed": linux(
        "Customization.addresses",
        "Addresses.range",
        "Addresses.gateway",
        "Addresses.dhcp",
        addresses=(FIXED, DHCP),
    ),
    "linux-fixed-without-reserved": linux(
        "Addresses.reserved",
        addresses=(replace(FIXED, reserved=("10.0.0.10-10.0.0.14",)), DHCP),
        base="linux-fixed",
    ),
    "linux-ipv6": linux(
        "Addresses.range6", "Addresses.gateway6", addresses=(FIXED6, DHCP), base="linux-fixed"
    ),
    "linux-dhcp6": linux(
        "Addresses.dhcp6", addresses=(replace(DHCP, dhcp6=True), DHCP), base="linux"
    ),
    "linux-dns-of-cards": linux(
        "Addresses.dns",
        "Addresses.search",
        addresses=(replace(FIXED, dns=("10.0.0.3",), search=("a.example",)), DHCP),
        base="linux-fixed",
    ),
    "linux-local-clock": linux("LinuxGuest.hwclock", linux=LinuxGuest(hwclock="local")),
    "linux-script": linux("LinuxGuest.script", linux=LinuxGuest(script="#!/bin/sh\necho $1\n")),
    "linux-password": linux("LinuxGuest.password", linux=LinuxGuest(password=ADMIN)),
    "windows": windows("WindowsGuest.workgroup", base="linux", workgroup="LAB"),
    "windows-owner": windows(
        "WindowsGuest.full_name",
        "WindowsGuest.organisation",
        full_name="Ada",
        organisation="Example Ltd",
    ),
    "windows-key": windows("WindowsGuest.product_key", product_key="AAAAA-BBBBB"),
    "windows-secret-key": windows("WindowsGuest.product_key", product_key=KEY, base="windows-key"),
    "windows-administrator": windows(
        "WindowsGuest.administrator_password",
        "WindowsGuest.auto_logon",
        administrator_password=ADMIN,
        auto_logon=3,
    ),
    "windows-join": windows(
        "WindowsGuest.join",
        "DomainJoin.domain",
        "DomainJoin.user",
        "DomainJoin.password",
        join=DomainJoin(domain="corp.example", user="joiner", password=JOIN),
    ),
    "windows-join-with-unit": windows(
        "DomainJoin.ou",
        join=DomainJoin(domain="corp.example", user="joiner", password=JOIN, ou="OU=Desks"),
        base="windows-join",
    ),
    "windows-run-once": windows("WindowsGuest.run_once", run_once=("a.cmd", "b.cmd")),
    "windows-old-sid": windows("WindowsGuest.new_sid", new_sid=False),
    "windows-without-accounts": windows("WindowsGuest.delete_accounts", delete_accounts=True),
    "windows-zone": windows("Customization.time_zone", more={"time_zone": "Asia/Calcutta"}),
    "windows-dns-of-cards": windows(
        "Addresses.dns",
        more={
            "dns": ("10.0.0.2",),
            "addresses": (replace(FIXED, dns=("10.0.0.3",), search=("a.example",)), DHCP),
        },
    ),
    "windows-domain": windows("Customization.domain", more={"domain": "lab.example"}),
    "cloud-init": cloud("Customization.os", base="linux"),
    "cloud-init-fixed": cloud(
        "Customization.addresses",
        more={"dns": ("10.0.0.2",), "addresses": (FIXED, replace(FIXED6, dns=("fd00::2",)))},
    ),
    "cloud-init-by-mac": Case(
        wanted=Customization(os=GuestOs.CLOUD_INIT, addresses=(FIXED, FIXED6)),
        macs=("00:50:56:00:00:01", "00:50:56:00:00:02"),
        base="cloud-init-fixed",
    ),
    "cloud-init-domain": cloud(
        "Customization.domain",
        "Customization.time_zone",
        more={"domain": "lab.example", "time_zone": "Europe/Berlin"},
    ),
    "cloud-init-keys": cloud("CloudInit.ssh_keys", ssh_keys=(SSH,)),
    "cloud-init-user": cloud("CloudInit.users", "GuestUser.name", users=(GuestUser(name="ada"),)),
    "cloud-init-whole-user": cloud(
        "GuestUser.ssh_keys",
        "GuestUser.password",
        "GuestUser.sudo",
        "GuestUser.groups",
        "GuestUser.shell",
        users=(
            GuestUser(
                name="ada",
                ssh_keys=(SSH,),
                password=ADMIN,
                sudo=True,
                groups=("video",),
                shell="/bin/bash",
            ),
            GuestUser(name="root", ssh_keys=(SSH,)),
        ),
        base="cloud-init-user",
    ),
    "cloud-init-run": cloud("CloudInit.run", run=("touch /ready",)),
    "cloud-init-passed-on": cloud(
        "CloudInit.user_data",
        "CloudInit.vendor_data",
        user_data="#cloud-config\npackages: [git]\n",
        vendor_data="#cloud-config\n{}\n",
    ),
    "cloud-init-script-passed-on": cloud(
        "CloudInit.user_data", user_data="#!/bin/sh\ntrue\n", base="cloud-init-passed-on"
    ),
    "cloud-init-by-customization": cloud(
        "CloudInit.transport",
        transport="customization",
        users=(GuestUser(name="ada", password=ADMIN),),
        more={"addresses": (FIXED, DHCP)},
    ),
    "stored-linux": over(stored_linux, base="linux"),
    "stored-linux-with-addresses": over(
        stored_linux, addresses=(FIXED, FIXED6), base="stored-linux"
    ),
    "stored-linux-with-all": over(
        stored_linux,
        host_name="x-{name}",
        domain="lab.example",
        time_zone="Europe/Berlin",
        dns=("10.0.0.2",),
        search=("lab.example",),
        linux=LinuxGuest(hwclock="local", script="#!/bin/sh\n", password=ADMIN),
        base="stored-linux",
    ),
    "stored-windows": over(stored_windows, base="windows"),
    "stored-windows-with-all": over(
        stored_windows,
        host_name="x-{name}",
        time_zone="Europe/Berlin",
        addresses=(FIXED, DHCP),
        windows=WindowsGuest(
            full_name="Ada",
            organisation="Example Ltd",
            product_key=KEY,
            administrator_password=ADMIN,
            auto_logon=1,
            join=DomainJoin(domain="corp.example", user="joiner", password=JOIN),
            run_once=("a.cmd",),
        ),
        base="stored-windows",
    ),
    "stored-windows-with-dns": over(
        stored_windows, dns=("10.0.0.2",), domain="lab.example", base="stored-windows"
    ),
    "stored-windows-cards-with-dns": over(
        stored_windows_cards,
        dns=("10.0.0.2",),
        search=("lab.example",),
        base="stored-windows-with-dns",
    ),
    "stored-cloud-init": over(stored_cloud_init, base="cloud-init-by-customization"),
    "stored-cloud-init-with-all": over(
        stored_cloud_init,
        addresses=(FIXED, DHCP),
        cloud_init=CloudInit(run=("touch /ready",)),
        base="stored-cloud-init",
    ),
}

READ_BEFORE: Final = {
    # Their texts stand in the fields beside them by then.
    "LinuxGuest.script_file",
    "CloudInit.user_data_file",
    # Where passwords are found; what is found is sent.
    "SecretSource.env",
    "SecretSource.file",
    "SecretSource.keyring",
    "SecretSource.prompt",
    # Nothing but their own fields.
    "Customization.linux",
    "Customization.windows",
    "Customization.cloud_init",
}


def step_of(case: Case, name: str = "desk-1") -> CreateClone:
    spec = case.wanted.stored
    wanted = CloneRequest(
        parent="golden",
        names=(name,),
        customization=case.wanted,
        customization_spec=spec,
        secrets=SECRETS,
        macs={name: case.macs} if case.macs else {},
    )
    planner = ClonePlanner(
        request=wanted,
        scene=Scene(
            source=parent(),
            target=replace(TARGET, customization_spec=spec),
            identity=Identity(instance="vc-1", product="vCenter", version="8", address="vc"),
            run=Run(id="run-7", version="0.1.0", snapshot_name="linkedclone-20261122"),
        ),
    )
    (step,) = planner.plan().steps
    assert isinstance(step, CreateClone)
    return step


def build(case: Case, shape: Shape = SHAPE, name: str = "desk-1") -> Any:
    return build_clone_spec(step_of(case, name), shape, case.stored() if case.stored else None)


def request_of(case: Case) -> Any:
    """Return what a case sends, without what no customization changes; nothing is masked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "_HIDDEN", frozenset())
        patch.setattr(rendering, "_render_document", lambda _, text: unpack_document(text) or text)
        shown: Any = render_clone("vm-42", "group-v3", "desk-1", build(case))["spec"]
    entries = shown["config"]["extraConfig"]
    return {
        "customization": shown.get("customization"),
        "vAppConfigRemoved": shown["config"].get("vAppConfigRemoved"),
        "deviceChange": shown["config"].get("deviceChange"),
        "extraConfig": [e for e in entries if e["key"].startswith("guestinfo.")],
    }


@pytest.mark.parametrize("name", CASES)
def test_the_request_is_as_it_was(name: str, golden: Golden) -> None:
    golden(f"customization-{name}", request_of(CASES[name]))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.base])
def test_a_case_differs_from_the_one_it_builds_on(name: str) -> None:
    assert request_of(CASES[name]) != request_of(CASES[CASES[name].base])


def test_every_field_of_a_customization_occurs_in_a_golden_case() -> None:
    kinds = (
        Customization,
        Addresses,
        LinuxGuest,
        WindowsGuest,
        DomainJoin,
        CloudInit,
        GuestUser,
        SecretSource,
    )
    every = {f"{kind.__name__}.{one.name}" for kind in kinds for one in fields(kind)}
    assert {name for case in CASES.values() for name in case.covers} | READ_BEFORE == every


@pytest.mark.parametrize("name", CASES)
def test_shown_requests_mask_passwords_and_documents(name: str) -> None:
    shown = str(render_clone("vm-42", "group-v3", "desk-1", build(CASES[name])))
    for _, secret in SECRETS:
        assert secret.reveal() not in shown
    assert "#cloud-config" not in shown


@pytest.mark.parametrize("name", CASES)
def test_requests_of_different_clones_share_nothing(name: str) -> None:
    """Requests of a batch share objects: none of them may be a guest's own."""
    case = CASES[name]
    template = case.stored() if case.stored else None
    before = str(template)
    first = build_clone_spec(step_of(case, "desk-1"), SHAPE, template)
    told = str(first)
    second = build_clone_spec(step_of(case, "desk-2"), SHAPE, template)
    assert str(first) == told
    assert str(template) == before
    assert "desk-1" not in str(second)
