"""Points in time in all the spellings that credential files use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.times import rfc3339, unix_time

NOON = 1_767_268_800.0
"""2026-01-01 12:00 UTC."""


@pytest.mark.parametrize(
    "spelling",
    [
        "2026-01-01T12:00:00Z",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T12:00:00.000000000Z",
        "2026-01-01 12:00:00",
        "2026-01-01 12:00",
        " 2026-01-01T12:00:00Z ",
        NOON,
        int(NOON),
        int(NOON) * 1000,
        str(int(NOON)),
        str(int(NOON) * 1000),
    ],
)
def test_one_moment_in_many_spellings(spelling):
    assert unix_time(spelling) == NOON


def test_fractions_of_a_second_are_kept():
    assert unix_time("2026-01-01T12:00:00.5Z") == NOON + 0.5
    assert unix_time("2026-01-01T12:00:00.123456789+00:00") == pytest.approx(NOON + 0.123456)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        "soon",
        "0001-01-01T00:00:00Z",
        0,
        -5,
        "0",
        [],
        {},
        float("inf"),
        1e300,
        "2026-13-01",
        "\u0661",
    ],
)
def test_what_is_no_moment(value):
    assert unix_time(value) is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text):
    found = unix_time(text)
    assert found is None or found > 0


@given(st.integers(1, 253_402_300_799))
def test_what_is_written_reads_back(seconds):
    assert unix_time(rfc3339(seconds)) == seconds


@pytest.mark.parametrize("seconds", [-1e20, 1e20])
def test_moments_beyond_the_calendar_are_written_as_its_ends(seconds):
    assert len(rfc3339(seconds)) == len("2026-01-01T12:00:00Z")
