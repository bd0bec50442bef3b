import base64
import gc
import html
import json
import pickle
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape as xml_escape

import pytest

from linkedclone.config.redaction import scrub, scrub_sentence
from linkedclone.model.values.secret import Secret

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


def test_a_password_is_masked_inside_longer_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", "pass")
    assert scrub("a password: pass, user:pass@host, 'pass1'") == (
        "a password: ********, user:********@host, '********1'"
    )


def test_scrubbing_leaves_other_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", "a")
    assert scrub("a cat sat") == "a cat sat"


ODD = "c4\"n'ary<&>p@ss/ü😀 x"


@pytest.mark.parametrize(
    "form",
    [
        ODD,
        html.escape(ODD),
        html.escape(html.escape(ODD)),
        xml_escape(ODD),
        "".join(f"&#{ord(c)};" for c in ODD),
        "".join(f"&#x{ord(c):04X};" for c in ODD),
        quote(ODD, safe=""),
        quote(ODD, safe="").lower(),
        quote(quote(ODD, safe=""), safe=""),
        quote_plus(ODD),
        json.dumps(ODD)[1:-1],
        json.dumps(ODD, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(ODD))[3:-3],
        repr(ODD)[1:-1],
        base64.b64encode(f"administrator@vsphere.local:{ODD}".encode()).decode(),
        base64.urlsafe_b64encode(f"me:{ODD}".encode()).decode().rstrip("="),
        base64.b64encode(ODD.encode()).decode(),
    ],
)
def test_a_password_is_scrubbed_in_whatever_form_a_server_echoes_it(form: str) -> None:
    secret = Secret(ODD)
    assert scrub(f"<a>{form}</a> and {form}.") == "<a>********</a> and ********."
    assert secret.reveal() == ODD


@pytest.mark.parametrize("password", ["a", "1", "pw", "password", "server", "root", "name"])
def test_a_short_or_common_password_neither_leaks_nor_garbles(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", password)
    said = "a server named 1 said: incorrect user name or password for root (pw)"
    assert scrub(said) == said
    assert scrub_sentence(said) == said
    for before, after in (
        ("<ns1:password>", "</ns1:password>"),
        ('<password xsi:type="xsd:string">', "</password>"),
        ("&lt;password&gt;", "&lt;/password&gt;"),
        ('{"password": "', '"}'),
        ("password=", "&x=1"),
        ("https://me:", "@host/sdk"),
    ):
        assert scrub(f"{before}{password}{after}") == f"{before}********{after}"
    token = base64.b64encode(f"me:{password}".encode()).decode()
    assert scrub(f"Authorization: Basic {token}") == "Authorization: Basic ********"


def test_a_password_that_two_secrets_hold_is_known_until_both_are_gone() -> None:
    first, second = Secret(CANARY), Secret(CANARY)
    del first
    gc.collect()
    assert scrub(f"it was {CANARY}") == "it was ********"
    assert second.reveal() == CANARY


def test_our_own_sentences_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVC_PASSWORD", "golden")
    assert scrub_sentence("golden has no snapshot") == "golden has no snapshot"
    monkeypatch.setenv("HTTPS_PROXY", "http://me:in-the-pr0xy@proxy:3128")
    assert "in-the-pr0xy" not in scrub_sentence("http://me:in-the-pr0xy@proxy:3128 is away")
