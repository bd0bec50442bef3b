"""Who guests are told to be, over real SOAP: what is sent, what the guest makes of it, what fails.

The simulator applies specifications and cloud-init's documents to what a guest
reports, card by card, so that everything here is read back.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.model.vm import Power
from tests import command
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, Start

Run = Callable[..., tuple[int, dict[str, Any]]]

LINUX = """
os: linux
domain: lab.example
time_zone: Europe/Berlin
dns: [10.0.0.2, 10.0.0.3]
search: [lab.example]
addresses:
  range: 10.0.0.10-10.0.0.20/23
  gateway: 10.0.0.1
  range6: fd00::10-fd00::20/64
  gateway6: fd00::1
"""

WINDOWS = """
os: windows
time_zone: Europe/Berlin
dns: [10.0.0.2]
addresses: {range: 10.0.0.10-10.0.0.20/24, gateway: 10.0.0.1}
windows:
  full_name: Lab
  organisation: Example
  administrator_password: {env: ADMIN_PASSWORD}
  auto_logon: 2
  join:
    domain: corp.example
    user: joiner
    password: {env: JOIN_PASSWORD}
    ou: OU=Desktops,DC=corp,DC=example
  run_once: [first.cmd]
"""

CLOUD_INIT = """
os: cloud-init
domain: lab.example
addresses: {range: 10.0.0.10-10.0.0.20/24, gateway: 10.0.0.1, dns: [10.0.0.2]}
cloud_init:
  users: [{name: ada, password: {env: ADMIN_PASSWORD}}]
"""

PASSWORDS = {"ADMIN_PASSWORD": "adm!n-Secret", "JOIN_PASSWORD": "jo!n-Secret"}


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path) | PASSWORDS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "guest.yaml"


@pytest.fixture
def clone(env: dict[str, str], file: Path) -> Run:
    """Clone the parent with a customization; return exit code and document."""
    assert command.run("snapshot", "create", PARENT, "base", env=env).returncode == 0

    def run(text: str, *args: str, names: str = "desk-1") -> tuple[int, dict[str, Any]]:
        file.write_text(text)
        return command.run_json("clone", PARENT, names, "--customize", str(file), *args, env=env)

    return run


@pytest.fixture
def driver(simulator: Simulator) -> Any:
    opened = open_driver(simulator.endpoint())
    yield opened
    opened.close()


def native(driver: Driver, name: str) -> Any:
    assert isinstance(driver, VsphereDriver)
    return driver._session.managed("VirtualMachine", find(driver, name).id)


def exists(env: Mapping[str, str], name: str) -> bool:
    _, document = command.run_json("list", env=env)
    return name in [vm["name"] for vm in document["vms"]]


def reconfigure(driver: Driver, **spec: Any) -> None:
    """Change the parent, and take the snapshot for clones anew."""
    parent = native(driver, PARENT)
    parent.ReconfigVM_Task(vim.vm.ConfigSpec(**spec))
    parent.CreateSnapshot_Task("changed", "", False, False)


def store(driver: Driver, name: str, specification: Any) -> None:
    """Store a specification at the endpoint; our driver has no word for it."""
    assert isinstance(driver, VsphereDriver)
    manager = driver._session.content.customizationSpecManager
    info = vim.CustomizationSpecInfo(
        name=name, description="", type="Windows", changeVersion="1", lastUpdateTime=None
    )
    manager.CreateCustomizationSpec(vim.CustomizationSpecItem(info=info, spec=specification))


def encrypted(driver: Driver, *, key: list[int] | None = None) -> Any:
    """A Windows specification with an encrypted password, by default with this vCenter's key."""
    assert isinstance(driver, VsphereDriver)
    kinds = vim.vm.customization
    manager = driver._session.content.customizationSpecManager
    return kinds.Specification(
        options=kinds.WinOptions(changeSID=True, deleteAccounts=False),
        identity=kinds.Sysprep(
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
                productId="",
            ),
            identification=kinds.Identification(joinWorkgroup="STORED"),
        ),
        globalIPSettings=kinds.GlobalIPSettings(),
        encryptionKey=manager.encryptionKey if key is None else key,
    )


# -- what comes of it in the guest ------------------------------------------------------


def test_linux_gets_name_domain_addresses_routes_and_dns(clone: Run, driver: Driver) -> None:
    code, report = clone(LINUX, names="desk-{1..3}")
    assert code == 0
    told = {one["name"]: (one["host_name"], one["addresses"]) for one in report["clones"]}
    assert told == {
        "desk-1": ("desk-1", ["10.0.0.10", "fd00::10"]),
        "desk-2": ("desk-2", ["10.0.0.11", "fd00::11"]),
        "desk-3": ("desk-3", ["10.0.0.12", "fd00::12"]),
    }
    guest = native(driver, "desk-2").guest
    lengths = [(one.ipAddress, one.prefixLength) for one in guest.net[0].ipConfig.ipAddress]
    assert lengths == [("10.0.0.11", 23), ("fd00::11", 64)]
    stack = guest.ipStack[0]
    assert [route.gateway.ipAddress for route in stack.ipRouteConfig.ipRoute] == [
        "10.0.0.1",
        "fd00::1",
    ]
    assert stack.dnsConfig.ipAddress == ["10.0.0.2", "10.0.0.3"]
    assert (stack.dnsConfig.hostName, stack.dnsConfig.domainName) == ("desk-2", "lab.example")


def test_windows_joins_its_domain_with_the_unit_and_passwords_on_the_wire_alone(
    clone: Run, driver: Driver, simulator: Simulator, env: dict[str, str], file: Path
) -> None:
    code, report = clone(WINDOWS)
    assert code == 0
    assert report["clones"][0]["addresses"] == ["10.0.0.10"]
    (sent,) = simulator.requests("CloneVM_Task")
    assert "<value>adm!n-Secret</value><plainText>true</plainText>" in sent
    assert "<domainOU>OU=Desktops,DC=corp,DC=example</domainOU>" in sent
    assert "<timeZone>110</timeZone>" in sent
    guest = native(driver, "desk-1").guest
    assert guest.net[0].dnsConfig.ipAddress == ["10.0.0.2"]
    assert guest.ipStack[0].dnsConfig.domainName == "corp.example"
    shown = command.run("clone", PARENT, "desk-9", "--customize", str(file), "--dry-run", env=env)
    assert "********" in shown.stdout
    for password in PASSWORDS.values():
        assert password not in shown.stdout + shown.stderr + json.dumps(report)


@pytest.mark.parametrize("transport", ["guestinfo", "customization"])
def test_cloud_init_is_configured_by_either_transport(
    clone: Run, driver: Driver, transport: str
) -> None:
    code, report = clone(f"{CLOUD_INIT}  transport: {transport}\n", names="desk-{1..2}")
    assert code == 0
    told = [(one["host_name"], one["addresses"]) for one in report["clones"]]
    assert told == [("desk-1", ["10.0.0.10"]), ("desk-2", ["10.0.0.11"])]
    stack = native(driver, "desk-1").guest.ipStack[0]
    assert stack.dnsConfig.ipAddress == ["10.0.0.2"]
    assert [route.gateway.ipAddress for route in stack.ipRouteConfig.ipRoute] == ["10.0.0.1"]


def test_an_instance_id_is_the_clone_s_own_and_passwords_do_not_stay_in_the_settings(
    clone: Run, driver: Driver
) -> None:
    clone(CLOUD_INIT, names="desk-{1..2}")
    first, second = find(driver, "desk-1"), find(driver, "desk-2")
    assert (first.instance_id, second.instance_id) == (first.uuid, second.uuid)
    settings = {one.key: one.value for one in native(driver, "desk-1").config.extraConfig}
    assert settings["guestinfo.userdata"] == "---"
    assert settings["guestinfo.metadata.encoding"] == "gzip+base64"


def test_the_parents_customization_does_not_override_that_of_a_clone(
    clone: Run, driver: Driver
) -> None:
    text = json.dumps({"instance-id": "old", "local-hostname": "golden"})
    reconfigure(driver, extraConfig=[vim.option.OptionValue(key="guestinfo.metadata", value=text)])
    code, report = clone(LINUX)
    assert code == 0
    assert report["clones"][0]["host_name"] == "desk-1"
    assert find(driver, "desk-1").instance_id == ""


def test_cards_are_matched_by_their_pci_slots(clone: Run, driver: Driver) -> None:
    """The fourth card of a VM mostly stands before the first; entries go by slot."""
    cards = [_card(-1, 256), _card(-2, 16)]
    reconfigure(driver, deviceChange=cards)
    each = "\n".join(f"  - {{range: 10.{n}.0.1/24}}" for n in range(3))
    code, _ = clone(f"os: linux\naddresses:\n{each}\n")
    assert code == 0
    net = native(driver, "desk-1").guest.net
    assert [list(card.ipAddress) for card in net] == [["10.0.0.1"], ["10.1.0.1"], ["10.2.0.1"]]


def test_cloud_init_tells_several_cards_apart_by_what_linux_calls_them(
    clone: Run, driver: Driver
) -> None:
    reconfigure(driver, deviceChange=[_card(-1, 256), _card(-2, 16)])
    each = "\n".join(f"  - {{range: 10.{n}.0.1/24}}" for n in range(3))
    code, _ = clone(f"os: cloud-init\naddresses:\n{each}\n")
    assert code == 0
    net = native(driver, "desk-1").guest.net
    assert [list(card.ipAddress) for card in net] == [["10.0.0.1"], ["10.1.0.1"], ["10.2.0.1"]]


def _card(key: int, slot: int) -> Any:
    device = vim.vm.device
    return device.VirtualDeviceSpec(
        operation="add",
        device=device.VirtualVmxnet3(
            key=key,
            backing=device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network"),
            slotInfo=device.VirtualDevice.PciBusSlotInfo(pciSlotNumber=slot),
            addressType="assigned",
        ),
    )


# -- refused before anything is sent ------------------------------------------------------


def test_cards_are_counted_before_the_call(clone: Run, simulator: Simulator) -> None:
    code, report = clone("os: linux\naddresses:\n  - {dhcp: true}\n  - {dhcp: true}\n")
    assert code != 0
    told = json.dumps(report)
    assert "says of 2 network cards" in told
    assert "desk-1 will have 1" in told
    assert "CloneVM_Task" not in simulator.calls()


def test_a_card_that_is_added_counts(clone: Run) -> None:
    text = "os: linux\naddresses:\n  - {dhcp: true}\n  - {dhcp: true}\n"
    code, _ = clone(text, "--add-nic", "VM Network")
    assert code == 0


def test_the_entries_of_a_stored_specification_are_counted_too(
    clone: Run, env: dict[str, str], simulator: Simulator
) -> None:
    done = command.run(
        "clone",
        PARENT,
        "desk-1",
        "--customization-spec",
        "vcsim-linux",
        "--add-nic",
        "VM Network",
        env=env,
    )
    assert done.returncode != 0
    assert (
        "'vcsim-linux' says of 1 network card what they get, and desk-1 will have 2" in done.stderr
    )
    assert "CloneVM_Task" not in simulator.calls()


@pytest.mark.parametrize(
    ("version", "text", "told"),
    [
        ("7.0.2.0", f"{CLOUD_INIT}  transport: customization\n", "needs vSphere 7.0.3"),
        ("8.0.1.0", WINDOWS, "windows.join.ou needs vSphere 8.0.2"),
        (
            "8.0.3.0",
            "os: linux\nlinux: {password: {env: ADMIN_PASSWORD}}\n",
            "linux.password needs vSphere 9.1",
        ),
        ("8.0.3.0", "os: linux\naddresses: {range6: 'fd00::1/64'}\n", "needs vSphere 9.1"),
    ],
)
def test_what_an_older_server_would_drop_in_silence_is_refused_by_name(
    start_simulator: Start, tmp_path: Path, version: str, text: str, told: str
) -> None:
    simulator = start_simulator("-api-version", version)
    env = command.environment(simulator, tmp_path) | PASSWORDS
    assert command.run("snapshot", "create", PARENT, "base", env=env).returncode == 0
    (tmp_path / "guest.yaml").write_text(text)
    given = ("clone", PARENT, "desk-1", "--customize", str(tmp_path / "guest.yaml"))
    done = command.run(*given, env=env)
    assert done.returncode != 0
    assert told in done.stderr
    assert "CloneVM_Task" not in simulator.calls()


# -- stored specifications ----------------------------------------------------------------


def test_given_settings_override_a_stored_customization_without_changing_it(
    clone: Run, driver: Driver, simulator: Simulator
) -> None:
    store(driver, "gold", encrypted(driver))
    text = "stored: gold\naddresses: {range: 10.0.0.10-10.0.0.20/24}\nwindows: {full_name: Mine}\n"
    code, report = clone(text, names="desk-{1..2}")
    assert code == 0
    assert [one["host_name"] for one in report["clones"]] == ["desk-1", "desk-2"]
    assert [one["addresses"] for one in report["clones"]] == [["10.0.0.10"], ["10.0.0.11"]]
    for sent in simulator.requests("CloneVM_Task"):
        assert "<fullName>Mine</fullName><orgName>Stored Ltd</orgName>" in sent
        assert "<value>c1pher</value><plainText>false</plainText>" in sent
    assert isinstance(driver, VsphereDriver)
    manager = driver._session.content.customizationSpecManager
    assert manager.GetCustomizationSpec("gold").spec.identity.userData.fullName == "Stored"


def test_names_invalid_for_the_stored_guest_system_are_reported_before_cloning(
    clone: Run, driver: Driver, simulator: Simulator
) -> None:
    store(driver, "gold", encrypted(driver))
    text = 'stored: gold\nhost_name: "longname-{name}"\n'
    simulator.reset_calls()
    code, report = clone(text, names="desk-{8..10}")
    assert code == 2, report
    assert "has 16 characters" in report["error"]["brief"]
    assert simulator.calls().get("CloneVM_Task", 0) == 0


def test_a_password_encrypted_by_another_vcenter_is_reported_and_can_be_replaced(
    clone: Run, driver: Driver, env: dict[str, str]
) -> None:
    store(driver, "copied", encrypted(driver, key=[1, 2, 3]))
    code, report = clone("stored: copied\n")
    assert code == 1
    assert "decrypt" in json.dumps(report["clones"][0]["error"])
    assert not exists(env, "desk-1")
    text = "stored: copied\nwindows: {administrator_password: {env: ADMIN_PASSWORD}}\n"
    code, report = clone(text)
    assert code == 0


# -- failures -------------------------------------------------------------------------------


def test_a_specification_of_the_wrong_system_leaves_nothing_behind(
    clone: Run, driver: Driver, env: dict[str, str]
) -> None:
    reconfigure(driver, guestId="windows2019srv_64Guest")
    code, report = clone(LINUX)
    assert code == 1
    assert report["clones"][0]["error"]["stage"] == "customize"
    assert not exists(env, "desk-1")


def test_a_mismatch_that_only_the_server_sees_leaves_nothing_unless_it_is_to_be_kept(
    clone: Run, simulator: Simulator, env: dict[str, str]
) -> None:
    counts = {"numberOfNicsInSpec": 1, "numberOfNicsInVM": 2}
    for _ in range(2):
        simulator.fault("CloneVM_Task", "NicSettingMismatch", leave=True, properties=counts)
    code, report = clone(LINUX)
    (made,) = report["clones"]
    assert (code, made["status"], made["error"]["stage"]) == (1, "failed", "customize")
    assert "numberOfNicsInVM: 2" in made["error"]["details"]
    assert not exists(env, "desk-1")
    code, report = clone(LINUX, "--keep-failed")
    (made,) = report["clones"]
    assert (code, made["status"]) == (1, "failed")
    assert "was kept" in made["error"]["brief"]
    assert "linkedclone delete desk-1" in made["error"]["hint"]
    assert exists(env, "desk-1")


def test_a_clone_kept_after_a_failure_is_reported_and_left_alone(
    clone: Run, simulator: Simulator, driver: Driver
) -> None:
    counts = {"numberOfNicsInSpec": 1, "numberOfNicsInVM": 2}
    simulator.fault("CloneVM_Task", "NicSettingMismatch", leave=True, properties=counts)
    clone(LINUX, "--keep-failed")
    before = find(driver, "desk-1")
    code, report = clone(LINUX)
    (made,) = report["clones"]
    assert (code, made["status"]) == (1, "failed")
    assert "was left by a failed or interrupted call" in made["error"]["brief"]
    assert "linkedclone delete desk-1" in made["error"]["hint"]
    assert find(driver, "desk-1") == before
    assert before.power is Power.OFF


def test_a_customized_clone_that_cannot_be_started_is_kept(
    clone: Run, simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    simulator.fault("CloneVM_Task", "InsufficientMemoryResourcesFault", at="poweron")
    code, report = clone(LINUX)
    (made,) = report["clones"]
    assert (code, made["error"]["stage"]) == (1, "power-on")
    assert exists(env, "desk-1")
    assert clone(LINUX)[0] == 0
    again = find(driver, "desk-1")
    assert (again.host_name, again.addresses) == ("desk-1", ("10.0.0.10", "fd00::10"))
