"""Images become parents; what would read other files of this machine does not."""

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.lifecycle import naming
from linkedclone.drivers.local.state.ssh import login_of, render_entry
from linkedclone.drivers.local.state.store import load_all, load_vm, save_record
from linkedclone.errors import (
    DuplicateNameError,
    HypervisorError,
    InputError,
    InUseError,
    NoSpaceError,
    NotFoundError,
    NotOursError,
)
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.garbage import WasteKind
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power
from tests.contract.acts import current, delete, find, make, step_for
from tests.local.scenes import CAPACITY_BYTES, check_tidy, connect, digest, make_image, top_of

OPTIONS = {
    "qcow2": ["-O", "qcow2"],
    "qcow2-compressed": ["-c", "-O", "qcow2"],
    "raw": ["-O", "raw"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=monolithicSparse"],
    "vmdk-stream": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image.qcow2")


@pytest.mark.parametrize("kind", OPTIONS)
def test_an_image_of_any_format_becomes_a_parent_with_a_snapshot(
    driver: LocalDriver, image: Path, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "source.img"
    subprocess.run(["qemu-img", "convert", *OPTIONS[kind], image, source], check=True)
    driver.images.import_image(ImageImport(file=source, name="golden"))
    parent = find(driver, "golden")
    assert [snapshot.name for snapshot in parent.snapshots] == ["base"]
    assert parent.disks[0].capacity_bytes == CAPACITY_BYTES
    assert digest(top_of(driver.state, parent)) == digest(image)
    clone = make(driver, step_for(driver, parent, "desk"))
    assert prove_linked(clone.disks, current(parent).disks or ()).linked is True
    assert digest(top_of(driver.state, clone)) == digest(image)
    check_tidy(driver.state.root)


def test_importing_copies_and_keeps_holes(driver: LocalDriver, tmp_path: Path) -> None:
    source = tmp_path / "sparse.raw"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"x" * 4096)
    driver.images.import_image(ImageImport(file=source, name="golden"))
    parent = find(driver, "golden")
    assert source.exists()
    assert (parent.own_bytes or 0) < 1 << 20
    assert digest(top_of(driver.state, parent)) == digest(source)


def test_moving_takes_the_file_away(driver: LocalDriver, image: Path) -> None:
    wanted = digest(image)
    driver.images.import_image(ImageImport(file=image, name="golden", move=True))
    assert not image.exists()
    assert digest(top_of(driver.state, find(driver, "golden"))) == wanted


def test_a_base_is_sealed(driver: LocalDriver, image: Path) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    (base,) = [d.top for s in find(driver, "golden").snapshots for d in s.disks or ()]
    assert (driver.state.root / base.path).stat().st_mode & 0o777 == 0o400


def test_images_are_listed_with_their_dependents(driver: LocalDriver, image: Path) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    make(driver, step_for(driver, find(driver, "golden"), "desk"))
    (seen,) = driver.images.list_images()
    assert (seen.name, seen.format, seen.dependants) == ("golden", "qcow2", ("desk",))
    assert seen.capacity_bytes == CAPACITY_BYTES
    assert seen.file_bytes >= 1 << 20
    assert seen.source == str(image)
    assert seen.imported is not None


def test_an_image_in_use_is_not_removed(driver: LocalDriver, image: Path) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    clone = make(driver, step_for(driver, find(driver, "golden"), "desk"))
    with pytest.raises(InUseError) as caught:
        driver.images.remove_image("golden")
    assert caught.value.dependants == ("desk",)
    delete(driver, clone)
    driver.images.remove_image("GOLDEN")
    assert driver.images.list_images() == ()
    assert list(driver.state.vms.iterdir()) == []


def test_an_image_that_is_not_there_is_not_removed(driver: LocalDriver) -> None:
    with pytest.raises(NotFoundError, match="golden"):
        driver.images.remove_image("golden")


def test_a_name_that_is_taken_is_refused_whatever_its_case(
    driver: LocalDriver, image: Path
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    with pytest.raises(DuplicateNameError):
        driver.images.import_image(ImageImport(file=image, name="Golden"))


def test_a_name_that_no_image_has_is_refused(driver: LocalDriver, image: Path) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    make(driver, step_for(driver, find(driver, "golden"), "desk"))
    other = make_image(image.with_name("other.qcow2"), fill=2)
    with pytest.raises(DuplicateNameError, match="taken"):
        driver.images.import_image(ImageImport(file=other, name="Desk"))


def test_another_file_under_a_name_is_a_new_version_and_the_old_one_stays(
    driver: LocalDriver, image: Path
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    first = find(driver, "golden")
    clone = make(driver, step_for(driver, first, "desk"))
    for fill in (2, 3):
        other = make_image(image.with_name(f"{fill}.qcow2"), fill=fill)
        driver.images.import_image(ImageImport(file=other, name="golden"))
    seen = [(i.name, i.version, i.dependants) for i in driver.images.list_images()]
    assert seen == [("golden", 3, ()), ("golden@2", 2, ()), ("golden@1", 1, ("desk",))]
    assert find(driver, "golden@1").uuid == first.uuid
    assert digest(top_of(driver.state, find(driver, "desk"))) == digest(image)
    new = make(driver, step_for(driver, find(driver, "golden"), "new"))
    old = make(driver, step_for(driver, find(driver, "golden@1"), "old"))
    assert digest(top_of(driver.state, new)) == digest(image.with_name("3.qcow2"))
    assert old.disks[0].chain[0] == clone.disks[0].chain[0]
    check_tidy(driver.state.root)


def test_the_newest_version_that_is_left_bears_the_plain_name(
    driver: LocalDriver, image: Path
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    make(driver, step_for(driver, find(driver, "golden"), "desk"))
    other = make_image(image.with_name("other.qcow2"), fill=2)
    driver.images.import_image(ImageImport(file=other, name="golden"))
    with pytest.raises(InUseError) as caught:
        driver.images.remove_image("golden@1")
    assert caught.value.dependants == ("desk",)
    driver.images.remove_image("golden")
    assert [(i.name, i.version) for i in driver.images.list_images()] == [("golden", 1)]
    driver.images.import_image(ImageImport(file=other, name="golden"))
    assert [i.name for i in driver.images.list_images()] == ["golden", "golden@1"]


def test_the_name_of_an_older_version_is_not_given_to_an_image(
    driver: LocalDriver, image: Path
) -> None:
    with pytest.raises(InputError, match="older version"):
        driver.images.import_image(ImageImport(file=image, name="golden@1"))


def test_a_failed_import_leaves_the_name_with_the_version_that_had_it(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(naming, "publish_vm", fill)
    other = make_image(image.with_name("other.qcow2"), fill=2)
    with pytest.raises(NoSpaceError):
        driver.images.import_image(ImageImport(file=other, name="golden"))
    assert [image.name for image in driver.images.list_images()] == ["golden"]


def test_a_file_with_another_sum_is_refused(driver: LocalDriver, image: Path) -> None:
    right = hashlib.sha256(image.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="not the expected file"):
        driver.images.import_image(ImageImport(file=image, name="golden", sha256="0" * 64))
    driver.images.import_image(ImageImport(file=image, name="golden", sha256=right))


def test_an_image_with_a_backing_file_is_refused(driver: LocalDriver, image: Path) -> None:
    child = image.with_name("child.qcow2")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", child],
        check=True,
    )
    with pytest.raises(InputError, match="/etc/passwd"):
        driver.images.import_image(ImageImport(file=child, name="golden"))


def test_an_image_with_a_data_file_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    options = f"data_file={tmp_path / 'data.raw'}"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "1M"], check=True
    )
    with pytest.raises(InputError, match="another file"):
        driver.images.import_image(ImageImport(file=image, name="golden"))


def test_an_encrypted_image_is_refused(driver: LocalDriver, image: Path) -> None:
    with image.open("r+b") as file:  # by hand: qemu-img would measure how fast this machine is
        file.seek(32)
        file.write((2).to_bytes(4, "big"))
    with pytest.raises(InputError, match="encrypted"):
        driver.images.import_image(ImageImport(file=image, name="golden"))


def test_a_vmdk_of_several_files_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    image = tmp_path / "flat.vmdk"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", image, "1M"],
        check=True,
    )
    with pytest.raises(InputError, match="other files"):
        driver.images.import_image(ImageImport(file=image, name="golden"))


def test_a_vmdk_with_a_parent_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    base, child = tmp_path / "base.vmdk", tmp_path / "child.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", base, "1M"], check=True)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", child], check=True
    )
    with pytest.raises(InputError, match="other files"):
        driver.images.import_image(ImageImport(file=child, name="golden"))


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"QFI\xfb" + b"\xff" * 500, "makes no sense")]
)
def test_a_file_that_is_not_an_image_is_refused(
    driver: LocalDriver, tmp_path: Path, content: bytes, said: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    with pytest.raises((InputError, HypervisorError), match=said):
        driver.images.import_image(ImageImport(file=image, name="golden"))
    check_tidy(driver.state.root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n<!DOCTYPE html><html>not found</html>", "web page"),
        (b"<HTML><body>", "web page"),
        (b"\x1f\x8b\x08" + bytes(600), "packed"),
        (b"\xfd7zXZ\0" + bytes(600), "packed"),
        (bytes(257) + b"ustar" + bytes(600), "packed"),
        (b"vhdxfile" + bytes(600), "unsupported kind"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>" + bytes(600), "unsupported kind"),
    ],
)
def test_unrecognized_data_is_imported_as_a_raw_disk_only_on_request(
    driver: LocalDriver, tmp_path: Path, content: bytes, said: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    with pytest.raises(InputError, match=said):
        driver.images.import_image(ImageImport(file=image, name="golden"))
    assert not driver.observe().vms
    driver.images.import_image(ImageImport(file=image, name="golden", format="raw"))
    check_tidy(driver.state.root)


def test_an_unknown_format_is_refused(driver: LocalDriver, image: Path) -> None:
    with pytest.raises(InputError, match="vhdx"):
        driver.images.import_image(ImageImport(file=image, name="golden", format="vhdx"))


def test_a_file_that_is_not_there_is_not_found(driver: LocalDriver, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        driver.images.import_image(ImageImport(file=tmp_path / "gone", name="golden"))


def test_a_guest_cannot_turn_its_raw_disk_into_a_window_on_the_host(
    driver: LocalDriver, tmp_path: Path
) -> None:
    source = tmp_path / "raw.img"
    source.write_bytes(bytes(CAPACITY_BYTES))
    driver.images.import_image(ImageImport(file=source, name="golden", format="raw"))
    parent = find(driver, "golden")
    image = tmp_path / "evil.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", image],
        check=True,
    )
    base = driver.state.root / parent.disks[0].chain[0].path
    base.chmod(0o644)
    with base.open("r+b") as file:  # what a guest could have written before it was imported
        file.write(image.read_bytes()[:4096])
    chain = find(driver, "golden").disks[0].chain
    assert [layer.path for layer in chain] == [layer.path for layer in parent.disks[0].chain]


def test_an_imported_image_is_ours_and_is_guarded_by_its_clones(
    driver: LocalDriver, image: Path
) -> None:
    """Item 21: started, stopped, snapshotted and deleted without force; never taken for waste."""
    connection = Connection(driver, address="local:")
    older = driver.images.import_image(ImageImport(file=image, name="golden"))
    subprocess.run(["qemu-io", "-c", "write 0 64k", image], check=True, capture_output=True)
    driver.images.import_image(ImageImport(file=image, name="golden"))
    parent = find(driver, "golden")
    assert parent.owner == "linkedclone"
    clone = make(driver, step_for(driver, parent, "desk"))
    assert connection.vms.set_power(["golden"], Power.OFF).exit_code == 0
    with pytest.raises(InUseError):
        connection.delete(["golden"])
    assert not [
        w for w in connection.lineage.collect_waste().found if w.kind is not WasteKind.IMAGE
    ]
    connection.delete([clone.name, "golden"])
    assert [(one.name, one.vm) for one in driver.images.list_images()] == [("golden", older)]


def test_an_image_of_an_earlier_version_is_adopted_once(driver: LocalDriver, image: Path) -> None:
    vm = driver.images.import_image(ImageImport(file=image, name="golden"))
    stored = load_vm(driver.state, vm)
    save_record(driver.state, stored, replace(stored.record, mark=None))
    connection = Connection(driver, address="local:")
    with pytest.raises(NotOursError) as caught:
        connection.delete(["golden"])
    assert "``adopt`` golden" in caught.value.hint
    connection.vms.adopt(["golden"])
    assert connection.delete(["golden"]).exit_code == 0


@pytest.mark.parametrize("user", ["-oProxyCommand=x", "a\nProxyCommand x", "a b", "ä", "a" * 33])
def test_a_user_that_is_not_a_user_name_is_refused_before_anything_is_made(
    driver: LocalDriver, image: Path, user: str
) -> None:
    """Item 12a."""
    with pytest.raises(InputError, match="user name"):
        driver.images.import_image(ImageImport(file=image, name="golden", user=user))
    assert driver.images.list_images() == ()


def test_a_user_is_checked_on_the_command_line(image: Path, tmp_path: Path) -> None:
    """Item 12a."""
    endpoint = f"local:{tmp_path / 'state'}"
    command = (".venv/bin/linkedclone", "--endpoint", endpoint, "image", "import", image)
    done = subprocess.run(
        (*command, "--user", "a\nProxyCommand x"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is not a valid user name" in done.stderr


def test_a_command_line_of_several_lines_is_refused(driver: LocalDriver, image: Path) -> None:
    """Item 12a."""
    with pytest.raises(InputError, match="control characters"):
        driver.images.import_image(ImageImport(file=image, name="golden", append="a\nb"))


def test_a_user_that_a_record_was_made_to_name_is_not_used(
    driver: LocalDriver, image: Path
) -> None:
    """Item 12a: the record may be of an older version, or written by hand."""
    driver.images.import_image(ImageImport(file=image, name="golden", user="ada"))
    (vm,) = load_all(driver.state).vms
    assert login_of(vm.record) == "ada"
    machine = replace(vm.record.machine, user="a\n  ProxyCommand x")
    told = render_entry(driver.state, vm.folder, replace(vm.record, machine=machine))
    assert b"ProxyCommand x" not in told
