import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.errors import InputError
from linkedclone.model.values.vm_names import MAX_NAMES, check_name, expand_names


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["desk"], ["desk"]),
        (["a", "b"], ["a", "b"]),
        (["desk-{1..3}"], ["desk-1", "desk-2", "desk-3"]),
        (["desk-{001..003}"], ["desk-001", "desk-002", "desk-003"]),
        (["desk-{9..11}"], ["desk-9", "desk-10", "desk-11"]),
        (["desk-{09..11}"], ["desk-09", "desk-10", "desk-11"]),
        (["desk-{8..010}"], ["desk-008", "desk-009", "desk-010"]),
        (["desk-{08..100}"], [f"desk-{n:03}" for n in range(8, 101)]),
        (["desk-{0..1}"], ["desk-0", "desk-1"]),
        (["desk-{7..7}"], ["desk-7"]),
        (["{1..2}{1..2}"], ["11", "12", "21", "22"]),
        (["r{1..2}-d{1..2}-x"], ["r1-d1-x", "r1-d2-x", "r2-d1-x", "r2-d2-x"]),
        (["Büro 1", "büro.2"], ["Büro 1", "büro.2"]),
        ([], []),
    ],
)
def test_ranges_expand(patterns: list[str], names: list[str]) -> None:
    assert list(expand_names(patterns)) == names


@given(
    low=st.integers(0, 500),
    count=st.integers(1, 200),
    width=st.integers(1, 6),
    prefix=st.text("abc-", max_size=5).map(lambda text: f"vm{text}"),
)
def test_a_range_gives_as_many_names_as_numbers_and_each_once(
    low: int, count: int, width: int, prefix: str
) -> None:
    high = low + count - 1
    names = expand_names([f"{prefix}{{{low:0{width}}..{high:0{width}}}}"])
    assert len(names) == len(set(names)) == count
    assert [int(name.removeprefix(prefix)) for name in names] == list(range(low, high + 1))
    assert all(len(name) >= len(prefix) + width for name in names)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_several_ranges_give_every_combination(counts: list[int]) -> None:
    names = expand_names(["-".join(["x", *(f"{{1..{count}}}" for count in counts)])])
    expected = 1
    for count in counts:
        expected *= count
    assert len(set(names)) == len(names) == expected
    assert list(names) == sorted(names)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "empty"),
        ("desk-{3..1}", "backwards"),
        ("desk-{a..c}", "brace"),
        ("desk-{1..}", "brace"),
        ("desk-{1,2}", "brace"),
        ("desk-{1..9999999999999999999}", "brace"),
        ("desk-{\N{ARABIC-INDIC DIGIT THREE}..\N{ARABIC-INDIC DIGIT SEVEN}}", "brace"),
        ("desk-{1..10001}", "more than 10,000"),
        ("{1..101}{1..100}", "more than 10,000"),
        ("a/b", "'/'"),
        ("a\\b", "must not have"),
        ("a%b", "'%'"),
        ("a\nb", "must not have"),
        ("a\x7fb", "must not have"),
        (" a", "blank"),
        ("a ", "blank"),
        ("-a", "hyphen"),
        (".", "folder"),
        ("..", "folder"),
        ("a" * 81, "81 characters"),
        ("a{10..11}" + "b" * 78, "81 characters"),
    ],
)
def test_a_malformed_name_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        expand_names([pattern])


def test_the_longest_name_is_allowed() -> None:
    check_name("a" * 80)


def test_ten_thousand_names_are_allowed_and_one_more_is_not() -> None:
    assert len(expand_names(["desk-{1..10000}"])) == MAX_NAMES
    with pytest.raises(InputError, match="more than 10,000"):
        expand_names(["desk-{1..10000}", "one-more"])
    with pytest.raises(InputError, match="more than 10,000"):
        expand_names(["desk-{1..9999}", "more-{1..2}"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "a"], "'a' comes twice"),
        (["desk-{1..3}", "desk-2"], "'desk-2' comes twice"),
        (["Desk", "desk"], "differ only in case"),
        (["straße", "STRASSE"], "differ only in case"),
    ],
)
def test_a_name_that_comes_twice_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        expand_names(names)


@pytest.mark.parametrize(
    "odd", ["\x00", "\n", "\x7f", "\x9b", "\u202e", "\u200b", "\u2028", "\udcff"]
)
def test_a_name_has_no_characters_that_steer_or_show_nothing(odd: str) -> None:
    with pytest.raises(InputError, match="must not have"):
        check_name(f"desk{odd}1")
