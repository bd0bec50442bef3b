"""Answers of the server as pyVmomi's objects."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.tolerant import (
    UNDECODABLE,
    decode,
    decode_soap_fault,
)
from linkedclone.drivers.vsphere.native import Native

SPACES = (
    'xmlns="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
)


def read(kind: str, content: str, declared: type = object) -> Native:
    named = f'xsi:type="{kind}"' if kind else ""
    return decode(ET.fromstring(f"<val {SPACES} {named}>{content}</val>"), declared, None)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("xsd:boolean", ""),
        ("xsd:boolean", "yes"),
        ("xsd:dateTime", ""),
        ("xsd:dateTime", "yesterday"),
        ("xsd:int", ""),
        ("", "false"),
        ("", "<name>desk-001</name>"),
        ("xsd:string", "desk<name>001</name>"),
        ("Newer", "desk"),
        ("VirtualDisk", '<deviceInfo xsi:type="xsd:string">disk</deviceInfo>'),
        ("VirtualDisk", '<deviceInfo xsi:type="VirtualDisk"><key>1</key></deviceInfo>'),
        ("ArrayOfVirtualDevice", '<VirtualDevice xsi:type="Description"></VirtualDevice>'),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_instead_of_ignored(kind: str, content: str) -> None:
    with pytest.raises(UNDECODABLE):
        read(kind, content)


def test_a_type_where_the_schema_leaves_nothing_open_changes_nothing() -> None:
    option = read(
        "OptionValue", '<key xsi:type="xsd:int">7</key><value xsi:type="xsd:int">7</value>'
    )

    assert (option.key, option.value) == ("7", 7)


def test_a_date_without_a_zone_is_by_utc() -> None:
    assert read("xsd:dateTime", "2018-10-24T12:41:02") == datetime(
        2018, 10, 24, 12, 41, 2, tzinfo=UTC
    )


def test_an_enum_value_that_is_not_known_stays_its_text() -> None:
    for text in ("hibernated", "values", "Array"):
        assert read("VirtualMachinePowerState", text) == text
    assert read("VirtualMachinePowerState", "poweredOn") == vim.VirtualMachine.PowerState.poweredOn


def test_a_fault_that_is_nested_too_deeply_is_still_a_fault_of_its_kind() -> None:
    begin, end = '<faultCause><fault xsi:type="NotFound">', "</fault></faultCause>"
    causes = begin * 2000 + end * 2000
    fault = ET.fromstring(
        f"<Fault><faultstring>gone</faultstring><detail>"
        f'<NotFoundFault {SPACES} xsi:type="NotFound">{causes}</NotFoundFault></detail></Fault>'
    )

    found = decode_soap_fault(fault, None)

    assert isinstance(found, vim.fault.NotFound)
    assert found.msg == "gone"
