"""How long ago something was."""

from datetime import UTC, datetime, timedelta

import pytest

from linkedclone.cli.views.ages import render_age

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "age"),
    [
        (timedelta(seconds=-90), "new"),
        (timedelta(seconds=59), "new"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=5), "5 h"),
        (timedelta(hours=23, minutes=59), "23 h"),
        (timedelta(days=3, hours=20), "3 d"),
        (timedelta(days=29), "29 d"),
        (timedelta(days=61), "2 mo"),
        (timedelta(days=364), "12 mo"),
        (timedelta(days=800), "2 y"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(before: timedelta, age: str) -> None:
    assert render_age(NOW - before, NOW) == age


def test_an_unknown_age_is_a_dash() -> None:
    assert render_age(None, NOW) == "-"


def test_what_was_dated_by_a_clock_that_was_wrong_has_no_age() -> None:
    assert render_age(NOW + timedelta(hours=5), NOW) == "new"
    assert render_age(NOW + timedelta(days=900), NOW) == "-"
