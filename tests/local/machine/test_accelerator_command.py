"""What machines are started with: the option, else the environment, else what works."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.cli.main import main
from linkedclone.config.endpoint import Endpoint, with_accel
from linkedclone.drivers.local.driver import open_local
from linkedclone.drivers.local.machine import start
from linkedclone.drivers.local.machine.accelerator import Accelerator
from linkedclone.drivers.local.machine.arguments import MachineConfig
from linkedclone.drivers.local.state.settings import ACCEL_VARIABLE, find_accel
from linkedclone.drivers.registry import load_driver
from linkedclone.errors import InputError
from linkedclone.model.images import ImageImport
from tests.local.scenes import make_image

PROBED = "probed"


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A state folder with a parent, away from this machine's configuration."""
    monkeypatch.delenv(ACCEL_VARIABLE, raising=False)
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "logs"))
    image, root = make_image(tmp_path / "image.qcow2"), tmp_path / "state"
    with closing(open_local(Endpoint(kind="local", path=str(root)))) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
    return f"local:{root}"


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accelerators that QEMU would have been started with."""
    seen: list[str] = []

    def build(
        _config: MachineConfig, _disks: object, *, accel: str, **_others: object
    ) -> Sequence[str]:
        seen.append(accel)
        raise InputError("seen enough")

    monkeypatch.setattr(start, "build_arguments", build)
    monkeypatch.setattr(start, "choose_accelerator", lambda _: Accelerator(name=PROBED, reason=""))
    return seen


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (("", None), PROBED),
        (("auto", None), PROBED),
        (("tcg", None), "tcg"),
        (("kvm", None), "kvm"),
        (("kvm", "tcg"), "tcg"),
        (("tcg", "kvm"), "kvm"),
        (("tcg", "auto"), PROBED),
        (("nonsense", "tcg"), "tcg"),
    ],
)
@pytest.mark.parametrize(
    "verb",
    [["clone", "golden", "desk"], ["start", "made"], ["restart", "made"]],
    ids=lambda v: v[0],
)
def test_the_option_goes_before_the_environment(
    endpoint: str,
    launched: list[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: list[str],
    asked: tuple[str, str | None],
    used: str,
) -> None:
    environment, option = asked
    assert main(["clone", "golden", "made", "--power", "off", "--endpoint", endpoint]) == 0
    monkeypatch.setenv(ACCEL_VARIABLE, environment)
    options = ["--accel", option] if option else []
    assert main([*verb, *options, "--endpoint", endpoint]) != 0
    assert launched == [used]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["start", "golden", "--accel", "xen"], "'xen' is not one of"),
        (["start", "golden", "--accel", "tcg", "--endpoint", "memory:"], "leave --accel out"),
        (["restart", "golden", "--accel", "auto", "--endpoint", "memory:"], "memory: chooses"),
        (["clone", "golden", "x", "--accel", "kvm", "--endpoint", "memory:"], "for local: alone"),
        (["clone", "golden", "x", "--accel", "kvm", "--power", "off"], "starts none"),
    ],
)
def test_wrong_use_is_refused(
    endpoint: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    chosen = [] if "--endpoint" in arguments else ["--endpoint", endpoint]
    assert main([*arguments, *chosen]) == 2
    assert words in capsys.readouterr().err


def test_a_wrong_environment_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ACCEL_VARIABLE, "xen")
    assert main(["list", "--endpoint", endpoint]) == 2
    told = capsys.readouterr().err
    assert "LINKEDCLONE_ACCEL is 'xen', which is not an accelerator" in told
    assert "auto, kvm, tcg" in told


def test_the_library_takes_the_same() -> None:
    endpoint = with_accel(Endpoint(kind="local"), "KVM")
    assert find_accel(endpoint.accel, {ACCEL_VARIABLE: "tcg"}) == "kvm"
    with pytest.raises(InputError):
        with_accel(Endpoint(kind="local"), "xen")
    with pytest.raises(InputError):
        load_driver(with_accel(Endpoint(kind="memory"), "kvm"))
