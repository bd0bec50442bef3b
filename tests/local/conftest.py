"""Sealed layers of tests stay removable: pytest removes its folders itself."""

import pytest

from linkedclone.drivers.local.driver import IMMUTABLE_VARIABLE


@pytest.fixture(autouse=True)
def no_immutable_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMMUTABLE_VARIABLE, "no")
