"""How VMs and layers are named in the state folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.drivers.local.guest.seed import host_name_of
from linkedclone.drivers.local.state.folder import (
    backing_path,
    key_of,
    make_vm_link,
    new_disk_name,
    new_vm_id,
    open_state,
)
from linkedclone.drivers.local.state.record import FILE_NAME, DiskRecord, VmRecord, render_record
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.drivers.qemu.hardware import MachineRecord
from linkedclone.errors import InputError
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import check_name

names = st.text(min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("desk-001", "desk-001"),
        ("Desk_1.A", "desk_1.a"),
        ("two words", "two%20words"),
        ("Grün", "gr%c3%bcn"),
        ("Gru\u0308n", "gr%c3%bcn"),
        (".hidden", "%2ehidden"),
        ("straße", "strasse"),
        ("a\udcff", "a%ed%b3%bf"),
    ],
)
def test_a_name_is_filed_under_a_key(name: str, key: str) -> None:
    assert key_of(name) == key


@given(names)
def test_a_key_is_a_plain_file_name(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    key = key_of(name)
    assert 0 < len(key) <= 140
    assert key.isascii()
    assert not set(key) & set("/\\ \0")
    assert not key.startswith((".", "-"))
    assert len(new_vm_id(name)) + len("12345678.delete-snapshot.") < 255


@given(names, names)
def test_only_names_that_people_take_for_one_share_a_key(one: str, other: str) -> None:
    if key_of(one) == key_of(other):
        assert one.casefold() == other.casefold() or not one.isascii() or not other.isascii()


def test_long_names_keep_apart() -> None:
    assert key_of("ü" * 79 + "a") != key_of("ü" * 79 + "b")


def test_ids_never_come_again() -> None:
    assert len({new_vm_id("desk") for _ in range(100)}) == 100
    assert len({new_disk_name("qcow2") for _ in range(100)}) == 100


def test_a_backing_path_leads_from_one_vms_folder_to_another(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    folder = state.folder(VmId("a.1"))
    assert os.path.normpath(folder / backing_path(VmId("b.2"), "disk")) == str(
        state.folder(VmId("b.2")) / "disk"
    )


def test_a_state_folder_keeps_its_id(tmp_path: Path) -> None:
    assert open_state(tmp_path / "a").store == open_state(tmp_path / "a").store
    assert open_state(tmp_path / "a").store != open_state(tmp_path / "b").store


@pytest.mark.parametrize("vm", ["", "vm-1", "../../etc", "no.such"])
def test_foreign_ids_do_not_exist(tmp_path: Path, vm: str) -> None:
    assert not open_state(tmp_path).exists(VmId(vm))


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("desk-001", "desk-001"),
        ("Web_01.Example", "web-01-example"),
        ("ünïx", "n-x"),
        ("---", "clone"),
        ("x" * 80, "x" * 63),
    ],
)
def test_a_host_name_has_what_host_names_may_have(name: str, host: str) -> None:
    assert host_name_of(name) == host


def test_reading_a_vm_reads_its_link_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = open_state(tmp_path / "state", durable=False)
    vm = VmId("desk-1.0123abcd")
    state.folder(vm).mkdir()
    record = VmRecord(
        name="desk-1",
        uuid="11111111-2222-4333-8444-555555555555",
        disks=(DiskRecord(label="Hard disk 1", file="disk-0123abcd.qcow2"),),
        machine=MachineRecord(cpus=1, memory_bytes=1, cards=()),
    )
    (state.folder(vm) / FILE_NAME).write_bytes(render_record(record))
    make_vm_link(state.birth_link(vm), vm)
    read, readlink = list[str](), os.readlink

    def count(path: str) -> str:
        read.append(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", count)
    assert load_vm(state, vm).record == record
    assert len(read) == 1
