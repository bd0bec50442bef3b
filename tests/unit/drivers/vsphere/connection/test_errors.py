"""Every fault [fact: vs-fault-kinds] has its class, its hint and the server's words."""

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.connection.answers import StrangeAnswerError
from linkedclone.drivers.vsphere.connection.errors import fill, translate
from linkedclone.drivers.vsphere.connection.fault_table import RULES
from linkedclone.drivers.vsphere.connection.transport import Reply, Stub
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CustomizationError,
    DuplicateNameError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    LockedError,
    NoSpaceError,
    PermissionDeniedError,
    PowerOnError,
    SessionLostError,
    UnsupportedError,
)

EXPECTED: list[tuple[type, type[LinkedCloneError]]] = [
    (vim.fault.TaskInProgress, BusyError),
    (vim.fault.ConcurrentAccess, BusyError),
    (vmodl.fault.HostCommunication, BusyError),
    (vmodl.fault.HostNotConnected, BusyError),
    (vmodl.fault.HostNotReachable, BusyError),
    (vim.fault.NotAuthenticated, SessionLostError),
    (vim.fault.NoPermission, PermissionDeniedError),
    (vim.fault.InvalidLogin, AuthenticationError),
    (vmodl.fault.InvalidArgument, HypervisorError),
    (vim.fault.InvalidName, HypervisorError),
    (vim.fault.DuplicateName, DuplicateNameError),
    (vim.fault.InvalidState, HypervisorError),
    (vim.fault.InvalidPowerState, HypervisorError),
    (vim.fault.FileLocked, LockedError),
    (vim.fault.NoDiskSpace, NoSpaceError),
    (vim.fault.InsufficientStorageSpace, NoSpaceError),
    (vim.fault.CannotAccessVmComponent, HypervisorError),
    (vim.fault.CannotAccessVmDisk, HypervisorError),
    (vim.fault.CannotAccessFile, HypervisorError),
    (vmodl.fault.NotSupported, UnsupportedError),
    (vim.fault.MethodDisabled, UnsupportedError),
    (vim.fault.CannotMoveVmWithDeltaDisk, HypervisorError),
    (vim.fault.CannotMoveVmWithNativeDeltaDisk, HypervisorError),
    (vim.fault.DeltaDiskFormatNotSupported, HypervisorError),
    (vim.fault.CustomizationFault, CustomizationError),
    (vim.fault.NicSettingMismatch, CustomizationError),
    (vim.fault.CustomizationPending, CustomizationError),
    (vim.fault.CannotDecryptPasswords, CustomizationError),
    (vim.fault.UncustomizableGuest, CustomizationError),
    (vim.fault.RestrictedVersion, UnsupportedError),
    (vmodl.fault.NotEnoughLicenses, UnsupportedError),
    (vim.fault.NoCompatibleHost, PowerOnError),
    (vim.fault.InsufficientResourcesFault, PowerOnError),
    (vim.fault.InsufficientMemoryResourcesFault, PowerOnError),
    (vim.fault.InsufficientFailoverResourcesFault, PowerOnError),
    (vmodl.fault.ManagedObjectNotFound, GoneError),
    (vmodl.fault.RequestCanceled, HypervisorError),
    (vmodl.fault.SystemError, HypervisorError),
    (vim.fault.GenericVmConfigFault, HypervisorError),
]


@pytest.mark.parametrize(("fault", "error"), EXPECTED, ids=lambda cls: cls.__name__)
def test_each_fault_has_its_class_and_a_hint(fault: type, error: type[LinkedCloneError]) -> None:
    found = translate(fault(msg="the server's words"), "clone desk-001")
    assert type(found) is error
    assert found.hint
    assert found.brief.startswith("could not clone desk-001: ")
    assert found.details.startswith("the server's words")
    if isinstance(found, HypervisorError):
        assert found.kind == fault.__name__.rpartition(".")[2]


def test_no_rule_is_for_a_fault_that_does_not_exist() -> None:
    for name in RULES:
        assert hasattr(vim.fault, name) or hasattr(vmodl.fault, name), name


def test_an_unknown_fault_keeps_its_name_and_words() -> None:
    error = translate(vim.fault.AlreadyBeingManaged(msg="in use", ipAddress="10.0.0.1"), "x")
    assert type(error) is HypervisorError
    assert error.details == "in use\nipAddress: 10.0.0.1"
    assert error.kind == "AlreadyBeingManaged"
    assert error.hint


def test_a_missing_privilege_is_named_with_its_object() -> None:
    fault = vim.fault.NoPermission(
        msg="denied",
        privilegeId="VirtualMachine.Provisioning.Clone",
        object=vim.VirtualMachine("vm-42", None),
    )
    details = translate(fault, "x").details
    assert "privilegeId: VirtualMachine.Provisioning.Clone" in details
    assert "object: VirtualMachine:vm-42" in details


def test_the_reasons_of_each_host_are_kept() -> None:
    fault = vim.fault.NoCompatibleHost(
        msg="no host", error=[vim.fault.CannotAccessVmDisk(msg="cannot see [ssd1]")]
    )
    assert "cannot see [ssd1]" in translate(fault, "x").details


def test_both_counts_of_a_network_mismatch_are_kept() -> None:
    fault = vim.fault.NicSettingMismatch(msg="no", numberOfNicsInSpec=2, numberOfNicsInVM=1)
    details = translate(fault, "x").details
    assert "numberOfNicsInSpec: 2" in details
    assert "numberOfNicsInVM: 1" in details


def test_messages_and_causes_are_kept() -> None:
    fault = vim.fault.GenericVmConfigFault(
        msg="failed",
        reason="disk chain broken",
        faultMessage=[vmodl.LocalizableMessage(key="k", message="more of it")],
        faultCause=vim.fault.FileLocked(msg="locked", file="[ssd1] g/g.vmdk"),
    )
    details = translate(fault, "x").details.splitlines()
    assert details == [
        "failed",
        "more of it",
        "reason: disk chain broken",
        "caused by: locked, file: [ssd1] g/g.vmdk",
    ]


def test_a_fault_without_words_shows_its_type() -> None:
    assert translate(vim.fault.TaskInProgress(), "x").details == "TaskInProgress"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("full", "full"),
        ("the store[ {name}] is full", "the store ssd1 is full"),
        ("the store[ {other}] is full", "the store is full"),
        ("[{name}][ and {other}]", "ssd1"),
    ],
)
def test_a_template_omits_unknown_values(template: str, text: str) -> None:
    assert fill(template, {"name": "ssd1", "other": ""}) == text


def test_every_template_can_be_filled_with_nothing() -> None:
    for rule in RULES.values():
        for template in (rule.reason, rule.hint):
            assert not set(fill(template, {})) & set("{}[]")


def test_objects_are_named_where_the_server_can_be_asked() -> None:
    fault = vim.fault.DuplicateName(name="a", object=vim.VirtualMachine("vm-42", None))
    error = translate(fault, "x", name_of=lambda _: "golden")
    assert "by golden" in error.brief
    assert "object: VirtualMachine:vm-42 (golden)" in error.details


# -- what pyVmomi does not know ------------------------------------------------------------

ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
xmlns:xsd="http://www.w3.org/2001/XMLSchema"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{content}
</soapenv:Body></soapenv:Envelope>"""
FAULT = """<soapenv:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>{words}</faultstring>{detail}</soapenv:Fault>"""
UPDATES = """<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>
<obj type="Task">task-1</obj><propSet><name>info.error</name>{error}</propSet>
</objects></returnval></RetrievePropertiesExResponse>"""


def called(method: str, content: str, status: int = 200) -> object:
    stub = Stub(host="nowhere.invalid")
    kinds: dict[str, tuple[Any, str]] = {
        "clone": (vim.VirtualMachine, "Clone"),
        "read": (vmodl.query.PropertyCollector, "RetrievePropertiesEx"),
    }
    kind, name = kinds[method]
    body = ENVELOPE.format(content=content).encode()
    reply = Reply(status=status, reason="OK", body=body)
    return stub.read_reply(reply, kind._GetMethodInfo(name))


def refusal(words: str, detail: str = "") -> LinkedCloneError:
    with pytest.raises(vmodl.MethodFault) as caught:
        called("clone", FAULT.format(words=words, detail=detail), 500)
    return translate(caught.value, "clone desk-001")


def test_a_fault_without_a_detail_keeps_its_words() -> None:
    for detail in ("", "<detail/>", "<detail></detail>"):
        assert (
            "fault.RequestCanceled.summary"
            in refusal("fault.RequestCanceled.summary", detail).details
        )


def test_a_fault_that_is_not_known_keeps_its_name_its_words_and_what_it_holds() -> None:
    detail = """<detail><QuantumStorageFault xmlns="urn:vim25" xsi:type="QuantumStorage">
    <faultMessage><key>a.b</key><message>the second sentence</message></faultMessage>
    <depth>12</depth></QuantumStorageFault></detail>"""
    for written in (detail, detail.replace(' xsi:type="QuantumStorage"', "")):
        error = refusal("No quantum.", written)
        assert isinstance(error, HypervisorError)
        assert error.kind == "QuantumStorage"
        for words in ("No quantum.", "the second sentence", "depth: 12"):
            assert words in error.details


def test_an_enum_value_that_is_not_known_loses_no_words() -> None:
    detail = """<detail><InvalidPowerStateFault xmlns="urn:vim25" xsi:type="InvalidPowerState">
    <requestedState>poweredOn</requestedState><existingState>hibernated</existingState>
    </InvalidPowerStateFault></detail>"""
    error = refusal("Not now.", detail)
    assert isinstance(error, HypervisorError)
    assert error.kind == "InvalidPowerState"
    assert "hibernated" in error.details


@pytest.mark.parametrize("kind", ["QuantumStorage", "NoDiskSpace"])
def test_the_reason_for_a_failed_task_is_reported_for_any_fault(kind: str) -> None:
    error = f"""<val xsi:type="LocalizedMethodFault"><fault xsi:type="{kind}">
    <faultCause><fault xsi:type="SolarFlare"><wind>strong</wind></fault>
    <localizedMessage>The sun.</localizedMessage></faultCause>
    <datastore>ds1</datastore><mood>low</mood></fault>
    <localizedMessage>It is full.</localizedMessage></val>"""
    answer: Any = called("read", UPDATES.format(error=error))
    fault = answer.objects[0].propSet[0].val
    told = translate(fault, "clone desk-001")
    assert isinstance(told, HypervisorError)
    assert told.kind == kind
    for words in ("It is full.", "ds1", "mood: low", "strong", "The sun."):
        assert words in told.details


def test_a_device_of_a_type_that_is_not_known_is_not_made_into_another() -> None:
    error = """<val xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualQubit">
    <key>7</key></VirtualDevice></val>"""
    with pytest.raises(StrangeAnswerError, match="VirtualQubit"):
        called("read", UPDATES.format(error=error))
