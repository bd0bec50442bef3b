"""The passwords of a customization: where they come from, and that all missing ones are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from linkedclone.config.guest_passwords import find_secrets
from linkedclone.errors import InputError
from linkedclone.model.customization import (
    CloudInit,
    Customization,
    GuestOs,
    GuestUser,
    SecretSource,
)
from linkedclone.model.guest import Secrets
from linkedclone.model.values.secret import Secret

CANARY = "c4nary-pw"


def users(*sources: SecretSource) -> Customization:
    made = tuple(GuestUser(name=f"u{n}", password=source) for n, source in enumerate(sources))
    return Customization(os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(users=made))


def find(
    folder: Path,
    *sources: SecretSource,
    ask: Callable[[str], str] | None = None,
    known: Secrets = (),
    **environ: str,
) -> dict[SecretSource, str]:
    found = find_secrets(users(*sources), folder=folder, environ=environ, ask=ask, known=known)
    assert CANARY not in repr(found)
    return {source: secret.reveal() for source, secret in found}


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_the_environment_is_asked(tmp_path: Path) -> None:
    source = SecretSource(env="GUEST")
    assert find(tmp_path, source, GUEST=CANARY) == {source: CANARY}


def test_a_file_is_relative_to_the_customization_and_its_first_line_counts(tmp_path: Path) -> None:
    write(tmp_path / "pw", f"{CANARY}\nmore\n")
    source = SecretSource(file="pw")
    assert find(tmp_path, source) == {source: CANARY}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "pw", CANARY, mode)
    with pytest.raises(InputError) as caught:
        find(tmp_path, SecretSource(file="pw"))
    assert "can be read by others" in caught.value.details
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("path", ["a\0b", "~no-such-user-here/x", "/"])
def test_an_unreadable_file_is_reported_as_wrong_input(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="1 password cannot be read"):
        find(tmp_path, SecretSource(file=path))


def test_the_keyring_is_asked_for_service_and_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def get(service: str, user: str) -> str:
        asked.append((service, user))
        return CANARY

    monkeypatch.setattr("keyring.get_password", get)
    source = SecretSource(keyring="corp/joiner/extra")
    assert find(tmp_path, source) == {source: CANARY}
    assert asked == [("corp", "joiner/extra")]


def test_a_failing_keyring_is_reported_without_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: str) -> str:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("keyring.get_password", fail)
    with pytest.raises(InputError) as caught:
        find(tmp_path, SecretSource(keyring="a/b"))
    assert "RuntimeError" in caught.value.details
    assert CANARY not in str(caught.value)


def test_a_password_needed_twice_is_asked_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return CANARY

    source = SecretSource(prompt="Password of everybody")
    assert find(tmp_path, source, source, ask=ask) == {source: CANARY}
    assert asked == ["Password of everybody"]


def test_without_a_terminal_a_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find(tmp_path, SecretSource(prompt="Password"))
    assert "there is none" in caught.value.details
    assert "env, file or keyring" in caught.value.details


def test_all_missing_passwords_are_reported_at_once_without_prompting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyring.get_password", lambda *_: None)

    def ask(what: str) -> str:
        pytest.fail(f"asked for {what}")

    write(tmp_path / "empty", "\n")
    with pytest.raises(InputError) as caught:
        find(
            tmp_path,
            SecretSource(prompt="Password"),
            SecretSource(env="GONE"),
            SecretSource(file="gone"),
            SecretSource(file="empty"),
            SecretSource(keyring="a/b"),
            ask=ask,
        )
    assert "4 passwords" in caught.value.brief
    told = [line.partition(": ")[0] for line in caught.value.details.splitlines()]
    assert told == [f"cloud_init.users[{n}].password" for n in (1, 2, 3, 4)]


def test_an_empty_answer_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was typed"):
        find(tmp_path, SecretSource(prompt="Password"), ask=lambda _: "")


def test_a_known_password_is_not_looked_up_again(tmp_path: Path) -> None:
    source = SecretSource(prompt="Password")
    assert find(tmp_path, source, known=((source, Secret(CANARY)),)) == {source: CANARY}
