"""Inventories as real servers answered with them, re-typed, replayed through the command line."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from linkedclone.cli.main import main
from tests.simulator import Simulator
from tests.vsphere.proxy import Proxy, Reply, honestly, proxied

ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
xmlns:xsd="http://www.w3.org/2001/XMLSchema"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval>{objects}</returnval>
</RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"""

Inventory = Callable[[str], None]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Simulator.start("-vm", "0") as simulator, proxied(simulator) as proxy:
        yield proxy


@pytest.fixture
def inventory(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Return what makes objects the whole inventory."""
    proxy.change = honestly
    for name, value in proxy.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LINKEDCLONE_ENDPOINT", raising=False)

    def serve(objects: str) -> None:
        whole = ENVELOPE.format(objects=ROOT + STORE + objects).encode()

        def change(method: str, request: bytes, ask: Callable[[], Reply]) -> Reply:
            if method != "RetrievePropertiesEx" or not is_inventory(request):
                return ask()
            asked = set(re.findall(rb"<pathSet>([^<]*)<", request))
            body = PROPERTY.sub(lambda m: m[0] if m[1] in asked else b"", whole)
            return Reply(status=200, body=body)

        proxy.change = change

    return serve


PROPERTY = re.compile(
    rb"<(?:propSet><name|missingSet><path)>([^<]*)<.*?</(?:propSet|missingSet)>", re.DOTALL
)


def is_inventory(request: bytes) -> bool:
    """Say whether a question is for all VMs, from the root folder."""
    return b">group-d1<" in request and b"config.hardware.device" in request


def run(*arguments: str) -> tuple[int, Any, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*arguments, "-o", "json"])
    return code, json.loads(out.getvalue()), err.getvalue()


# -- objects --------------------------------------------------------------------------


def told(path: str, value: str, kind: str = "xsd:string") -> str:
    return f'<propSet><name>{path}</name><val xsi:type="{kind}">{value}</val></propSet>'


def refused(path: str, kind: str) -> str:
    return (
        f'<missingSet><path>{path}</path><fault><fault xsi:type="{kind}"/>'
        "<localizedMessage>The session may not see it.</localizedMessage></fault></missingSet>"
    )


def backing(*files: str) -> str:
    """Return the backing of a disk: its files, the child first."""
    first, *rest = files
    parent = f"<parent>{backing(*rest)}</parent>" if rest else ""
    store = '<datastore type="Datastore">datastore-1</datastore>'
    return f"<fileName>{first}</fileName>{store}{parent}"


def vm(moid: str, name: str, *files: str, more: str = "") -> str:
    disk = (
        '<VirtualDevice xsi:type="VirtualDisk"><key>2000</key>'
        f'<backing xsi:type="VirtualDiskFlatVer2BackingInfo">{backing(*files)}</backing>'
        "<capacityInKB>33554432</capacityInKB></VirtualDevice>"
    )
    folder = files[0].rpartition("/")[0]
    return (
        f'<objects><obj type="VirtualMachine">{moid}</obj>{told("name", name)}'
        + told("config.hardware.device", disk, "ArrayOfVirtualDevice")
        + told("config.files.vmPathName", f"{folder}/{name}.vmx")
        + told("config.instanceUuid", f"5029b1c2-0000-0000-0000-{moid[3:]:0>12}")
        + told("config.uuid", f"4229b1c2-0000-0000-0000-{moid[3:]:0>12}")
        + told("config.template", "false", "xsd:boolean")
        + told("runtime.powerState", "poweredOff", "VirtualMachinePowerState")
        + told("runtime.connectionState", "connected", "VirtualMachineConnectionState")
        + f"{more}</objects>"
    )


def file(key: int, name: str, kind: str, size: int, unique: int | None = None) -> str:
    return (
        f"<VirtualMachineFileLayoutExFileInfo><key>{key}</key><name>{name}</name>"
        f"<type>{kind}</type><size>{size}</size>"
        f"<uniqueSize>{size if unique is None else unique}</uniqueSize>"
        "<accessible>true</accessible></VirtualMachineFileLayoutExFileInfo>"
    )


def layout(files: str, *chains: tuple[int, ...]) -> str:
    units = "".join(
        "<chain>" + "".join(f"<fileKey>{key}</fileKey>" for key in chain) + "</chain>"
        for chain in chains
    )
    disk = (
        "<VirtualMachineFileLayoutExDiskLayout><key>2000</key>"
        f"{units}</VirtualMachineFileLayoutExDiskLayout>"
    )
    return (
        told("layoutEx.file", files, "ArrayOfVirtualMachineFileLayoutExFileInfo")
        + told("layoutEx.disk", disk, "ArrayOfVirtualMachineFileLayoutExDiskLayout")
        + told("layoutEx.timestamp", "2018-10-24T12:41:03.150739Z", "xsd:dateTime")
    )


ROOT = f'<objects><obj type="Folder">group-d1</obj>{told("name", "Datacenters")}</objects>'
STORE = (
    f'<objects><obj type="Datastore">datastore-1</obj>{told("name", "ds1")}'
    + told("summary.url", "ds:///vmfs/volumes/58de9b5d-1/")
    + told("summary.capacity", "1099511627776", "xsd:long")
    + told("summary.freeSpace", "549755813888", "xsd:long")
    + "</objects>"
)
BASE, DELTA = "[ds1] golden/golden.vmdk", "[ds1] golden/golden-000001.vmdk"


# -- the inventories ------------------------------------------------------------------


def test_a1_a_void_page_of_a_real_server(inventory: Inventory, proxy: Proxy) -> None:
    inventory("")
    ended = refused("name", "NotAuthenticated")
    void = f'<objects><obj type="Folder">group-d1</obj>{ended}</objects>'
    body = ENVELOPE.format(objects=void).encode()
    proxy.change = lambda method, _, ask: (
        Reply(status=200, body=body) if method == "RetrievePropertiesEx" else ask()
    )
    code, document, _ = run("list")
    assert (code, document["error"]["kind"]) == (1, "AuthenticationError")
    assert run("delete", "golden", "--yes")[0] == 1


def test_a_vm_on_vmfs_6_whose_descriptors_have_no_size(inventory: Inventory) -> None:
    files = (
        file(2, BASE, "diskDescriptor", 0)
        + file(3, "[ds1] golden/golden-flat.vmdk", "diskExtent", 8910798848)
        + file(31, DELTA, "diskDescriptor", 0)
        + file(32, "[ds1] golden/golden-000001-sesparse.vmdk", "diskExtent", 19922944)
        + file(29, "[ds1] golden/golden-76f3a28e.vswp", "swap", 10737418240)
    )
    golden = vm("vm-22", "golden", DELTA, BASE, more=layout(files, (2, 3), (31, 32)))
    inventory(golden + vm("vm-23", "desk-1", "[ds1] desk-1/desk-1.vmdk", BASE))
    code, document, _ = run("usage")
    assert code == 0
    assert "8910798848" in json.dumps(document)


def test_a_vm_on_vsan_whose_descriptor_alone_has_a_size(inventory: Inventory) -> None:
    home = "[ds1] 3b307865-804d-7d05-3a9d-000000000001"
    files = file(2, f"{home}/vm.vmdk", "diskDescriptor", 1119879168) + file(
        5, f"{home}/vm-ed4cc4ef.vswp", "swap", 134217728, 37748736
    )
    golden = vm("vm-7", "vm", f"{home}/vm.vmdk", more=layout(files, (2,)))
    inventory(golden + vm("vm-8", "desk-1", "[ds1] desk-1/desk-1.vmdk", f"{home}/vm.vmdk"))
    code, document, _ = run("usage")
    assert code == 0
    assert "1119879168" in json.dumps(document)


def test_a_snapshot_that_the_vsphere_client_named(inventory: Inventory) -> None:
    tree = (
        '<currentSnapshot type="VirtualMachineSnapshot">snapshot-126</currentSnapshot>'
        '<rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-126</snapshot>'
        "<name>VM Snapshot 10%252f24%252f2018, 8:42:44 AM</name><id>1</id>"
        "<createTime>2018-10-24T12:41:02.038368Z</createTime></rootSnapshotList>"
    )
    snapshot = (
        '<objects><obj type="VirtualMachineSnapshot">snapshot-126</obj>'
        + told("config.hardware.device", "", "ArrayOfVirtualDevice")
        + "</objects>"
    )
    more = told("snapshot", tree, "VirtualMachineSnapshotInfo")
    inventory(vm("vm-22", "golden", DELTA, BASE, more=more) + snapshot)
    code, document, err = run("tree")
    assert (code, err.count("bug in")) == (0, 0)
    assert "VM Snapshot 10" in json.dumps(document)


def test_a3_properties_that_are_refused_for_several_reasons(inventory: Inventory) -> None:
    hidden = vm("vm-2", "hidden", "[ds1] hidden/hidden.vmdk").replace(
        "<propSet><name>config.hardware.device", refused("config.hardware.device", "NoPermission")
        + "<propSet><name>config.gone",
    )  # fmt: skip
    odd = vm("vm-3", "odd", "[ds1] odd/odd.vmdk", more=refused("guest.ipAddress", "QuantumFault"))
    inventory(vm("vm-1", "golden", BASE) + hidden + odd)
    code, document, _ = run("list")
    modes = {one["name"]: one["mode"] for one in document["vms"]}
    assert code == 0
    assert modes == {"golden": "full", "hidden": "unknown", "odd": "full"}
    assert "The session may not see it." in json.dumps(document)
