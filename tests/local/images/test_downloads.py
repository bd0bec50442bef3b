"""Images are fetched whole or not at all, and never from the beginning without need."""

import errno
import hashlib
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.qemu.images import download
from linkedclone.drivers.qemu.images import fetch as fetching
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CertificateError,
    EndpointError,
    InputError,
    LinkedCloneError,
    NoSpaceError,
    NotFoundError,
    UnreachableError,
)
from linkedclone.model.images import ImageImport, tell_nobody
from tests.contract.acts import find
from tests.local.fileserver import Behaviour, serving
from tests.local.scenes import check_tidy, clean_up, connect, digest, make_image, top_of
from tests.local.victim import run_killed


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "_LOCK_SECONDS", 0.0)
    monkeypatch.setattr(download, "CHUNK_BYTES", 1 << 14)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image.qcow2")


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(driver: LocalDriver, url: str, sha256: str = "") -> None:
    driver.images.import_image(ImageImport(url=url, name="golden", sha256=sha256))


def check_fetched(driver: LocalDriver, image: Path) -> None:
    assert digest(top_of(driver.state, find(driver, "golden"))) == digest(image)
    assert list(driver.state.downloads.iterdir()) == []
    check_tidy(driver.state.root)


def kept_bytes(driver: LocalDriver) -> int:
    return sum(p.stat().st_size for p in driver.state.downloads.glob("*.part"))


def test_an_image_is_downloaded_and_reported(driver: LocalDriver, image: Path) -> None:
    told: list[tuple[str, int, int]] = []
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        wanted = ImageImport(url=url + "?token=s3cret", name="golden")
        driver.images.import_image(
            wanted, lambda what, done=0, total=0: told.append((what, done, total))
        )
    check_fetched(driver, image)
    size = len(does.content)
    assert ("fetching", size, size) in told
    (seen,) = driver.images.list_images()
    assert seen.source == url


@pytest.mark.parametrize("right", [True, False])
def test_the_sum_decides(driver: LocalDriver, image: Path, right: bool) -> None:
    content = image.read_bytes()
    with serving(Behaviour(content=content)) as url:
        if right:
            fetch(driver, url, sum_of(content).upper())
            check_fetched(driver, image)
        else:
            with pytest.raises(InputError, match="not the expected file") as caught:
                fetch(driver, url, sum_of(b"other"))
            assert sum_of(content) in caught.value.details
            assert driver.images.list_images() == ()


def test_a_slip_in_the_sum_costs_no_second_download(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        with pytest.raises(InputError):
            fetch(driver, url, sum_of(b"other"))
        fetch(driver, url, sum_of(does.content))
    assert len(does.asked) == 1
    check_fetched(driver, image)


def test_what_was_damaged_on_the_way_is_fetched_anew(driver: LocalDriver, image: Path) -> None:
    right = image.read_bytes()
    does = Behaviour(content=b"x" * len(right))
    with serving(does) as url:
        with pytest.raises(InputError):
            fetch(driver, url, sum_of(right))
        does.content = right
        fetch(driver, url, sum_of(right))
    assert does.asked[-1][1] == ""
    check_fetched(driver, image)


def test_a_lost_connection_is_gone_on_with(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes(), break_after=[100_000, 0, 50_000])
    with serving(does) as url:
        fetch(driver, url)
    ranges = [asked for _, asked in does.asked]
    assert ranges == ["", "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    check_fetched(driver, image)


def test_a_server_that_brings_nothing_is_given_up_and_gone_on_with_later(
    driver: LocalDriver, image: Path
) -> None:
    does = Behaviour(content=image.read_bytes(), break_after=[100_000, *[0] * download.TRIES])
    with serving(does) as url:
        with pytest.raises(UnreachableError) as caught:
            fetch(driver, url)
        assert "same command" in caught.value.hint
        assert kept_bytes(driver) == 100_000
        fetch(driver, url)
    assert does.asked[-1][1] == "bytes=100000-"
    check_fetched(driver, image)


def break_off(driver: LocalDriver, does: Behaviour, url: str, at: int) -> None:
    """Leave a part of the file, as Ctrl-C or a killed command does."""

    def interrupt(what: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        if what == "fetching" and done_bytes >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.images.import_image(ImageImport(url=url, name="golden"), interrupt)
    assert at <= kept_bytes(driver) < len(does.content)
    does.asked.clear()


def test_an_interrupt_keeps_what_came(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        break_off(driver, does, url, 200_000)
        fetch(driver, url)
    assert int(does.asked[0][1].removeprefix("bytes=").rstrip("-")) >= 200_000
    check_fetched(driver, image)


@pytest.mark.parametrize(
    ("ranges", "checks"), [(True, True), (True, False), (False, True)], ids=str
)
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    driver: LocalDriver, image: Path, tmp_path: Path, ranges: bool, checks: bool
) -> None:
    other = make_image(tmp_path / "other.qcow2", fill=9)
    does = Behaviour(content=image.read_bytes(), ranges=ranges, checks=checks)
    with serving(does) as url:
        break_off(driver, does, url, 200_000)
        does.content, does.etag = other.read_bytes(), '"two"'
        fetch(driver, url)
    check_fetched(driver, other)


def test_a_server_without_ranges_is_asked_for_all_of_it_again(
    driver: LocalDriver, image: Path
) -> None:
    does = Behaviour(content=image.read_bytes(), ranges=False, break_after=[100_000])
    with serving(does) as url:
        fetch(driver, url)
    check_fetched(driver, image)


@pytest.mark.parametrize("with_sum", [True, False])
def test_without_an_entity_tag_only_a_sum_lets_it_go_on(
    driver: LocalDriver, image: Path, with_sum: bool
) -> None:
    does = Behaviour(content=image.read_bytes(), etag="")
    with serving(does) as url:
        break_off(driver, does, url, 200_000)
        fetch(driver, url, sum_of(does.content) if with_sum else "")
    assert bool(does.asked[0][1]) is with_sum
    check_fetched(driver, image)


def test_a_file_without_a_length_is_fetched(driver: LocalDriver, image: Path) -> None:
    with serving(Behaviour(content=image.read_bytes(), tells_length=False)) as url:
        fetch(driver, url)
    check_fetched(driver, image)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (418, EndpointError),
    ],
)
def test_a_refusal_is_reported_at_once(
    driver: LocalDriver, image: Path, status: int, kind: type[LinkedCloneError]
) -> None:
    does = Behaviour(content=image.read_bytes(), statuses=[status])
    with serving(does) as url, pytest.raises(kind) as caught:
        fetch(driver, url)
    assert str(status) in caught.value.details
    assert caught.value.hint
    assert len(does.asked) == 1


def test_a_busy_server_is_asked_again(driver: LocalDriver, image: Path) -> None:
    with serving(Behaviour(content=image.read_bytes(), statuses=[503, 429])) as url:
        fetch(driver, url)
    check_fetched(driver, image)


def test_a_redirect_is_followed(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes(), break_after=[100_000])
    with serving(does) as url:
        does.location = url
        fetch(driver, url.replace("/file", "/elsewhere"))
    assert does.asked[-1] == ("/file.qcow2", "bytes=100000-")
    check_fetched(driver, image)


def test_a_redirect_to_a_local_file_is_refused(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes(), location="file:///etc/passwd")
    with serving(does) as url, pytest.raises(EndpointError):
        fetch(driver, url.replace("/file", "/elsewhere"))


@pytest.mark.parametrize(
    "url", ["ftp://h/x.qcow2", "file:///etc/passwd", "http:///x", "https://h/"]
)
def test_an_address_of_no_file_is_refused(driver: LocalDriver, url: str) -> None:
    with pytest.raises(InputError, match="not the address"):
        fetch(driver, url)


def test_a_url_with_a_login_is_refused_with_a_hint(driver: LocalDriver) -> None:
    with pytest.raises(InputError, match="user's name") as caught:
        fetch(driver, "http://ada:secret@127.0.0.1:1/file")
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_listen_is_reported(driver: LocalDriver, image: Path) -> None:
    with serving(Behaviour(content=image.read_bytes())) as url:
        pass
    with pytest.raises(UnreachableError):
        fetch(driver, url)


def test_an_untrusted_certificate_is_refused(
    driver: LocalDriver, image: Path, tmp_path: Path
) -> None:
    pem = tmp_path / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out",
         tmp_path / "crt", "-subj", "/CN=127.0.0.1", "-days", "1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "crt", pem)
    does = Behaviour(content=image.read_bytes())
    with serving(does, context) as url, pytest.raises(CertificateError):
        fetch(driver, url)
    assert driver.images.list_images() == ()


def test_a_file_that_has_no_room_is_refused_before_it_comes(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "free_bytes", lambda _: 1000)
    with serving(Behaviour(content=image.read_bytes())) as url, pytest.raises(NoSpaceError):
        fetch(driver, url)
    assert kept_bytes(driver) == 0


def test_a_disk_that_fills_up_keeps_what_came(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        with monkeypatch.context() as patch:
            patch.setattr(download, "_flush", fill)
            with pytest.raises(NoSpaceError, match="no room"):
                fetch(driver, url)
        assert kept_bytes(driver) > 0
        fetch(driver, url)
    check_fetched(driver, image)


def test_two_commands_do_not_fetch_one_file(driver: LocalDriver, image: Path) -> None:
    with serving(Behaviour(content=image.read_bytes())) as url:
        seen: list[type[Exception]] = []

        def again(what: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
            if what == "fetching" and not seen:
                with pytest.raises(BusyError) as caught:
                    fetch(driver, url)
                seen.append(caught.type)

        driver.images.import_image(ImageImport(url=url, name="golden"), again)
    assert seen == [BusyError]
    check_fetched(driver, image)


def fetch_there(root: Path, url: str) -> None:
    with closing(connect(root)) as driver:
        fetch(driver, url)


@pytest.mark.timeout(600)
def test_a_kill_at_any_step_leaves_what_came_and_nothing_else(tmp_path: Path, image: Path) -> None:
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        steps = run_killed(fetch_there, (tmp_path / "whole", url), 0)
        assert steps > 10
        for step in range(1, steps + 1):
            root = tmp_path / f"kill-{step}"
            run_killed(fetch_there, (root, url), step)
            clean_up(root)
            with closing(connect(root)) as driver:
                seen = [vm.name for vm in driver.observe().vms]
                left = {path.suffix for path in driver.state.downloads.glob("*")}
                assert list(driver.state.staging.iterdir()) == []
                assert left <= {".part", ".json", ".tmp"}, step
                if not seen:
                    fetch(driver, url)
                    check_fetched(driver, image)
                else:
                    assert seen == ["golden"]
                    check_tidy(root)


# -- servers that mislead (item 30) ---------------------------------------------------


def test_mirrors_that_differ_are_given_up(driver: LocalDriver, image: Path) -> None:
    content = image.read_bytes()
    breaks = [100_000] * 100
    does = Behaviour(content=content, checks=False, alternates=content + b"x", break_after=breaks)
    with serving(does) as url, pytest.raises(EndpointError, match="changes with each request"):
        fetch(driver, url)
    assert len(does.asked) <= 2 * download.RESTARTS


@pytest.mark.parametrize("etag", ['"two"', ""])
def test_a_part_of_another_file_is_never_put_behind_the_first(
    driver: LocalDriver, image: Path, etag: str
) -> None:
    """Also where the server did not say how long the first was, or forgets its tag."""
    content = image.read_bytes()
    does = Behaviour(content=content, checks=False, tells_length=False)
    with serving(does) as url:
        break_off(driver, does, url, 200_000)
        does.etag = etag
        fetch(driver, url)
    assert [asked for _, asked in does.asked][-1] == ""
    check_fetched(driver, image)


@pytest.mark.parametrize(
    "told",
    ["", "bytes", "bytes 5-2/10", "bytes 0-99999999/10", "items 1-2/3", "bytes 1-2/3, bytes 4-5/6"],
)
def test_a_part_without_a_range_that_makes_sense_is_not_taken(
    driver: LocalDriver, image: Path, told: str
) -> None:
    does = Behaviour(content=image.read_bytes(), range_told=told or " ", break_after=[100_000])
    with serving(does) as url, pytest.raises(UnreachableError):
        fetch(driver, url)
    assert driver.images.list_images() == ()


def test_a_file_that_ends_before_its_length_is_not_taken(driver: LocalDriver, image: Path) -> None:
    content = image.read_bytes()
    does = Behaviour(content=content, length_told=len(content) + 1, ranges=False)
    with serving(does) as url, pytest.raises(UnreachableError) as caught:
        fetch(driver, url)
    assert f"{len(content)} of {len(content) + 1}" in caught.value.details
    assert driver.images.list_images() == ()


def test_a_raw_disk_of_unknown_length_needs_a_checksum(driver: LocalDriver) -> None:
    content = bytes([1]) * 4096
    with serving(Behaviour(content=content, tells_length=False)) as url:
        with pytest.raises(InputError, match="downloaded completely"):
            fetch(driver, url)
        fetch(driver, url, sum_of(content))
    assert [image.format for image in driver.images.list_images()] == ["raw"]


def test_a_body_without_end_does_not_fill_the_disk(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([1 << 30] * 20)
    monkeypatch.setattr(download, "free_bytes", lambda _: next(free, 1000))
    does = Behaviour(content=image.read_bytes(), tells_length=False, endless=True)
    with serving(does) as url, pytest.raises(NoSpaceError) as caught:
        fetch(driver, url)
    assert "the server gave no size" in caught.value.details
    assert kept_bytes(driver) == 0


def test_what_goes_on_beyond_its_end_is_refused(tmp_path: Path) -> None:
    more = download.Answer(status=200, total_bytes=10, read=lambda count: bytes(min(count, 7)))
    fetching_it = download.downloaded(
        tmp_path / "d", "http://h/x", sha256="", ask=lambda *_: nullcontext(more), tell=tell_nobody
    )
    with pytest.raises(EndpointError, match="more than the announced length"), fetching_it:
        pass


def test_a_server_that_brings_a_byte_now_and_then_is_given_up(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SLOW_SECONDS", 0.0)
    monkeypatch.setattr(download, "_SLOW_BYTES", 1 << 30)
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url, pytest.raises(UnreachableError, match="cannot be fetched") as caught:
        fetch(driver, url)
    assert "almost no data" in caught.value.details


def test_one_command_does_not_fetch_for_ever(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "DEADLINE_SECONDS", -1.0)
    with serving(Behaviour(content=image.read_bytes())) as url, pytest.raises(UnreachableError):
        fetch(driver, url)


def test_the_client_disconnects_from_endless_headers(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "HEADER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # takes connections, says nothing
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        with pytest.raises(UnreachableError):
            fetch(driver, address)


def test_a_redirect_to_a_users_name_is_not_followed(driver: LocalDriver, image: Path) -> None:
    does = Behaviour(content=image.read_bytes(), location="http://ada:secret@127.0.0.1:1/file")
    with serving(does) as url, pytest.raises(EndpointError) as caught:
        fetch(driver, url.replace("/file", "/elsewhere"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("location", ["", "http://[::1/file"])
def test_a_circular_or_empty_redirect_is_reported_and_not_retried(
    driver: LocalDriver, image: Path, location: str
) -> None:
    does = Behaviour(content=image.read_bytes())
    with serving(does) as url:
        around = url.replace("/file", "/elsewhere")
        does.location = location or around
        with pytest.raises(EndpointError):
            fetch(driver, around)
    assert len(does.asked) <= 11


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://h:abc/x", "http://h/a b", "http://h/\u00fc"]
)
def test_a_url_that_is_not_well_formed_is_refused(driver: LocalDriver, url: str) -> None:
    with pytest.raises(InputError, match="not well formed"):
        fetch(driver, url)


def test_a_download_that_came_in_part_is_refused_on_the_command_line(
    image: Path, tmp_path: Path
) -> None:
    does = Behaviour(content=image.read_bytes()[:700_000], tells_length=False)
    with serving(does) as url:
        command = [".venv/bin/linkedclone", "image", "import", url, "--name", "golden"]
        endpoint = ["--endpoint", f"local:{tmp_path / 'state'}"]
        done = subprocess.run([*command, *endpoint], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is broken" in done.stderr
    assert "Traceback" not in done.stderr
