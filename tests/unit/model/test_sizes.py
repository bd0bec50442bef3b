import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.errors import InputError
from linkedclone.model.values.sizes import parse_size, render_size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1", 1),
        ("4096", 4096),
        ("4096b", 4096),
        ("1k", 1024),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        ("4GiB", 4 * GIB),
        ("4Gi", 4 * GIB),
        ("4G", 4 * GIB),
        ("4gb", 4 * GIB),
        ("  4GiB ", 4 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("2TiB", 2 << 40),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "GiB", "four", "-1", "+1", "4 G iB", "4ib", "4PiB", "1e3", "1,5G", ".5G", "٤G", "9" * 400],
)
def test_an_invalid_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="is not a memory size") as caught:
        parse_size(text, what="memory size")
    assert "4GiB" in caught.value.hint


@pytest.mark.parametrize("text", ["0", "0GiB", "0.0001"])
def test_a_size_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is nothing"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (12_595, "12.3 KiB"),
        (423 << 20, "423 MiB"),
        (999 << 20, "999 MiB"),
        (1000 << 20, "1.0 GiB"),
        (2 * GIB, "2.0 GiB"),
        (1 << 50, "1024 TiB"),
    ],
)
def test_a_size_is_written_for_people(size_bytes: int | None, text: str) -> None:
    assert render_size(size_bytes) == text


@given(st.integers(1, 10**17))
def test_bytes_are_read_exactly(size_bytes: int) -> None:
    assert parse_size(str(size_bytes)) == size_bytes


@given(st.integers(1, 1 << 49))
def test_a_rendered_size_parses_back_within_its_digits(size_bytes: int) -> None:
    text = render_size(size_bytes)
    assert abs(parse_size(text) - size_bytes) <= 0.052 * size_bytes
    assert render_size(parse_size(text)) == text
