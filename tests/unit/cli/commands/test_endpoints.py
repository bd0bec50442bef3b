"""endpoints and doctor, as far as they need no server."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


def test_the_first_endpoint_is_the_default(run: Run, home: Path) -> None:
    outcome = run("endpoints", "add", "demo", "memory:")
    assert outcome.code == 0
    assert "it is the default" in outcome.out
    assert "  /vm/golden" in outcome.out
    assert (home / "config.yaml").stat().st_mode & 0o777 == 0o600


def test_listing_shows_the_configured_endpoints(run: Run, home: Path) -> None:
    (home / "config.yaml").write_text(
        "default: lab\nendpoints:\n"
        "  lab: {url: 'vsphere://me@h', certificate: x.pem, password: keyring}\n"
        "  ca: {url: 'vsphere://me@h', ca_file: x.pem, password_file: y}\n"
        "  open: {url: 'vsphere://me@h?insecure=true'}\n"
        "  demo: {url: 'memory:'}\n"
    )
    rows = run("endpoints", "list", "-o", "json").document["endpoints"]
    assert [(r["name"], r["default"], r["trust"], r["password"]) for r in rows] == [
        ("ca", False, "ca", "file"),
        ("demo", False, None, None),
        ("lab", True, "pinned", "keyring"),
        ("open", False, "insecure", "ask"),
    ]
    assert "lab" in run("endpoints", "list").out


def test_adding_with_json_lists_parents(run: Run) -> None:
    document = run("endpoints", "add", "demo", "memory:", "-o", "json").document
    assert (document["parents"], document["parents_total"]) == (["/vm/golden"], 1)
    assert (document["name"], document["default"]) == ("demo", True)


def test_the_default_can_be_moved(run: Run) -> None:
    run("endpoints", "add", "one", "memory:")
    run("endpoints", "add", "two", "memory:", "--default")
    rows = run("endpoints", "list", "-o", "json").document["endpoints"]
    assert [row["name"] for row in rows if row["default"]] == ["two"]


def test_a_configured_name_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINKEDCLONE_ENDPOINT")
    run("endpoints", "add", "demo", "memory:")
    assert run("-v", "list").err.startswith("endpoint: memory: (default of ")
    assert run("endpoints", "test").code == 0
    assert run("endpoints", "test", "demo", "-o", "json").document["product"]


def test_removing_forgets_pin_and_password_but_no_file_of_others(run: Run, home: Path) -> None:
    (home / "certificates").mkdir()
    (home / "passwords").mkdir()
    ours = [home / "certificates" / "lab.pem", home / "passwords" / "lab"]
    for path in [*ours, home / "mine.pw"]:
        path.write_text("x")
    (home / "config.yaml").write_text(
        "# kept\ndefault: lab\nendpoints:\n"
        "  lab: {url: 'vsphere://me@h', certificate: certificates/lab.pem,"
        " password_file: passwords/lab}\n"
        "  other: {url: 'vsphere://me@h', password_file: mine.pw}\n"
    )
    outcome = run("endpoints", "remove", "lab", "-o", "json")
    assert outcome.document["removed"]["name"] == "lab"
    assert not any(path.exists() for path in ours)
    assert run("endpoints", "remove", "other").code == 0
    assert (home / "mine.pw").exists()
    assert (home / "config.yaml").read_text().startswith("# kept")


def test_nothing_is_saved_if_the_server_is_not_there(run: Run, home: Path) -> None:
    outcome = run("endpoints", "add", "lab", "vsphere://me@127.0.0.1:1")
    assert outcome.code == 1
    assert "refuses connections" in outcome.err
    assert not (home / "config.yaml").exists()


def test_doctor_finds_nothing_wrong_with_the_demo(run: Run) -> None:
    outcome = run("doctor")
    assert outcome.code == 0
    assert "ok       configuration" in outcome.out
    assert "warning  persistence" in outcome.out
    assert "try: name a real hypervisor" in outcome.out


@pytest.mark.parametrize(
    ("endpoint", "check", "text"),
    [
        ("vsphere://me@127.0.0.1:1", "connection", "refuses connections"),
        ("vsphere://me@nowhere.invalid", "connection", "nowhere.invalid"),
        ("lab", "endpoint", "no endpoint called 'lab'"),
    ],
)
def test_doctor_tells_failures_instead_of_dying(
    run: Run, monkeypatch: pytest.MonkeyPatch, endpoint: str, check: str, text: str
) -> None:
    monkeypatch.setenv("LINKEDCLONE_PASSWORD", "x")
    outcome = run("-e", endpoint, "doctor", "-o", "json")
    assert outcome.code == 1
    last = outcome.document["findings"][-1]
    assert (last["check"], last["verdict"]) == (check, "failed")
    assert text in last["text"]


def test_doctor_looks_at_the_configuration_file(run: Run, home: Path) -> None:
    config = home / "config.yaml"
    config.write_text("endpoints: {demo: {url: 'memory:'}}\n")
    config.chmod(0o666)
    finding = run("doctor", "-o", "json").document["findings"][0]
    assert (finding["verdict"], finding["remedy"]) == ("warning", f"chmod 600 {config}")
    config.write_text("nonsense: 1\n")
    outcome = run("doctor")
    assert outcome.code == 1
    assert "failed   configuration" in outcome.out
    assert "line 1: nonsense: unknown setting" in outcome.out
