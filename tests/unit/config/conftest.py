"""A configuration folder of its own for each test."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Write a configuration file; return an environment that names it and the variables given."""

    def write(text: str | None = None, **variables: str) -> dict[str, str]:
        path = tmp_path / "config.yaml"
        if text is not None:
            path.write_text(text)
        return {"LINKEDCLONE_CONFIG": str(path), **variables}

    return write
