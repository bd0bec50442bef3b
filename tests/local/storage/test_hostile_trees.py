"""Trees in which others put anything are looked through to their end (item 8)."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.cli.main import main
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.errors import HypervisorError
from linkedclone.formats.qcow2 import parse_header
from linkedclone.model.images import ImageImport
from linkedclone.model.request import Scan
from linkedclone.system.reading import open_regular
from tests.contract.acts import find, make, step_for
from tests.local.scenes import connect, make_image, top_of

HEADER = struct.Struct(">4sIQIIQIIQQIIQ")


def build_header(*, name: bytes = b"", size: int = 1 << 20, l1_entries: int = 1) -> bytes:
    """Build a header of version 2 that depends on a name."""
    offset = HEADER.size + 8 if name else 0
    fields = (b"QFI\xfb", 2, offset, len(name), 16, size, 0, l1_entries, 0, 0, 0, 0, 0)
    return HEADER.pack(*fields) + bytes(8) + name


def make_fifo(place: Path) -> None:
    os.mkfifo(place / "disk.qcow2")


def make_socket(place: Path) -> None:
    descriptor = os.open(place, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{descriptor}/disk.qcow2")
    os.close(descriptor)


def make_loop(place: Path) -> None:
    (place / "here").symlink_to(place)
    (place / "disk.qcow2").symlink_to("disk.qcow2")


def make_deep(place: Path) -> None:
    """Make folders in folders until no path leads to the last."""
    descriptor = os.open(place, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=descriptor)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


def make_odd_names(place: Path) -> None:
    for name in (b"\xff\xfe.qcow2", b"\x1b[31m.qcow2", b"a\nb.qcow2", b"n" * 255):
        Path(os.fsdecode(os.path.join(os.fsencode(place), name))).write_bytes(  # noqa: PTH118 - bytes
            build_header(name=b"../x\xff")
        )


def make_header(content: bytes) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        (place / "disk.qcow2").write_bytes(content)

    return make


TREES: dict[str, Callable[[Path], None]] = {
    "a FIFO": make_fifo,
    "a socket": make_socket,
    "links in circles": make_loop,
    "paths without an end": make_deep,
    "names that are not Unicode": make_odd_names,
    "a size of 2^63": make_header(build_header(size=1 << 63)),
    "a size of -1": make_header(build_header(size=(1 << 64) - 1)),
    "a table of 4 GiB": make_header(build_header(l1_entries=(1 << 32) - 1)),
    "a name with NUL": make_header(build_header(name=b"a\0b")),
    "a deep name": make_header(build_header(name=b"json:" + b"[" * 1000)),
    "a name without an end": make_header(build_header(name=b"n" * 1023)),
    "a backing file that is a device": make_header(build_header(name=b"/dev/zero")),
    "a file that backs itself": make_header(build_header(name=b"disk.qcow2")),
}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        file = make_image(tmp_path / "image.qcow2")
        opened.images.import_image(ImageImport(file=file, name="golden"))
        make(opened, step_for(opened, find(opened, "golden"), "desk"))
        yield opened


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", TREES)
def test_a_scan_survives_any_kind_of_file(driver: LocalDriver, tmp_path: Path, case: str) -> None:
    beside, among = tmp_path / "beside", driver.state.folder(find(driver, "desk").id) / "more"
    for place in (beside, among):
        place.mkdir()
        TREES[case](place)
    seen = driver.observe(sizes=True, scan=Scan(places=(str(beside),)))
    assert {vm.name for vm in seen.vms} == {"golden", "desk"}
    endpoint = ("--endpoint", f"local:{driver.state.root}")
    for command in (("list",), ("usage", "-o", "json"), ("doctor",), ("gc", "--scan", str(beside))):
        assert main([*command, *endpoint]) in {0, 1}


@pytest.mark.timeout(60)
def test_a_layer_that_became_a_fifo_is_reported_without_blocking(driver: LocalDriver) -> None:
    top = top_of(driver.state, find(driver, "desk"))
    top.unlink()
    os.mkfifo(top)
    assert main(["list", "--endpoint", f"local:{driver.state.root}"]) == 0
    with pytest.raises(HypervisorError, match="not a regular file"):
        open_regular(top)


def test_a_size_that_no_image_has_is_refused() -> None:
    for header in (build_header(size=1 << 63), build_header(l1_entries=1 << 30)):
        with pytest.raises(HypervisorError, match="no sense"):
            parse_header(header)
