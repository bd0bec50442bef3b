"""``vm.json`` and fingerprints: written and read back."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.state.record import (
    FORMAT,
    DiskRecord,
    MemoryRecord,
    SnapshotRecord,
    VmRecord,
    parse_record,
    render_record,
)
from linkedclone.drivers.local.state.ssh import DEFAULT_USER, login_of
from linkedclone.drivers.local.storage.fingerprint import (
    Fingerprint,
    explain_difference,
    parse_fingerprint,
    render_fingerprint,
    sample_offsets,
)
from linkedclone.drivers.qemu.hardware import MachineRecord
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.errors import HypervisorError
from linkedclone.model.values.ids import SnapshotId
from linkedclone.model.vm import Mark, PoolState

KIB = 1 << 10

CARDS = (
    CardRecord(mac="02:00:00:00:00:01"),
    CardRecord(mac="02:00:00:00:00:02", network="private:lab", group="239.192.1.2:20000"),
)
RECORD = VmRecord(
    name="Gründesk",
    uuid="11111111-2222-4333-8444-555555555555",
    machine=MachineRecord(cpus=2, memory_bytes=1 << 30, cards=CARDS, user="root"),
    mark=Mark(owner="desktops", uuid="u", run="r", parent_uuid="p", version="1"),
    annotation="two\nlines",
    snapshots=(
        SnapshotRecord(
            id=SnapshotId("snapshot-1"),
            name="base",
            disks=(
                DiskRecord(label="Hard disk 1", file="disk-0.raw"),
                DiskRecord(label="Hard disk 2", file="disk-4.qcow2"),
            ),
            created=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            description="fresh",
        ),
    ),
    image="/images/image.raw",
    merging=("disk-6.qcow2", "disk-1.qcow2"),
    halted=True,
    created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    disks=(
        DiskRecord(label="Hard disk 1", file="disk-1.qcow2"),
        DiskRecord(label="Hard disk 2", file="disk-5.qcow2"),
    ),
)

FINGERPRINT = Fingerprint(size=10, mtime_ns=20, inode=30, sampled_sha256="ab")


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(render_record(RECORD), "vm.json") == RECORD


def test_a_record_without_a_mark_is_read_as_it_was_written() -> None:
    bare = replace(RECORD, mark=None, snapshots=())
    assert parse_record(render_record(bare), "vm.json") == bare


@pytest.mark.parametrize("state", [PoolState(), PoolState(slot="desk-1", others='{"color": 5}')])
def test_what_a_pool_keeps_is_written_back_also_where_a_newer_version_wrote_it(
    state: PoolState,
) -> None:
    assert RECORD.mark is not None
    kept = replace(RECORD, mark=replace(RECORD.mark, pool=state))
    content = render_record(kept)
    written = json.loads(content)["mark"]["pool"]
    assert written == ({"slot": "desk-1", "color": 5} if state.slot else {})
    assert parse_record(content, "vm.json") == kept


def test_a_record_says_nothing_of_lineage() -> None:
    """Who depends on whom is in the disks; only the mark names the parent, for people."""
    document = json.loads(render_record(RECORD))
    assert not {"parent", "backing", "chain", "children"} & set(document)
    assert set(document["snapshots"][0]) == {
        *("id", "name", "disks", "created", "description"),
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"x"', b"null", b'{"format": 1}', b'{"format": 2, "machine": 3}', b"\xff"],
)
def test_a_broken_record_is_reported(content: bytes) -> None:
    with pytest.raises(HypervisorError, match=r"vm\.json"):
        parse_record(content, "vm.json")


def test_a_record_of_a_newer_version_is_reported() -> None:
    document = {**json.loads(render_record(RECORD)), "format": FORMAT + 1}
    with pytest.raises(HypervisorError, match="newer"):
        parse_record(json.dumps(document).encode(), "vm.json")


MEMORY = MemoryRecord(
    ram="ram-00000001",
    state="state-00000001",
    state_sha256="ab" * 32,
    machine="pc-q35-7.2",
    qemu="7.2.22",
    accel="tcg",
    cpu="max,cx16=off",
    shape="0123456789abcdef",
    cpus=2,
    memory_bytes=128 << 20,
    macs=("02:00:00:00:00:01",),
    user_networks=1,
)


def keep_memory(memory: MemoryRecord = MEMORY) -> VmRecord:
    (snapshot,) = RECORD.snapshots
    return replace(RECORD, snapshots=(replace(snapshot, memory=memory),))


def test_older_versions_leave_a_record_alone_that_names_memory_and_no_other() -> None:
    content = render_record(keep_memory())
    assert parse_record(content, "vm.json") == keep_memory()
    assert json.loads(content)["format"] == FORMAT
    assert json.loads(render_record(RECORD))["format"] == FORMAT - 1


def test_older_versions_leave_the_record_of_an_instant_clone_alone_and_read_all_others() -> None:
    plain = Mark(owner="o", uuid=RECORD.uuid, run="r", parent_uuid=RECORD.uuid, parent_name="p")
    for mark, number in ((plain, FORMAT - 1), (replace(plain, instant=True), FORMAT)):
        content = render_record(replace(RECORD, mark=mark))
        assert parse_record(content, "vm.json").mark == mark
        assert json.loads(content)["format"] == number
        assert ("instant" in json.loads(content)["mark"]) == mark.instant


@pytest.mark.parametrize(
    "hostile",
    [
        {"ram": "../../etc/passwd"},
        {"ram": "disk-00000003.qcow2"},
        {"state": "state-00000001;reboot"},
        {"state": "ram-00000001"},
        {"machine": "q35,accel=kvm"},
        {"machine": ""},
        {"cpu": "max -monitor stdio"},
        {"cpu": "max,\nx"},
        {"accel": "xen"},
        {"qemu": "7"},
        {"qemu": "7.2.a"},
        {"macs": ("02:00:00:00:00:01,id=x",)},
        {"user_networks": -1},
        {"user_networks": 1 << 40},
        {"memory_bytes": 0},
        {"cpus": 0},
    ],
)
def test_memory_that_names_what_is_not_valid_is_refused(hostile: dict[str, Any]) -> None:
    content = render_record(keep_memory(replace(MEMORY, **hostile)))
    with pytest.raises(HypervisorError, match="cannot be understood"):
        parse_record(content, "vm.json")


def test_memory_of_another_kind_of_value_is_refused() -> None:
    document = json.loads(render_record(keep_memory()))
    odds: tuple[object, ...] = (
        5,
        [],
        "x",
        {"ram": 5},
        {**document["snapshots"][0]["memory"], "more": 1},
    )
    for odd in odds:
        document["snapshots"][0]["memory"] = odd
        with pytest.raises(HypervisorError, match="cannot be understood"):
            parse_record(json.dumps(document).encode(), "vm.json")


def build_desk(*, moving: tuple[str, str] = ("", ""), copy: tuple[str, str] = ("", "")) -> VmRecord:
    """Build the record that the recorded ones of format 1 are of, each in another state."""
    (snapshot,) = RECORD.snapshots
    mark = Mark(owner="desktops", uuid="21111111-2222-4333-8444-555555555555")
    return VmRecord(
        name="desk-1",
        uuid=mark.uuid,
        disks=tuple(
            DiskRecord(label=f"Hard disk {n + 1}", file=file, pending=moving[n], copy=copy[n])
            for n, file in enumerate(("disk-00000003.qcow2", "disk-00000005.qcow2"))
        ),
        machine=MachineRecord(
            cpus=1,
            memory_bytes=1 << 30,
            cards=CARDS[:1],
            seed="seed.iso",
            user="root",
            instance_id="i-1",
        ),
        mark=mark,
        annotation="two\nlines",
        snapshots=(
            replace(
                snapshot,
                id=SnapshotId("snapshot-000000000002"),
                name="updated",
                description="",
                disks=(
                    DiskRecord(label="Hard disk 1", file="disk-00000002.qcow2"),
                    DiskRecord(label="Hard disk 2", file="disk-00000004.qcow2"),
                ),
            ),
        ),
        created=snapshot.created,
        serial=4,
    )


DESK = build_desk()
GOLDEN = VmRecord(
    name="golden",
    uuid="11111111-2222-4333-8444-555555555555",
    disks=(DiskRecord(label="Hard disk 1", file="disk-00000001.qcow2"),),
    machine=replace(DESK.machine, seed="", instance_id=""),
    mark=Mark(owner="", uuid="11111111-2222-4333-8444-555555555555", version="0.1.0"),
    snapshots=(
        SnapshotRecord(
            id=SnapshotId("snapshot-000000000001"),
            name="base",
            disks=(DiskRecord(label="Hard disk 1", file="disk-00000000.raw"),),
            created=RECORD.snapshots[0].created,
            description="imported from x.raw",
        ),
    ),
    image="/images/x.raw",
    image_version=1,
    created=RECORD.snapshots[0].created,
)
NEW = ("disk-00000006.qcow2", "disk-00000007.qcow2")


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("image", GOLDEN),
        ("clone-with-two-disks", DESK),
        ("moving", build_desk(moving=NEW)),
        ("copying", replace(build_desk(copy=NEW), halted=True)),
        (
            "merging",
            replace(
                DESK, merging=("disk-00000008.qcow2", "disk-00000003.qcow2"), renaming="desk-2"
            ),
        ),
        (
            "oldest",  # with one card, of which it has the address alone
            replace(
                DESK,
                disks=DESK.disks[:1],
                snapshots=(replace(DESK.snapshots[0], disks=DESK.snapshots[0].disks[:1]),),
                machine=replace(DESK.machine, user="", instance_id=""),
                created=None,
                serial=0,
            ),
        ),
    ],
)
def test_a_record_of_format_1_is_read_and_written_in_the_present_format(
    kind: str, record: VmRecord
) -> None:
    recorded = (Path(__file__).parent / "format-1" / f"{kind}.json").read_bytes()
    assert parse_record(recorded, "x") == record
    assert parse_record(render_record(record), "x") == record


@pytest.mark.parametrize(
    "odd",
    [
        {"disk": ""},
        {"disk": "../golden.1/disk-0.raw"},
        {"pending": "/etc/passwd"},
        {"copy": 3},
        {"extra_disks": "no"},
        {"extra_disks": [{"label": "Hard disk 2", "file": "/dev/sda"}]},
        {"snapshots": [3]},
        {"snapshots": [{"file": "disk-1.qcow2"}]},
    ],
)
def test_an_odd_record_of_format_1_is_reported(odd: dict[str, object]) -> None:
    recorded = Path(__file__).parent / "format-1" / "clone-with-two-disks.json"
    document = json.loads(recorded.read_bytes()) | odd
    with pytest.raises(HypervisorError, match="cannot be understood"):
        parse_record(json.dumps(document).encode(), "x")


@pytest.mark.parametrize(
    "odd",
    [
        {"cards": [{"mac": "02:00:00:00:00:01,romfile=/etc/passwd"}]},
        {"cards": [{"mac": ""}]},
        {"cards": [{"mac": CARDS[0].mac, "network": "user,hostfwd=tcp::22-:22"}]},
        {"cards": [{"mac": CARDS[0].mac, "network": "private:x", "group": "239.192.1.2:1,a=b"}]},
        {"cards": [{"mac": CARDS[0].mac, "network": "private:x", "group": "10.0.0.1:20000"}]},
        {"cards": [{"mac": CARDS[0].mac, "address": "10.0.0.5/24,guestfwd=tcp:10.0.2.1:1-cmd:x"}]},
        {"cards": [{"mac": CARDS[0].mac, "address": "10.0.0.5/24", "gateway": "x"}]},
        {"cpus": 0},
        {"cpus": 10**9},
        {"memory_bytes": -(1 << 30)},
        {"memory_bytes": 10**400},
        {"firmware": "other"},
        {"append": "quiet\0"},
        {"append": "\ud800"},
        {"kernel": "../../other/kernel"},
        {"seed": "\ud800"},
    ],
)
def test_a_record_with_unsafe_hardware_values_is_reported(
    odd: dict[str, object],
) -> None:
    document = json.loads(render_record(RECORD))
    document["machine"] |= odd
    with pytest.raises(HypervisorError, match="cannot be understood"):
        parse_record(json.dumps(document).encode(), "x")


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_a_record_with_an_invalid_name_is_reported(name: str) -> None:
    document = {**json.loads(render_record(RECORD)), "name": name}
    with pytest.raises(HypervisorError, match="cannot be understood"):
        parse_record(json.dumps(document).encode(), "x")


@pytest.mark.parametrize("user", ["-oProxyCommand=x", "a b", "a\nruncmd: [x]", "x" * 99, "%h"])
def test_an_invalid_user_name_in_a_record_reaches_neither_ssh_nor_a_seed(user: str) -> None:
    document = json.loads(render_record(RECORD))
    document["machine"]["user"] = user
    record = parse_record(json.dumps(document).encode(), "x")
    assert record.machine.login == ""
    assert login_of(record) == DEFAULT_USER


@pytest.mark.parametrize("created", [3, "yesterday", {}])
def test_a_record_with_an_invalid_date_is_reported(created: object) -> None:
    document = {**json.loads(render_record(RECORD)), "created": created or "no"}
    with pytest.raises(HypervisorError):
        parse_record(json.dumps(document).encode(), "x")


def test_a_layer_that_a_machine_is_moved_to_counts_as_named() -> None:
    assert RECORD.files == ("disk-0.raw", "disk-4.qcow2", "disk-1.qcow2", "disk-5.qcow2")
    assert RECORD.disk_files == ("disk-1.qcow2", "disk-5.qcow2")
    moving = DiskRecord(label="Hard disk 2", file="a", pending="b", copy="c")
    assert replace(RECORD, disks=(moving,)).files[-3:] == ("a", "b", "c")


def test_a_fingerprint_is_read_as_it_was_written() -> None:
    assert parse_fingerprint(render_fingerprint(FINGERPRINT), Path("x")) == FINGERPRINT


@pytest.mark.parametrize("content", [b"", b"{}", b'{"size": 1}', b"3"])
def test_a_broken_fingerprint_is_reported(content: bytes) -> None:
    with pytest.raises(HypervisorError, match="the seal"):
        parse_fingerprint(content, Path("the seal"))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (FINGERPRINT, ""),
        (replace(FINGERPRINT, inode=31), ""),
        (replace(FINGERPRINT, size=11), "bytes"),
        (replace(FINGERPRINT, mtime_ns=21), "written to"),
        (replace(FINGERPRINT, sampled_sha256="cd"), "content"),
    ],
)
def test_a_difference_is_explained(now: Fingerprint, said: str) -> None:
    difference = explain_difference(FINGERPRINT, now)
    assert said in difference
    assert bool(difference) == bool(said)


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, 4096 * KIB])
def test_a_small_file_is_hashed_whole(size: int) -> None:
    assert sample_offsets(size) == tuple(range(0, size, 64 * KIB))


@pytest.mark.parametrize("size", [4096 * KIB + 1, 40 << 30])
def test_of_a_large_file_the_ends_and_blocks_between_are_hashed(size: int) -> None:
    offsets = sample_offsets(size)
    assert len(offsets) == 64
    assert offsets[0] == 0
    assert offsets[-1] == size - 64 * KIB
    assert list(offsets) == sorted(set(offsets))


def _change(*path: "str | int", value: object) -> bytes:
    document = json.loads(render_record(RECORD))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "content",
    [
        _change("disks", value=[]),
        _change("disks", value=None),
        _change("disks", 0, "file", value="/etc/passwd"),
        _change("disks", 0, "file", value="../golden.1/disk-0.raw"),
        _change("disks", 0, "file", value=".."),
        _change("disks", 0, "file", value=""),
        _change("disks", 1, "file", value=""),
        _change("disks", 0, "file", value=None),
        _change("disk", value="disk-1.qcow2"),
        _change("snapshots", 0, "disks", value=[]),
        _change("snapshots", 0, "disks", 0, "file", value="../../../precious"),
        _change("snapshots", 0, "created", value="2026-01-02"),
        _change("snapshots", 0, "disks", 1, "file", value="/dev/sda"),
        _change("disks", 1, "copy", value="a/b"),
        _change("merging", value=["disk-6.qcow2", "/x"]),
        _change("merging", value=["disk-6.qcow2"]),
        _change("renaming", value="desk\0"),
        _change("serial", value=-1),
        _change("serial", value=10**4300 - 1),
        _change("mark", "pool", value={"slot": "\ud800"}),
        _change("mark", "pool", value={"color": ["\ud800"]}),
        _change("machine", "seed", value="../x"),
        _change("machine", "kernel", value="/boot/vmlinuz"),
        _change("machine", "cpus", value="two"),
        _change("machine", "memory_bytes", value=True),
        _change("machine", "cards", 0, "mac", value=7),
        _change("mark", "owner", value=7),
        _change("uuid", value="../../names/desk"),
        _change("name", value=["x"]),
        b"[" * 100_000,
    ],
)
def test_a_record_that_names_what_it_may_not_or_holds_other_types_is_refused(
    content: bytes,
) -> None:
    """Issue 13, item 6."""
    with pytest.raises(HypervisorError, match=r"vm\.json cannot be understood"):
        parse_record(content, "vm.json")
