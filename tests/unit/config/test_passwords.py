import os
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.passwords import Stored, find_password, forget, recall, remember
from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.model.values.secret import Secret
from linkedclone.system.private_files import write_private

HERE = Endpoint(kind="vsphere", host="h", user="u")


class _Keyring(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring has no types here
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> _Keyring:
    ring = _Keyring()
    monkeypatch.setattr("keyring.core._keyring_backend", ring)  # asked for, it would stay chosen
    return ring


def _file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def _find(stored: Stored, **environ: str) -> str:
    return find_password(HERE, stored, environ, None).reveal()


def test_the_order_is_environment_then_keyring_then_file(ring: _Keyring, tmp_path: Path) -> None:
    stored = Stored(file=_file(tmp_path, "filed\n"), keyring=True)
    assert _find(stored) == "filed"
    assert remember(HERE, Secret("ringed"))
    assert _find(stored) == "ringed"
    assert _find(stored, GOVC_PASSWORD="govc") == "govc"
    assert _find(stored, GOVC_PASSWORD="govc", LINKEDCLONE_PASSWORD="ours") == "ours"


def test_the_keyring_is_asked_for_this_user_and_host_alone(ring: _Keyring) -> None:
    remember(HERE, Secret("ringed"))
    assert recall(Endpoint(kind="vsphere", host="elsewhere", user="u")) is None
    forget(HERE)
    forget(HERE)
    assert recall(HERE) is None


def test_a_broken_keyring_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no bus")

    monkeypatch.setattr(keyring, "set_password", fail)
    monkeypatch.setattr(keyring, "get_password", fail)
    assert not remember(HERE, Secret("x"))
    assert recall(HERE) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o777])
def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = _file(tmp_path, "c4nary-pw", mode)
    with pytest.raises(InputError, match="can be read by others") as caught:
        _find(Stored(file=path))
    assert "chmod 600" in caught.value.hint
    assert "c4nary" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_password_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "x")
    os.chown(path, 12345, 12345)
    with pytest.raises(InputError, match="belongs to another user"):
        _find(Stored(file=path))


def test_an_empty_or_missing_password_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        _find(Stored(file=_file(tmp_path, "\n")))
    with pytest.raises(InputError, match="cannot be read"):
        _find(Stored(file=tmp_path / "nowhere"))


def test_no_password_says_where_to_put_it() -> None:
    with pytest.raises(InputError, match="no password for vsphere://u@h") as caught:
        _find(Stored())
    assert "LINKEDCLONE_PASSWORD" in caught.value.hint


def test_private_files_are_made_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    write_private(path, "x")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("x", 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_unwritable_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkedCloneError, match="cannot be written"):
        write_private(tmp_path / "file" / "below", "x")


def test_a_password_that_is_not_text_is_refused_and_not_shown() -> None:
    environ = {"LINKEDCLONE_PASSWORD": "c4n\udcff"}
    with pytest.raises(InputError, match="not text in UTF-8") as caught:
        find_password(HERE, Stored(), environ, None)
    assert caught.value.__cause__ is None
    assert "c4n" not in f"{caught.value}{caught.value.hint}{caught.value.details}"
