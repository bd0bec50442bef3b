"""Whether there is memory for one more guest."""

from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine import memory_admission
from linkedclone.drivers.local.machine.memory_admission import (
    OVERCOMMIT_VARIABLE,
    OVERHEAD_BYTES,
    Room,
    admitted,
    check_batch,
    check_room,
    need_of,
    observe_room,
)
from linkedclone.drivers.local.state.folder import make_vm_link, open_state
from linkedclone.errors import RefusedError
from linkedclone.model.request import CloneRequest, Hardware
from linkedclone.model.values.ids import VmId

GIB, MIB = 1 << 30, 1 << 20


def test_a_guest_needs_its_memory_and_what_qemu_takes() -> None:
    small = Room(available_bytes=GIB + OVERHEAD_BYTES, promised_bytes=0)
    check_room(small, {"desk": GIB})
    with pytest.raises(RefusedError, match="to start desk") as caught:
        check_room(Room(available_bytes=small.available_bytes - 1, promised_bytes=0), {"desk": GIB})
    assert "1.1 GiB are needed" in caught.value.details
    assert OVERCOMMIT_VARIABLE in caught.value.hint


def test_memory_promised_to_other_guests_is_not_available() -> None:
    with pytest.raises(RefusedError) as caught:
        check_room(Room(available_bytes=8 * GIB, promised_bytes=7 * GIB), {"desk": GIB})
    assert "8.0 GiB are available, 7.0 GiB of it promised" in caught.value.details


def test_a_batch_is_counted_together() -> None:
    small = Room(available_bytes=3 * need_of(GIB), promised_bytes=0)
    check_room(small, dict.fromkeys("abc", GIB))
    with pytest.raises(RefusedError, match="to start 4 machines"):
        check_room(small, dict.fromkeys("abcd", GIB))
    check_room(Room(available_bytes=0, promised_bytes=0), {})


def test_only_new_clones_that_are_started_count_in_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = open_state(tmp_path / "state")
    make_vm_link(state.names / "desk-1", VmId("desk-1.00000000"))
    two = Room(available_bytes=2 * need_of(GIB), promised_bytes=0)
    monkeypatch.setattr(memory_admission, "observe_room", lambda: two)
    request = CloneRequest(parent="golden", names=("Desk-1", "desk-2", "desk-3"))
    check_batch(state, request, GIB)
    more = replace(request, names=(*request.names, "desk-4"))
    with pytest.raises(RefusedError, match="to start 3 machines"):
        check_batch(state, more, GIB)
    check_batch(state, replace(more, power_on=False), GIB)
    check_batch(state, replace(more, hardware=Hardware(memory_bytes=GIB // 2)), GIB)
    with pytest.raises(RefusedError):
        check_batch(state, replace(request, hardware=Hardware(memory_bytes=2 * GIB)), GIB)


def test_of_forks_a_part_of_the_memory_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = open_state(tmp_path / "state")
    room = Room(available_bytes=2 * need_of(GIB // 4), promised_bytes=0)
    monkeypatch.setattr(memory_admission, "observe_room", lambda: room)
    forks = CloneRequest(parent="golden", names=("desk-1", "desk-2"), instant=True)
    check_batch(state, forks, GIB)
    with pytest.raises(RefusedError):
        check_batch(state, replace(forks, names=(*forks.names, "desk-3")), GIB)
    with pytest.raises(RefusedError):
        check_batch(state, replace(forks, instant=False), GIB)


def make_process(
    folder: Path, pid: int, comm: str, memory: str, taken_kib: int, share: str = ""
) -> None:
    (folder / str(pid)).mkdir()
    (folder / str(pid) / "comm").write_text(f"{comm}\n")
    backend = f"memory-backend-file,id=pc.ram,size=1M,share={share},mem-path=x"
    loaded = ("-object", backend) if share else ()
    words = ("qemu-system-x86_64", "-name", "x", *loaded, "-m", memory, "-smp", "1")
    (folder / str(pid) / "cmdline").write_text("\0".join(words) + "\0")
    (folder / str(pid) / "status").write_text(f"Name:\tx\nRssAnon:\t  {taken_kib} kB\n")


def test_only_untouched_guest_memory_reduces_the_available_memory(
    tmp_path: Path,
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n")
    make_process(tmp_path, 10, "qemu-system-x86", "1024M", taken_kib=256 << 10)
    make_process(tmp_path, 11, "qemu-system-x86", "64M", taken_kib=4 << 20)  # took more
    make_process(tmp_path, 12, "bash", "4096M", taken_kib=0)
    make_process(tmp_path, 13, "qemu-system-x86", "size=1G,slots=2", taken_kib=0)
    (tmp_path / "14").mkdir()  # has just ended
    (tmp_path / "self").mkdir()
    seen = observe_room(tmp_path, tmp_path / "no groups")
    assert seen.available_bytes == 4 * GIB
    assert seen.promised_bytes == need_of(GIB) - 256 * MIB


def test_of_guests_that_were_loaded_only_what_they_write_to_is_promised(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:    4194304 kB\n")
    make_process(tmp_path, 10, "qemu-system-x86", "1024M", taken_kib=0, share="off")
    make_process(tmp_path, 11, "qemu-system-x86", "1024M", taken_kib=128 << 10, share="on")
    (tmp_path / "self").mkdir()
    assert observe_room(tmp_path, tmp_path / "no groups").promised_bytes == need_of(GIB // 4)


GROUPS: dict[str, tuple[str, dict[str, str], int, str]] = {
    "none": ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.current": "9\n"}, 4096, ""),
    "its own": (
        "0::/a/b\n",
        {"a/b/memory.max": f"{GIB}\n", "a/b/memory.current": f"{512 * MIB}\n"},
        512,
        "a/b",
    ),
    "of the one above": (
        "0::/a/b\n",
        {
            "a/memory.max": f"{2 * GIB}\n",
            "a/memory.current": f"{GIB}\n",
            "a/b/memory.max": "max\n",
        },
        1024,
        "a",
    ),
    "of a container": (
        "0::/\n",
        {
            "memory.max": f"{GIB}\n",
            "memory.current": f"{GIB}\n",
            "memory.stat": f"anon 1\ninactive_file {256 * MIB}\n",
        },
        256,
        "",
    ),
    "of version 1": (
        "5:cpu:/x\n4:memory:/a\n0::/\n",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/a/memory.limit_in_bytes": f"{GIB}\n",
            "memory/a/memory.usage_in_bytes": f"{GIB}\n",
            "memory/a/memory.stat": f"total_inactive_file {128 * MIB}\n",
        },
        128,
        "memory/a",
    ),
    "of version 1 in a container": (
        "4:memory:/docker/0123\n",
        {
            "memory/memory.limit_in_bytes": f"{GIB}\n",
            "memory/memory.usage_in_bytes": "0\n",
        },
        1024,
        "memory",
    ),
    "used up": (
        "0::/a\n",
        {"a/memory.max": f"{GIB}\n", "a/memory.current": f"{2 * GIB}\n"},
        0,
        "a",
    ),
    "not a number": ("0::/a\nnonsense\n", {"a/memory.max": "\0\n"}, 4096, ""),
}


@pytest.mark.parametrize("case", GROUPS)
def test_the_memory_limit_of_a_container_is_kept(tmp_path: Path, case: str) -> None:
    told, files, available_mib, limit = GROUPS[case]
    groups = tmp_path / "groups"
    for name, content in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(content)
    (tmp_path / "meminfo").write_text("MemAvailable:    4194304 kB\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(told)
    seen = observe_room(tmp_path, groups)
    assert seen.available_bytes == available_mib * MIB
    assert seen.limit == (str(groups / limit) if available_mib < 4096 else "")


def test_this_machine_has_some_memory() -> None:
    assert observe_room().available_bytes > 0


def test_a_start_is_refused_unless_it_is_wanted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = False
    with pytest.raises(RefusedError), admitted(tmp_path / "gate", "desk", 1 << 50):
        begun = True
    assert not begun
    monkeypatch.setenv(OVERCOMMIT_VARIABLE, "yes")
    with admitted(tmp_path / "gate", "desk", 1 << 50):
        begun = True
    assert begun
