"""Many names in few words, and none left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkedclone.cli.views.name_ranges import collapse_names
from linkedclone.model.values.vm_names import expand_names


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["desk-001", "desk-002", "desk-003"], ["desk-{001..003}"]),
        (["desk-8", "desk-9", "desk-10", "desk-11"], ["desk-{8..11}"]),
        (["desk-098", "desk-099", "desk-100"], ["desk-{098..100}"]),
        (["a1", "a3", "b2", "golden"], ["a1", "a3", "b2", "golden"]),
        (["a01", "a02", "a3"], ["a{01..02}", "a3"]),
        (["twin", "twin"], ["twin", "twin"]),
        (["7", "8"], ["{7..8}"]),
        ([], []),
    ],
)
def test_names_that_count_up_become_a_range(names: list[str], shown: list[str]) -> None:
    assert sorted(collapse_names(names)) == sorted(shown)


@settings(deadline=None)
@given(st.sets(st.from_regex(r"[a-c]{1,2}-?[0-9]{1,3}", fullmatch=True), max_size=60))
def test_a_range_expands_to_exactly_its_names(names: set[str]) -> None:
    shown = collapse_names(names)
    found = [name for one in shown for name in (expand_names([one]) if "{" in one else [one])]
    assert sorted(found) == sorted(names)
