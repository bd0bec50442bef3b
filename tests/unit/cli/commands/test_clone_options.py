"""What the options of ``clone`` come to in the request, and what is said of the outcome."""

from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.model.request import CloneRequest, DiskMove, Hardware, NewDisk, Nic
from tests.unit.cli.conftest import Run

GIB = 1 << 30
MAC = "00:50:56:00:00:01"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CloneRequest]:
    """The requests that commands came to."""
    requests: list[CloneRequest] = []
    real = Connection.propose_clone

    def propose(self: Connection, request: CloneRequest) -> Any:
        requests.append(request)
        return real(self, request)

    monkeypatch.setattr(Connection, "propose_clone", propose)
    return requests


OPTIONS: dict[str, Hardware] = {
    "--cpus 4 --cores-per-socket 2 --memory 4GiB": Hardware(
        cpus=4, cores_per_socket=2, memory_bytes=4 * GIB
    ),
    "--cpu-hot-add --no-memory-hot-add": Hardware(cpu_hot_add=True, memory_hot_add=False),
    "--extra-config a=b=c --extra-config d=": Hardware(extra_config=(("a", "b=c"), ("d", ""))),
    "--add-disk 40GiB --add-disk 1GiB,thick --add-disk 2GiB,thin": Hardware(
        disks=(
            NewDisk(capacity_bytes=40 * GIB),
            NewDisk(capacity_bytes=GIB, thin=False),
            NewDisk(capacity_bytes=2 * GIB),
        )
    ),
    "--network LAN --network 2=a=b --add-nic WAN --remove-nic 1": Hardware(
        nics=(
            Nic(action="remap", index=0, network="LAN"),
            Nic(action="remap", index=2, network="a=b"),
            Nic(action="add", network="WAN"),
            Nic(action="remove", index=1),
        )
    ),
    "--disk 40GiB": Hardware(disk_bytes=40 * GIB),
    "--keep-tpm": Hardware(keep_tpm=True),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_hardware_is_read(run: Run, asked: list[CloneRequest], options: str) -> None:
    run("clone", "golden", "x", "--dry-run", *options.split())
    assert asked[0].hardware == OPTIONS[options]


def test_without_options_nothing_is_asked_for(run: Run, asked: list[CloneRequest]) -> None:
    run("clone", "golden", "x", "--dry-run")
    assert asked == [CloneRequest(parent="golden", names=("x",))]


@pytest.mark.parametrize(
    ("options", "move"),
    [
        (["--full"], DiskMove.SHARED),
        *((["--disk-move-type", move.value], move) for move in DiskMove),
        *((["--full", "--disk-move-type", move.value], move) for move in list(DiskMove)[1:4]),
    ],
)
def test_the_mode_is_read(
    run: Run, asked: list[CloneRequest], options: list[str], move: DiskMove
) -> None:
    run("clone", "golden", "x", "--dry-run", *options)
    assert asked[0].disk_move is move


def test_addresses_are_read(run: Run, asked: list[CloneRequest]) -> None:
    run("clone", "golden", "x", "y", "--dry-run", "--mac", "x=00-50-56-00-00-01,02:00:00:00:00:0A")
    assert asked[0].macs == {"x": (MAC, "02:00:00:00:00:0a")}


def test_a_clone_is_given_its_addresses_all_at_once(run: Run) -> None:
    twice = ("--mac", f"x={MAC}", "--mac", "x=02:00:00:00:00:0A")
    outcome = run("clone", "golden", "x", "--dry-run", *twice)
    assert (outcome.code, "given twice for 'x'" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5m", 90), ("2H", 7200), ("1d", 86_400)]
)
def test_lengths_of_time_are_read_as_in_pool_files(
    run: Run, asked: list[CloneRequest], text: str, seconds: float
) -> None:
    run("clone", "golden", "x", "--dry-run", "--wait", "ip", "--wait-timeout", text)
    assert asked[0].wait_seconds == seconds


def test_full_clones_are_called_full(run: Run) -> None:
    outcome = run("clone", "golden", "x", "--full")
    assert outcome.code == 0
    assert "full clones of golden at snapshot base, in /vm" in outcome.err
    assert "saved" not in outcome.err
    assert outcome.out.splitlines()[1].split()[:3] == ["x", "created", "full"]
    document = run("clone", "bare", "x", "--full", "-o", "json").document
    assert document["snapshot"] is None
    assert (document["clones"][0]["mode"], document["clones"][0]["linked"]) == ("full", False)


@pytest.mark.parametrize(
    ("parent", "words"), [("golden", "make 1 full copy from base"), ("bare", "of the VM as it is")]
)
def test_a_dry_run_of_full_clones_shows_the_amount_to_copy(
    run: Run, parent: str, words: str
) -> None:
    outcome = run("clone", parent, "x", "--full", "--dry-run", "-o", "json")
    assert words in outcome.err
    assert outcome.document["clones"][0]["mode"] == "full"
    assert outcome.document["requests"][0]["disk_move"] == DiskMove.SHARED.value


def test_a_linked_disk_that_is_to_grow_is_refused_with_the_ways_out(run: Run) -> None:
    outcome = run("clone", "golden", "x", "--disk", "16GiB")
    assert outcome.code == 1
    assert all(way in outcome.err for way in ("cannot grow", "promote", "--full", "--add-disk"))


def test_an_address_in_use_is_refused(run: Run) -> None:
    outcome = run("clone", "golden", "x", "--mac", "x=02:00:00:00:00:01")
    assert outcome.code == 1
    assert "02:00:00:00:00:01 for x: /vm/golden has it" in outcome.err


def test_an_endpoint_without_a_check_of_its_own_says_so(run: Run) -> None:
    outcome = run("clone", "golden", "x", "--dry-run", "--server-check")
    assert outcome.code == 1
    assert "cannot check clones by itself" in outcome.err


def test_the_help_lists_options_by_heading(run: Run) -> None:
    text = run("clone", "--help").out
    headings = ["Options:", "Disks:", "Hardware", "Place:", "Global options:"]
    found = [text.index(f"\n{heading}") for heading in headings]
    assert found == sorted(found)
