"""Each fault of the driver's table, over real SOAP: what the user reads of it. A table.

One batch of clones, each of which fails in its own way, read from the command's
JSON; then those that come at the call, or from other calls.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import command
from tests.simulator import Simulator

pytestmark = pytest.mark.together("faults")  # one worker sets up what they share

PARENT = "DC0_H0_VM0"


@dataclass(frozen=True)
class Case:
    """A fault, and words that its brief, details and hint have to hold."""

    fault: str
    brief: str
    hint: str
    details: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    alike: bool = False  # its hint is another row's on purpose


def task(moid: str) -> dict[str, str]:
    return {"type": "Task", "value": moid}


NOT_FOUND = {
    "fault": {"_typeName": "FileNotFound", "file": "[ssd1] g/g.vmdk"},
    "localizedMessage": "not found",
}

CASES = [
    Case("TaskInProgress", "another task (Task:task-1)", "has ended", "task: Task:task-1",
         {"task": task("task-1")}),
    Case("ConcurrentAccess", "at the same moment", "the current state"),
    Case("HostCommunication", "do not understand each other", "management network"),
    Case("HostNotConnected", "not connected to vCenter", "connect the host"),
    Case("HostNotReachable", "over the network", "host's power"),
    Case("FileLocked", "holds the file [LocalDS_0] g/g.vmdk", "vmkfstools", "g/g.vmdk",
         {"file": "[LocalDS_0] g/g.vmdk"}),
    Case("NoPermission", "lacks a privilege: VirtualMachine.Provisioning.Clone on DC0_H0_VM0",
         "with it on DC0_H0_VM0", "privilegeId: VirtualMachine.Provisioning.Clone",
         {"privilegeId": "VirtualMachine.Provisioning.Clone", "object": "PARENT"}),
    Case("RestrictedByAdministrator", "forbidden", "freeze until Monday", "",
         {"details": "freeze until Monday"}),
    Case("InvalidArgument", "resource pool is missing", "--resource-pool",
         "invalidProperty: spec.location.pool", {"invalidProperty": "spec.location.pool"}),
    Case("InvalidArgument", "no such snapshot", "--snapshot", "spec.snapshot",
         {"invalidProperty": "spec.snapshot"}),
    Case("InvalidArgument", "the datastore cannot take it", "--datastore", "",
         {"invalidProperty": "spec.location.datastore"}),
    Case("InvalidArgument", "the host cannot take it", "--host", "",
         {"invalidProperty": "spec.location.host"}),
    Case("InvalidArgument", "way of moving disks", "--disk-move-type", "",
         {"invalidProperty": "spec.location.disk[0].diskMoveType"}),
    Case("InvalidArgument", "an argument: spec.odd", "--dry-run", "",
         {"invalidProperty": "spec.odd"}),
    Case("InvalidName", "the name x*y", "another name", "", {"name": "x*y"}),
    Case("InvalidState", "not in the state for it", "running tasks"),
    Case("InvalidPowerState", "it is poweredOn and has to be poweredOff", "start or stop", "",
         {"existingState": "poweredOn", "requestedState": "poweredOff"}),
    Case("InvalidHostConnectionState", "lost its connection", "connect it again"),
    Case("NoDiskSpace", "the datastore ssd1 is full", "free space on ssd1", "datastore: ssd1",
         {"datastore": "ssd1"}),
    Case("InsufficientStorageSpace", "may come to need", "overcommit"),
    Case("CannotAccessVmComponent", "a part of the VM", "datastores of the parent's disk chain"),
    Case("CannotAccessVmDisk", "reach the disk Hard disk 1 [ssd1] g/g.vmdk",
         "mount the datastore of that disk", "",
         {"device": "Hard disk 1", "backing": "[ssd1] g/g.vmdk",
          "connected": True, "fault": NOT_FOUND}),
    Case("FileNotFound", "unable to access file [ssd1] g.vmdk", "linkedclone doctor", "",
         {"file": "[ssd1] g.vmdk"}),
    Case("InvalidDatastore", "the datastore old", "maintenance mode, or take --datastore", "",
         {"name": "old"}),
    Case("InaccessibleDatastore", "not accessible: APD", "mount it on the hosts", "",
         {"name": "far", "detail": "APD"}),
    Case("DeltaDiskFormatNotSupported", "this kind of delta disk (seSparseFormat)",
         "same type and version", "", {"deltaDiskFormat": "seSparseFormat"}),
    Case("CannotMoveVmWithDeltaDisk", "a VM with a delta disk (Hard disk 1)", "relocate", "",
         {"device": "Hard disk 1"}),
    Case("CannotMoveVmWithNativeDeltaDisk", "native clones", "where its parent is"),
    Case("NotSupported", "does not support it", "not a lone ESXi host"),
    Case("MethodDisabled", "another product (com.vmware.vsan)", "release it there: com.vmware.vsan",
         "", {"source": "com.vmware.vsan"}),
    Case("RestrictedVersion", "this licence allows no changes", "free ESXi licence"),
    Case("NotEnoughLicenses", "not enough licences", "add a licence"),
    Case("LicenseExpired", "(ABC) has expired", "renew", "", {"licenseKey": "ABC"}),
    Case("NicSettingMismatch", "2 in the specification, 1 cards in the VM", "so 1", "",
         {"numberOfNicsInSpec": 2, "numberOfNicsInVM": 1}),
    Case("CannotDecryptPasswords", "cannot decrypt the passwords", "another vCenter"),
    Case("CustomizationPending", "has not run yet", "start the VM once"),
    Case("UncustomizableGuest", "this guest system (dosGuest)", "guest OS of the parent", "",
         {"uncustomizableGuestOS": "dosGuest"}),
    Case("LinuxVolumeNotClean", "unmounted cleanly", "shut it down properly"),
    Case("MissingWindowsCustResources", "Sysprep files", "sysprep folder"),
    Case("MissingLinuxCustResources", "customizing Linux", "repair the vCenter"),
    Case("CustomizationFault", "customization is refused", "has to be the guest's"),
    Case("NoCompatibleHost", "no host can take the VM", "the reason of each host",
         "error: cannot see it, device: d, backing: [far] g.vmdk",
         {"error": [{"fault": {"_typeName": "CannotAccessVmDisk", "device": "d",
                               "backing": "[far] g.vmdk", "connected": True,
                               "fault": NOT_FOUND},
                     "localizedMessage": "cannot see it"}]}),
    Case("InsufficientResourcesFault", "resources of the pool or host", "another place"),
    Case("InsufficientMemoryResourcesFault", "4096 bytes are wanted, 1024 are free", "--memory", "",
         {"requested": 4096, "unreserved": 1024}),
    Case("InsufficientCpuResourcesFault", "2000 MHz are wanted", "--cpus", "",
         {"requested": 2000, "unreserved": 100}),
    Case("InsufficientFailoverResourcesFault", "admission control", "change the cluster's"),
    Case("ManagedObjectNotFound", "the object DC0_H0_VM0 was deleted", "linkedclone list", "",
         {"obj": "PARENT"}),
    Case("RequestCanceled", "cancelled at the server", "a slip"),
    Case("SystemError", "vCenter failed inside: vpxd.vmomi", "vpxd.log", "",
         {"reason": "vpxd.vmomi"}),
    Case("GenericVmConfigFault", "the VM's configuration: disk chain", "hostd.log",
         "caused by: locked, file: [s] x", {"reason": "disk chain",
         "faultCause": {"fault": {"_typeName": "FileLocked", "file": "[s] x"},
                        "localizedMessage": "locked"}}),
    Case("VmConfigFault", "configuration does not allow it", "hardware version"),
    Case("TooManySnapshotLevels", "too many snapshots", "snapshot delete"),
    Case("QuestionPending", "waits for an answer: moved or copied?", "answer it in vCenter", "",
         {"text": "moved or copied?"}),
    Case("AlreadyBeingManaged", "vCenter refuses", "server's words above", "10.0.0.1",
         {"ipAddress": "10.0.0.1"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as started:
        yield started


@pytest.fixture(scope="module")
def env(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    env = command.environment(simulator, tmp_path_factory.mktemp("home"))
    done = command.run("snapshot", "create", PARENT, "base", env=env)
    assert done.returncode == 0, done.stderr
    return env


def moid_of_parent(env: dict[str, str]) -> str:
    _, shown = command.run_json("show", PARENT, env=env)
    return str(shown["id"])


def name_of(number: int) -> str:
    return f"desk-{number + 1:02}"


@pytest.fixture(scope="module")
def errors(simulator: Simulator, env: dict[str, str]) -> dict[int, dict[str, str]]:
    """Let one batch fail in all these ways; return the errors by the case's number."""
    parent = {"type": "VirtualMachine", "value": moid_of_parent(env)}
    for number, case in enumerate(CASES):
        properties = {k: parent if v == "PARENT" else v for k, v in case.properties.items()}
        simulator.fault(
            "CloneVM_Task",
            case.fault,
            name=name_of(number),
            count=-1,
            properties=properties,
            message=f"the server's words on {case.fault}",
        )
    code, report = command.run_json(
        "clone", PARENT, f"desk-{{01..{len(CASES):02}}}", "--power", "off", env=env
    )
    simulator.control("DELETE", "faults")
    assert code == 1, report
    by_name = {clone["name"]: clone["error"] for clone in report["clones"]}
    return {number: by_name[name_of(number)] for number in range(len(CASES))}


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{n}-{case.fault}" for n, case in enumerate(CASES)]
)
def test_what_the_user_reads(errors: dict[int, dict[str, str]], number: int) -> None:
    case, error = CASES[number], errors[number]
    assert case.brief in error["brief"]
    assert case.hint in error["hint"]
    assert case.details in error["details"]
    assert f"the server's words on {case.fault}" in error["details"]
    assert "task: task-" in error["details"]
    for text in (error["brief"], error["hint"]):
        assert not set(text) & set("{}"), text


def test_no_fault_shares_the_words_of_another(errors: dict[int, dict[str, str]]) -> None:
    briefs = [error["brief"].partition(": ")[2] for error in errors.values()]
    hints = [error["hint"] for error in errors.values()]
    assert sorted(set(briefs)) == sorted(briefs)
    assert sorted(set(hints)) == sorted(hints)


def test_nothing_is_left_of_all_that_failed(
    errors: dict[int, dict[str, str]], env: dict[str, str]
) -> None:
    assert errors
    _, listing = command.run_json("list", env=env)
    assert [vm["name"] for vm in listing["vms"] if vm["owner"]] == []


@dataclass(frozen=True)
class Elsewhere:
    """A fault of another call, the command that meets it, and words of the hint."""

    method: str
    at: str
    fault: str
    argv: tuple[str, ...]
    hint: str


START = ("start", PARENT, "--force")
TAKE = ("snapshot", "create", PARENT, "s")

ELSEWHERE = [
    Elsewhere("PowerOnVM_Task", "call", "RestrictedVersion", START, "free ESXi"),
    Elsewhere("PowerOnVM_Task", "task", "NotEnoughLicenses", START, "add a licence"),
    Elsewhere("CreateSnapshot_Task", "call", "MethodDisabled", TAKE, "release"),
    Elsewhere("CreateSnapshot_Task", "task", "TooManySnapshotLevels", TAKE, "delete old ones"),
    Elsewhere("RetrievePropertiesEx", "call", "NoPermission", ("list",), "doctor"),
    Elsewhere("RetrievePropertiesEx", "call", "SystemError", ("list",), "vpxd.log"),
    Elsewhere("Login", "call", "InvalidLogin", ("list",), "user@domain"),
]


@pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: f"{case.method}-{case.fault}")
def test_faults_of_other_calls_are_reported_as_well(
    simulator: Simulator, env: dict[str, str], case: Elsewhere
) -> None:
    simulator.fault(case.method, case.fault, at=case.at, count=-1)
    code, document = command.run_json(*case.argv, env=env)
    simulator.control("DELETE", "faults")
    assert code == 1
    error = document.get("error") or document["results"][0]["error"]
    assert case.hint in error["hint"]
    assert error["details"]


def test_a_wrong_password_is_distinguished_from_an_expired_session(
    simulator: Simulator, env: dict[str, str], tmp_path: Path
) -> None:
    wrong = env | {"GOVC_PASSWORD": "wrong"}
    code, document = command.run_json("list", env=wrong)
    assert code == 1
    assert "user name or password" in document["error"]["brief"]
    assert "wrong" not in document["error"]["details"]


def test_all_missing_privileges_are_named_with_the_name_of_the_object(
    simulator: Simulator, env: dict[str, str]
) -> None:
    parent = {"type": "VirtualMachine", "value": moid_of_parent(env)}
    missing = [
        {
            "entity": parent,
            "privilegeIds": ["VirtualMachine.Provisioning.Clone", "Datastore.AllocateSpace"],
        }
    ]
    simulator.fault(
        "CloneVM_Task",
        "NoPermission",
        at="call",
        properties={
            "object": parent,
            "privilegeId": "VirtualMachine.Provisioning.Clone",
            "missingPrivileges": missing,
        },
    )
    code, report = command.run_json("clone", PARENT, "late", env=env)
    assert code == 1
    brief = report["clones"][0]["error"]["brief"]
    assert "VirtualMachine.Provisioning.Clone, Datastore.AllocateSpace on DC0_H0_VM0" in brief
