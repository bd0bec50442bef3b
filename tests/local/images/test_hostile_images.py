"""Image files that are made to do harm, or are not what they seem: refused, and nothing is left.

Items 5 and 29: what is taken in is copied, examined by a list of what may be in
it, and opened by QEMU's tools as what it is, with nothing below it.
"""

import gzip
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.images import images
from linkedclone.drivers.local.storage import intake
from linkedclone.errors import HypervisorError, InputError, LinkedCloneError
from linkedclone.model.findings import Verdict
from linkedclone.model.images import ImageImport
from tests.contract.acts import find
from tests.local.scenes import check_tidy, connect, digest, make_image, top_of

MIB = 1 << 20


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


def refuse(driver: LocalDriver, file: Path, image_format: str = "") -> LinkedCloneError:
    """Import what is to be refused; make sure that nothing is left of it."""
    with pytest.raises((InputError, HypervisorError)) as caught:
        driver.images.import_image(ImageImport(file=file, name="golden", format=image_format))
    assert caught.value.hint
    assert driver.images.list_images() == ()
    check_tidy(driver.state.root)
    return caught.value


def refuse_import(*arguments: str, state: Path) -> str:
    """Import on the command line; return what it says when it refuses."""
    command = (".venv/bin/linkedclone", "--endpoint", f"local:{state}", "image", "import")
    done = subprocess.run((*command, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


# -- VMDK -----------------------------------------------------------------------------


def make_vmdk(path: Path, change: Callable[[str], str] = str, *, fields: bytes = b"") -> Path:
    """Make an empty sparse VMDK, and change the text of its descriptor.

    ``fields`` stand for the beginning of its header.
    """
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "1M"], check=True)
    with path.open("r+b") as file:
        file.write(fields)
        file.seek(512)
        text = file.read(20 * 512).partition(b"\0")[0].decode()
        file.seek(512)
        file.write(change(text).rstrip().encode().ljust(20 * 512, b"\0"))
    return path


def add(line: str) -> Callable[[str], str]:
    return lambda text: text.replace("parentCID=ffffffff\n", f"parentCID=ffffffff\n{line}\n")


def with_cid_of_no_parent(data: bytes) -> bytes:
    """Give a VMDK the content id ffffffff; QEMU writes its own at random, with up to 8 digits."""
    found = re.search(rb"\nCID=([0-9a-f]{1,8})(\n[^\0]*)\0{8}", data)
    assert found
    digits, rest = found.groups()
    changed = b"\nCID=ffffffff" + rest + bytes(len(digits))
    return data[: found.start()] + changed + data[found.end() :]


def test_a_parent_that_a_vmdk_hints_at_is_never_read(driver: LocalDriver, tmp_path: Path) -> None:
    secret = tmp_path / "secret.vmdk"
    data = make_image(tmp_path / "data.qcow2", fill=7)
    subprocess.run(["qemu-img", "convert", "-O", "vmdk", data, secret], check=True)
    secret.write_bytes(with_cid_of_no_parent(secret.read_bytes()))
    evil = make_vmdk(tmp_path / "evil.vmdk", add(f'parentFileNameHint="{secret}"'))
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", evil, raw], check=True)
    assert raw.read_bytes().startswith(b"\7" * 4096), "QEMU would have read it"
    assert "needs other files" in str(refuse(driver, evil))
    assert "needs other files" in refuse_import(str(evil), state=tmp_path / "other")


@pytest.mark.parametrize(
    "change",
    [
        add('parentFileNameHint="/etc/passwd"'),
        add('ParentFilenameHint = "nbd:127.0.0.1:1"'),
        add('ddb.comment = "x" parentFileNameHint="/etc/passwd"'),
        add('#parentFileNameHint="/etc/passwd"'),
        add('changeTrackPath="/etc/passwd"'),
        add('RW 1 FLAT "/etc/shadow" 0'),
        add('RW 2048 SPARSE "other.vmdk"'),
        add("unheard=of"),
        lambda text: text.replace("parentCID=ffffffff", "parentCID=12345678"),
        lambda text: text.replace("monolithicSparse", "monolithicFlat"),
        lambda text: text.replace("monolithicSparse", "twoGbMaxExtentSparse"),
        lambda text: text.replace("monolithicSparse", "vmfs"),
        lambda text: text.replace('SPARSE "', 'SPARSE "/etc/'),
        lambda text: text.replace("SPARSE", "VMFSRDM"),
        lambda _: "",
    ],
)
def test_a_vmdk_descriptor_may_hold_only_known_harmless_entries(
    driver: LocalDriver, tmp_path: Path, change: Callable[[str], str]
) -> None:
    evil = make_vmdk(tmp_path / "evil.vmdk", change)
    assert "needs other files" in str(refuse(driver, evil))


def vmdk_fields(
    *, capacity: int = 2048, descriptor: int = 1, sectors: int = 20, version: int = 1, gd: int = 26
) -> bytes:
    return struct.pack(
        "<4sIIQQQQIQQ", b"KDMV", version, 3, capacity, 128, descriptor, sectors, 512, 21, gd
    )


@pytest.mark.parametrize(
    "fields",
    [
        vmdk_fields(capacity=0),
        vmdk_fields(capacity=1 << 60),
        vmdk_fields(descriptor=100),
        vmdk_fields(descriptor=(1 << 64) - 1),
        vmdk_fields(sectors=0),
        vmdk_fields(sectors=1 << 40),
        vmdk_fields(version=7),
        vmdk_fields(gd=(1 << 64) - 1),
        b"KDMV",
    ],
)
def test_a_vmdk_header_that_points_elsewhere_is_refused(
    driver: LocalDriver, tmp_path: Path, fields: bytes
) -> None:
    evil = make_vmdk(tmp_path / "evil.vmdk", fields=fields)
    if fields == b"KDMV":
        os.truncate(evil, 40)
    refuse(driver, evil)


def test_a_parent_is_found_where_qemu_reads_it_whatever_the_header_says(
    driver: LocalDriver, tmp_path: Path
) -> None:
    evil = make_vmdk(tmp_path / "evil.vmdk", add('parentFileNameHint="/etc/passwd"'))
    content = evil.read_bytes()
    clean = content[512 : 21 * 512].replace(b'parentFileNameHint="/etc/passwd"\n', b"")
    header = vmdk_fields(descriptor=200)
    evil.write_bytes((header + content[len(header) :]).ljust(200 * 512, b"\0") + clean)
    refuse(driver, evil)


def test_a_base_that_got_a_parent_after_it_was_imported_is_not_opened(
    driver: LocalDriver, tmp_path: Path
) -> None:
    driver.images.import_image(ImageImport(file=make_vmdk(tmp_path / "good.vmdk"), name="golden"))
    base = driver.state.root / find(driver, "golden").disks[0].chain[0].path
    evil = make_vmdk(tmp_path / "evil.vmdk", add('parentFileNameHint="/etc/passwd"'))
    base.chmod(0o644)
    base.write_bytes(evil.read_bytes())
    told = [f for f in driver.folder.diagnose() if f.check == "layers"]
    assert [f.verdict for f in told] == [Verdict.FAILED]
    assert "needs other files" in told[0].text


# -- qcow2 ----------------------------------------------------------------------------


def put(image: Path, at: int, data: bytes) -> Path:
    with image.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return image


def extension(kind: int, content: bytes = b"") -> bytes:
    return struct.pack(">II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")


@pytest.mark.parametrize(
    ("at", "data", "said"),
    [
        (8, struct.pack(">QI", 600, 11) + b"", "backing file"),
        (20, struct.pack(">I", 31), "no sense"),
        (24, struct.pack(">Q", 8 << 60), "no sense"),
        (24, struct.pack(">Q", 0), "empty disk"),
        (72, struct.pack(">Q", 1 << 1), "corrupt"),
        (72, struct.pack(">Q", 1 << 2), "another file"),
        (72, struct.pack(">Q", 1 << 5), "not known"),
        (72, struct.pack(">Q", 1 << 63), "not known"),
        (88, struct.pack(">Q", 1 << 1), "not known"),
        (112, extension(0x44415441, b"/etc/passwd"), "another file"),
        (112, extension(0x0537BE77, bytes(16)), "encrypted"),
        (112, extension(0x12345678, b"x"), "not known"),
        (48, struct.pack(">Q", 1 << 40), "cannot open|broken"),
        (40, struct.pack(">Q", 1 << 40), "cannot open|broken"),
    ],
)
def test_a_qcow2_header_may_hold_only_known_harmless_fields(
    driver: LocalDriver, tmp_path: Path, at: int, data: bytes, said: str
) -> None:
    image = put(make_image(tmp_path / "image.qcow2"), 600, b"/etc/passwd")
    error = refuse(driver, put(image, at, data))
    assert [word for word in said.split("|") if word in str(error)], error


@pytest.mark.parametrize("backing", ["/etc/passwd", "nbd:127.0.0.1:1", 'json:{"driver":"null-co"}'])
def test_a_backing_file_is_refused_however_it_is_written(
    driver: LocalDriver, tmp_path: Path, backing: str
) -> None:
    name = backing.encode()
    image = put(make_image(tmp_path / "image.qcow2"), 600, name)
    put(image, 8, struct.pack(">QI", 600, len(name)))
    assert backing.strip("'") in str(refuse(driver, image))


# -- what is no file, or not always the same ------------------------------------------


def test_a_pipe_a_folder_and_a_device_are_refused_at_once(
    driver: LocalDriver, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe" in str(refuse(driver, tmp_path / "pipe"))
    assert "a folder" in str(refuse(driver, tmp_path))
    assert "a device" in str(refuse(driver, Path("/dev/zero")))
    assert "a pipe" in refuse_import(
        str(tmp_path / "pipe"), "--name", "x", state=tmp_path / "other"
    )


def test_a_link_is_read_but_not_moved(driver: LocalDriver, tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    link = tmp_path / "link.qcow2"
    link.symlink_to(image)
    with pytest.raises(InputError, match="symbolic link"):
        driver.images.import_image(ImageImport(file=link, name="golden", move=True))
    driver.images.import_image(ImageImport(file=link, name="golden"))
    base = driver.state.root / find(driver, "golden").disks[0].chain[0].path
    assert not base.is_symlink()
    assert not base.samefile(image)


def test_an_image_that_is_swapped_after_it_was_copied_does_no_harm(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(tmp_path / "image.qcow2")
    wanted = digest(image)
    take_in = intake.take_in

    def swap(source: Path, *rest: object, **more: object) -> object:
        taken = take_in(source, *rest, **more)  # type: ignore[arg-type]
        make_vmdk(tmp_path / "evil", add('parentFileNameHint="/etc/passwd"')).replace(source)
        return taken

    monkeypatch.setattr(images, "take_in", swap)
    driver.images.import_image(ImageImport(file=image, name="golden"))
    assert digest(top_of(driver.state, find(driver, "golden"))) == wanted


def test_a_file_open_for_writing_is_copied_instead_of_moved(
    driver: LocalDriver, tmp_path: Path
) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with image.open("r+b") as writer:
        driver.images.import_image(ImageImport(file=image, name="golden", move=True))
        writer.seek(4)
        writer.write(b"\xff" * 100)
    assert not image.exists()
    parent = find(driver, "golden")
    assert parent.disks[0].capacity_bytes
    check_tidy(driver.state.root)


def test_a_file_that_claims_more_than_any_disk_has_is_refused(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_VIRTUAL_BYTES", MIB)  # few file systems have 64 TiB
    huge = tmp_path / "huge.raw"
    with huge.open("wb") as file:
        os.truncate(file.fileno(), MIB + 512)
    assert "claims" in str(refuse(driver, huge))


# -- what QEMU cannot open, or what is broken -----------------------------------------


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "stream"])
def test_an_image_that_came_in_part_is_refused(
    driver: LocalDriver, tmp_path: Path, kind: str
) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.write_bytes(os.urandom(2 * MIB))
    options = {
        "qcow2": ("-O", "qcow2"),
        "vmdk": ("-O", "vmdk"),
        "stream": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
    }[kind]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, disk, image], check=True)
    os.truncate(image, MIB)
    assert "broken" in str(refuse(driver, image))
    assert "broken" in refuse_import(str(image), state=tmp_path / "other")


def partitioned(sectors: int) -> bytes:
    table = struct.pack("<B3xB3xII", 0x80, 0x83, 2048, sectors - 2048)
    return (bytes([1]) * 446 + table + bytes(48) + b"\x55\xaa").ljust(MIB, b"\0")


def gpt(last: int) -> bytes:
    entry = struct.pack("<B3xB3xII", 0, 0xEE, 1, 0xFFFFFFFF)
    head = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    table = b"EFI PART" + bytes(16) + struct.pack("<QQ", 1, last)
    return (head + table).ljust(MIB, b"\0")


@pytest.mark.parametrize("content", [partitioned(4096), gpt(4095)])
def test_a_raw_disk_that_came_in_part_is_refused(
    driver: LocalDriver, tmp_path: Path, content: bytes
) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(content)
    assert "cut short" in str(refuse(driver, image))
    image.write_bytes(content.ljust(2 * MIB, b"\0"))
    driver.images.import_image(ImageImport(file=image, name="golden"))


FIXED_VHD = bytes(MIB) + b"conectix".ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(bytes(600), mtime=0), "gunzip"),
        (b"\xfd7zXZ\0" + bytes(600), "xz -d"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd -d"),
        (b"BZh9" + bytes(600), "bunzip2"),
        (b"PK\x03\x04" + bytes(600), "unzip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z x"),
        (b"disk.ovf".ljust(257, b"\0") + b"ustar" + bytes(600), "tar -xf"),
        (b"vhdxfile" + bytes(600), "-f vhdx -O qcow2"),
        (b"conectix" + bytes(600), "-f vpc -O qcow2"),
        (FIXED_VHD, "-f vpc -O qcow2"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>" + bytes(600), "-f vdi -O qcow2"),
        (bytes(64) + b"\x7f\x10\xda\xbe" + bytes(600), "-f vdi -O qcow2"),
        (b"QFI\xfb\0\0\0\1" + bytes(600), "-f qcow -O qcow2"),
        (b"QED\0" + bytes(600), "-f qed -O qcow2"),
        (b"COWD" + bytes(600), "-f vmdk -O qcow2"),
        (b"# Disk DescriptorFile\nversion=1\n", "-f vmdk -O qcow2"),
        (bytes(0x8001) + b"CD001" + bytes(600), "cloud image"),
        (b"\n<!DOCTYPE html><html>", "browser"),
        (b"404: Not Found", "look at its content"),
        ("Seite nicht gefunden \u2013 über".encode(), "look at its content"),
        (b"LUKS\xba\xbe\0\1" + bytes(600), "decrypt"),
    ],
)
def test_a_foreign_format_is_refused_with_the_way_to_make_a_disk_of_it(
    driver: LocalDriver, tmp_path: Path, content: bytes, said: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert said in refuse(driver, image).hint


def test_one_part_of_a_split_vmdk_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    options = ("-o", "subformat=twoGbMaxExtentSparse")
    disk = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", *options, disk, "1M"], check=True)
    (part,) = tmp_path.glob("disk-s*.vmdk")
    assert "one part" in str(refuse(driver, part))
    assert f"-f vmdk -O qcow2 {disk}" in refuse(driver, disk).hint


def test_doctor_does_not_call_a_broken_layer_sound(driver: LocalDriver, tmp_path: Path) -> None:
    driver.images.import_image(
        ImageImport(file=make_image(tmp_path / "image.qcow2"), name="golden")
    )
    base = driver.state.root / find(driver, "golden").disks[0].chain[0].path
    base.chmod(0o644)
    base.with_name(base.name + ".seal").unlink()  # as of an image that an older version took in
    os.truncate(base, base.stat().st_size // 2)
    told = [
        f for f in driver.folder.diagnose() if f.check == "layers" and f.verdict is Verdict.FAILED
    ]
    assert [f for f in told if base.name in f.text and "broken" in f.text]
