"""How long an endpoint is waited for, as the environment says."""

import pytest

from linkedclone.config.resolve_endpoint import read_patience, resolve_endpoint
from linkedclone.errors import InputError


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("0", 0.0), ("2.5", 2.5), (" 9 ", 9.0)])
def test_it_is_a_number_of_seconds(text: str, seconds: float | None) -> None:
    assert read_patience({"LINKEDCLONE_PATIENCE": text}) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e9"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="LINKEDCLONE_PATIENCE"):
        read_patience({"LINKEDCLONE_PATIENCE": text})


def test_it_reaches_the_endpoint() -> None:
    environ = {"LINKEDCLONE_PASSWORD": "p", "LINKEDCLONE_PATIENCE": "7"}
    assert resolve_endpoint("vsphere://u@h", environ=environ).patience_seconds == 7.0
