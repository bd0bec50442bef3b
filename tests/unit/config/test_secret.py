import pickle

import pytest

from linkedclone.config.secret import scrub
from linkedclone.model.secret import Secret

CANARY = "c4nary p@ss/w"


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {[secret]} {secret!s}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_scrubbing_takes_out_every_form_of_a_password() -> None:
    secret = Secret(CANARY)
    text = f"plain {CANARY}, encoded c4nary%20p%40ss%2Fw and c4nary%20p%40ss/w"
    assert scrub(text) == "plain ********, encoded ******** and ********"
    assert secret.reveal() == CANARY


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("GOVC_URL", "https://u:in-url@h/sdk", "in-url"),
        ("GOVC_URL", "u:in%2Durl@h", "in-url"),
        ("GOVC_URL", "u@domain:in-url@h", "in-url"),
        ("GOVC_PASSWORD", "in-variable", "in-variable"),
        ("LINKEDCLONE_PASSWORD", "in-ours", "in-ours"),
        ("LINKEDCLONE_ENDPOINT", "vsphere://u:in-ours@h", "in-ours"),
    ],
)
def test_scrubbing_knows_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(name, value)
    assert scrub(f"<{shown}>") == "<********>"


def test_a_password_that_is_a_plain_word_is_not_told_by_the_rest_of_a_longer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", "pass")
    assert scrub("a password: pass, user:pass@host, 'pass1'") == (
        "a password: ********, user:********@host, '********1'"
    )


def test_scrubbing_leaves_other_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", "a")
    assert scrub("a cat sat") == "a cat sat"
