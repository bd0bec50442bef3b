import stat
from pathlib import Path

import pytest

from linkedclone.config.config_file import ConfigFile, EndpointSettings
from linkedclone.errors import InputError

CANARY = "c4nary-pw"


def _load(tmp_path: Path, text: str) -> ConfigFile:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return ConfigFile.load(path)


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    file = ConfigFile.load(tmp_path / "nowhere.yaml")
    assert (file.settings.default, file.settings.endpoints) == (None, {})


@pytest.mark.parametrize("text", ["", "# only a comment\n", "endpoints:\n", "{}\n"])
def test_an_empty_file_is_fine(tmp_path: Path, text: str) -> None:
    assert _load(tmp_path, text).settings.endpoints == {}


def test_all_errors_are_reported_at_once_with_line_and_place(tmp_path: Path) -> None:
    text = f"""\
default: nowhere
endpoints:
  lab:
    ulr: vsphere://a@b
    password: {CANARY}
  two:
    url: vsphere://u:{CANARY}@h/x
    insecure: perhaps
  three:
    url: foo
    certificate: a
    ca_file: b
    password: keyring
    password_file: x
extra: 1
"""
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    lines = caught.value.details.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["line 1", "default"],
        ["line 3", "endpoints.lab.url"],
        ["line 4", "endpoints.lab.ulr"],
        ["line 5", "endpoints.lab.password"],
        ["line 7", "endpoints.two.url"],
        ["line 8", "endpoints.two.insecure"],
        ["line 10", "endpoints.three.url"],
        ["line 12", "endpoints.three.ca_file"],
        ["line 13", "endpoints.three.password"],
        ["line 15", "extra"],
    ]
    assert "has 10 errors" in caught.value.brief
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[a\n",
        "a: b: c\n",
        "- x\n",
        "endpoints: 3\n",
        "endpoints: {a: 3}\n",
        f"endpoints: {{a: {{url: 'memory:', password: {CANARY}, password: {CANARY}}}}}\n",
        f"{CANARY}\n",
        "\tx: 1\n",
        "!!python/object/apply:os.system ['true']\n",
        "endpoints: {1: {url: 'memory:'}}\n",
    ],
)
def test_an_invalid_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    assert CANARY not in str(caught.value)
    assert "line 1" in caught.value.details or "line 2" in caught.value.details


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        ConfigFile.load(path)


def test_writing_keeps_comments_and_order(tmp_path: Path) -> None:
    file = _load(
        tmp_path, "# mine\ndefault: b  # this one\nendpoints:\n  b:  # first\n    url: 'memory:'\n"
    )
    file = file.put("a", EndpointSettings(url="vsphere://u@h"), make_default=False)
    assert file.path.read_text() == (
        "# mine\ndefault: b  # this one\nendpoints:\n  b:  # first\n    url: 'memory:'\n"
        "  a:\n    url: vsphere://u@h\n"
    )
    assert file.settings.default == "b"


def test_the_first_endpoint_becomes_the_default(tmp_path: Path) -> None:
    file = _load(tmp_path, "# mine\n").put("a", EndpointSettings(url="memory:"), make_default=False)
    assert file.settings.default == "a"
    text = file.path.read_text()
    assert text.startswith("# mine")
    assert text.index("default") < text.index("endpoints")


def test_removing_the_default_leaves_none(tmp_path: Path) -> None:
    file = _load(tmp_path, "default: a\nendpoints: {a: {url: 'memory:'}, b: {url: 'memory:'}}\n")
    file = file.remove("a")
    assert (file.settings.default, list(file.settings.endpoints)) == (None, ["b"])


def test_the_file_is_private_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "config.yaml"
    link.symlink_to(tmp_path / "real" / "file.yaml")
    file = ConfigFile.load(link)
    file.put("a", EndpointSettings(url="memory:"), make_default=True)
    assert link.is_symlink()
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "real").iterdir()] == ["file.yaml"]
