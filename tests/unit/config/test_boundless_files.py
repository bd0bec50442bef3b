"""Files that people name: endless, deep, swelling or no file at all, each ends in a clear error."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linkedclone.app.pools.pool_file import read_pool
from linkedclone.config.config_file import ConfigFile
from linkedclone.config.customization_file import read_customization
from linkedclone.config.passwords import read_password_file
from linkedclone.errors import InputError

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
BOUNDLESS = {
    "a list in itself": ("\na: &a [*a]\n", r"line 2: \*a refers to its own value"),
    "a mapping merged into itself": ("p: &p\n  <<: *p\n", r"line 2: \*p refers to its own value"),
    "references that swell": (LAUGHS, "line 5: with its references it holds more than 100,000"),
    "deep lists": ("\n\na: " + "[" * 5000 + "]" * 5000, "line 3: deeper than 64 levels"),
    "deep mappings": ("{b: " * 5000 + "1" + "}" * 5000, "line 1: deeper than 64 levels"),
    "a large file": ("x: 1\n" * 300_000, "larger than 1 MiB"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "pool": read_pool,
    "customization": read_customization,
    "configuration": ConfigFile.load,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize(("text", "told"), BOUNDLESS.values(), ids=BOUNDLESS.keys())
def test_a_boundless_yaml_file_is_refused_with_its_line(
    tmp_path: Path, text: str, told: str, read: Callable[[Path], object]
) -> None:
    file = tmp_path / "wanted.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"wanted\.yaml cannot be") as caught:
        read(file)
    assert caught.match(told)


def test_a_file_of_another_kind_is_not_told_whole(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(f"{'x' * 1000}: 1\n" + "".join(f"k{n}: 1\n" for n in range(150)))
    with pytest.raises(InputError, match="has 155 errors") as caught:
        read_pool(file)
    lines = caught.value.details.splitlines()
    assert (len(lines), lines[-1]) == (101, "and 55 more")
    assert max(map(len, lines)) == 1000


@pytest.mark.parametrize(
    "read", [*READERS.values(), read_password_file], ids=[*READERS.keys(), "password"]
)
def test_a_pipe_without_a_writer_is_refused_at_once(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(InputError, match="it is not a regular file"):
        read(pipe)


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(InputError, match="it is not a regular file"):
        read_pool(Path("/dev/zero"))


def test_references_that_end_are_used(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(
        'pool: desks\nparent: golden\nsize: 1\nname: "d-{n}"\n'
        "health: {within: &t 5m}\nmax_age: *t\n"
    )
    assert read_pool(file).max_age == 300
