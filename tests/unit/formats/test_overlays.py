"""The overlay writer against its oracle: qemu-img."""

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkedclone.errors import HypervisorError
from linkedclone.formats.chain import ImageFormat, read_chain, read_disk_file
from linkedclone.formats.qcow2 import (
    CLUSTER_BYTES,
    MAX_VIRTUAL_BYTES,
    SECTOR_BYTES,
    build_overlay,
    parse_header,
    read_header,
)
from linkedclone.system.atomic_files import publish_file

KIB, GIB, TIB = 1 << 10, 1 << 30, 1 << 40
LARGEST = {"qcow2": MAX_VIRTUAL_BYTES, "raw": 8 * TIB, "vmdk": TIB}
EDGES = [
    SECTOR_BYTES,
    CLUSTER_BYTES,
    CLUSTER_BYTES + SECTOR_BYTES,
    GIB // 4,
    GIB // 4 + SECTOR_BYTES,
    2 * TIB,
    2 * TIB + SECTOR_BYTES,
    MAX_VIRTUAL_BYTES - SECTOR_BYTES,
    MAX_VIRTUAL_BYTES,
]


def qemu_img(*arguments: object) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def info(path: Path) -> dict[str, Any]:
    return dict(json.loads(qemu_img("info", "--output=json", path)))


def make_base(folder: Path, image_format: str, size: int) -> Path:
    base = folder / f"base.{image_format}"
    options = ["-o", "subformat=monolithicSparse"] if image_format == "vmdk" else []
    qemu_img("create", "-q", "-f", image_format, *options, base, size)
    return base


def write_overlay(folder: Path, size: int, base: Path) -> Path:
    overlay = folder / "overlay.qcow2"
    content = build_overlay(size, base.name, base.suffix.removeprefix("."))
    publish_file(overlay, content, durable=False)
    return overlay


def check_against_oracle(folder: Path, image_format: str, size: int) -> None:
    base = make_base(folder, image_format, size)
    overlay = write_overlay(folder, size, base)
    report = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", overlay))
    assert report["check-errors"] == 0
    assert report.get("leaks", 0) == report.get("corruptions", 0) == 0
    assert report["image-end-offset"] == overlay.stat().st_size
    seen = info(overlay)
    assert seen["virtual-size"] == size
    assert seen["backing-filename"] == base.name
    assert seen["backing-filename-format"] == image_format
    assert seen["cluster-size"] == CLUSTER_BYTES
    assert seen["format-specific"]["data"]["extended-l2"] is True
    assert overlay.stat().st_blocks * 512 <= 16 * KIB
    header = read_header(overlay)
    assert (header.virtual_bytes, header.backing_path, header.backing_format) == (
        size,
        base.name,
        image_format,
    )


@pytest.mark.parametrize("size", EDGES)
def test_an_overlay_of_any_size_is_sound(tmp_path: Path, size: int) -> None:
    check_against_oracle(tmp_path, "qcow2", size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), image_format=st.sampled_from(["qcow2", "raw", "vmdk"]))
def test_any_overlay_satisfies_qemu_img(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, image_format: str
) -> None:
    # Sizes of every order of magnitude, not only large ones.
    bits = data.draw(st.integers(0, (LARGEST[image_format] // SECTOR_BYTES).bit_length() - 1))
    most = min(2 << bits, LARGEST[image_format] // SECTOR_BYTES)
    sectors = data.draw(st.integers(1 << bits, most))
    folder = tmp_path_factory.mktemp("any")
    try:
        check_against_oracle(folder, image_format, sectors * SECTOR_BYTES)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("image_format", ["qcow2", "raw", "vmdk"])
def test_an_overlay_reads_as_its_base_until_it_is_written_to(
    tmp_path: Path, image_format: str
) -> None:
    source = tmp_path / "source.raw"
    source.write_bytes(os.urandom(3 * CLUSTER_BYTES) + bytes(CLUSTER_BYTES) + b"end" + bytes(509))
    base = tmp_path / f"base.{image_format}"
    options = ["-o", "subformat=streamOptimized"] if image_format == "vmdk" else []
    qemu_img("convert", "-f", "raw", "-O", image_format, *options, source, base)
    size = read_disk_file(base, ImageFormat(image_format)).virtual_bytes
    overlay = write_overlay(tmp_path, size, base)
    qemu_img("compare", "-f", image_format, "-F", "qcow2", base, overlay)
    before = base.read_bytes()
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 9 70000 3000", overlay],
        check=True,
        capture_output=True,
    )
    qemu_img("check", "-q", overlay)
    flat = tmp_path / "flat.raw"
    qemu_img("convert", "-O", "raw", overlay, flat)
    wanted = bytearray(source.read_bytes())
    wanted[70000:73000] = b"\x09" * 3000
    assert flat.read_bytes()[: len(wanted)] == wanted
    assert base.read_bytes() == before


def test_the_largest_overlay_can_be_written_to_at_its_end(tmp_path: Path) -> None:
    base = make_base(tmp_path, "qcow2", MAX_VIRTUAL_BYTES)
    overlay = write_overlay(tmp_path, MAX_VIRTUAL_BYTES, base)
    at = MAX_VIRTUAL_BYTES - 4096
    for command in (f"write -P 5 {at} 4096", f"read -P 5 {at} 4096"):
        done = subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", command, overlay], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout
    qemu_img("check", "-q", overlay)


def test_scattered_writes_grow_an_overlay_by_little_more_than_their_size(tmp_path: Path) -> None:
    size = 4 * GIB
    overlay = write_overlay(tmp_path, size, make_base(tmp_path, "qcow2", size))
    # 500 writes of 4 KiB, each in a cluster of its own.
    commands = [f"-c write -P 1 {n * 7 * CLUSTER_BYTES} 4096" for n in range(500)]
    arguments = [part for command in commands for part in command.split(" ", 1)]
    subprocess.run(["qemu-io", "-f", "qcow2", *arguments, overlay], check=True, capture_output=True)
    assert overlay.stat().st_blocks * 512 <= 500 * 4096 * 1.1


@pytest.mark.parametrize(
    ("size", "path"),
    [
        (0, "base.qcow2"),
        (SECTOR_BYTES + 1, "base.qcow2"),
        (MAX_VIRTUAL_BYTES + SECTOR_BYTES, "base.qcow2"),
        (SECTOR_BYTES, ""),
        (SECTOR_BYTES, "x" * 1024),
    ],
)
def test_what_no_overlay_can_be_is_refused(size: int, path: str) -> None:
    with pytest.raises(ValueError, match=r"virtual size|backing path"):
        build_overlay(size, path, "qcow2")


@pytest.mark.parametrize("path", ["x" * 1023, "é/ü,: \\", "../../vms/a.1/disk-2.qcow2"])
def test_any_backing_path_is_read_back(tmp_path: Path, path: str) -> None:
    overlay = tmp_path / "overlay.qcow2"
    publish_file(overlay, build_overlay(GIB, path, "raw"), durable=False)
    assert read_header(overlay).backing_path == path
    assert info(overlay)["backing-filename"] == path


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_headers_of_qemu_img_are_read(tmp_path: Path, compat: str) -> None:
    base = make_base(tmp_path, "raw", GIB)
    image = tmp_path / "image.qcow2"
    qemu_img(
        "create", "-q", "-f", "qcow2", "-o", f"compat={compat}", "-b", base, "-F", "raw", image
    )
    header = read_header(image)
    assert header.version == (2 if compat == "0.10" else 3)
    assert (header.virtual_bytes, header.backing_path) == (GIB, str(base))
    assert header.backing_format == "raw"
    assert not header.encrypted
    assert header.internal_snapshots == 0


def test_internal_snapshots_are_counted(tmp_path: Path) -> None:
    image = make_base(tmp_path, "qcow2", GIB)
    qemu_img("snapshot", "-c", "one", image)
    assert read_header(image).internal_snapshots == 1


@pytest.mark.parametrize("content", [b"", b"QFI", b"QFI\xfb" + b"\xff" * 200, b"KDMV" * 100])
def test_a_file_that_is_not_a_qcow2_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.qcow2"
    path.write_bytes(content)
    with pytest.raises(HypervisorError):
        read_header(path)


@given(st.binary(max_size=600))
def test_no_header_whatsoever_makes_the_reader_stumble(rest: bytes) -> None:
    with suppress(HypervisorError):
        parse_header(b"QFI\xfb\0\0\0\x03" + rest)


def test_a_chain_is_read_base_first(tmp_path: Path) -> None:
    base = make_base(tmp_path, "vmdk", GIB)
    middle, top = tmp_path / "middle.qcow2", tmp_path / "top.qcow2"
    publish_file(middle, build_overlay(GIB, "base.vmdk", "vmdk"), durable=False)
    publish_file(top, build_overlay(GIB, str(middle), "qcow2"), durable=False)
    chain = read_chain(top)
    assert [file.path for file in chain] == [base, middle, top]
    assert [file.virtual_bytes for file in chain] == [GIB] * 3
    assert [
        entry["filename"]
        for entry in json.loads(qemu_img("info", "--backing-chain", "--output=json", top))
    ] == [str(top), str(middle), str(base)]


def test_a_missing_base_ends_the_chain(tmp_path: Path) -> None:
    top = tmp_path / "top.qcow2"
    publish_file(top, build_overlay(GIB, "gone.qcow2", "qcow2"), durable=False)
    assert [(file.path.name, file.missing) for file in read_chain(top)] == [
        ("gone.qcow2", True),
        ("top.qcow2", False),
    ]


def test_a_chain_that_bites_its_tail_is_refused(tmp_path: Path) -> None:
    top = tmp_path / "top.qcow2"
    publish_file(top, build_overlay(GIB, "top.qcow2", "qcow2"), durable=False)
    with pytest.raises(HypervisorError, match="no end"):
        read_chain(top)


def test_a_base_without_a_recorded_format_is_refused(tmp_path: Path) -> None:
    make_base(tmp_path, "raw", GIB)
    image = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", image)
    content = bytearray(image.read_bytes())
    at = content.index(bytes.fromhex("e2792aca"))
    content[at : at + 4] = b"\x12\x34\x56\x78"
    image.write_bytes(content)
    with pytest.raises(HypervisorError, match="which format"):
        read_chain(image)
