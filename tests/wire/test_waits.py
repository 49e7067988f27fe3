"""When to come back, in all the ways in which upstreams say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.wire import waits
from cliproxy.wire.http import Headers

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "99999999999"}, None),
        ({}, None),
    ],
)
def test_what_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    assert waits.asked(Headers(headers), NOW) == seconds


def test_a_date_says_nothing_to_those_without_a_clock() -> None:
    assert waits.asked(Headers({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}), None) is None
    assert waits.until("1700000060", None) is None
    assert waits.until("60", None) == 60.0


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("20ms", 0.02),
        ("1d", 86400.0),
        ("30", 30.0),
        (" 0.5 ", 0.5),
        ("1700000090", 90.0),
        ("1700000090500", 90.5),
        ("2023-11-14T22:14:20Z", 60.0),
        ("2023-11-14T23:14:20+01:00", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("1600000000", None),
        ("2020-01-01T00:00:00Z", None),
        ("", None),
        ("later", None),
        ("6m 0s", None),
    ],
)
def test_times_of_reset(spelled: str, seconds: float | None) -> None:
    assert waits.until(spelled, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0.847655010s", 0.84765501),
        ("373.801628ms", 0.373801628),
        ("1h2m3.5s", 3723.5),
        ("5us", 5e-6),
        ("7ns", 7e-9),
        ("", None),
        ("5", None),
        ("5s ", None),
        ("-5s", None),
    ],
)
def test_durations(written: str, seconds: float | None) -> None:
    assert waits.duration(written) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "20s",
            },
            20.0,
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:14:20Z",
                "anthropic-ratelimit-requests-remaining": "40",
                "anthropic-ratelimit-requests-reset": "2023-11-14T23:14:20Z",
            },
            60.0,
        ),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "1700000030"}, 30.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000030000"}, 30.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-requests": "0"}, None),
        ({}, None),
    ],
)
def test_windows_with_nothing_left(headers: dict[str, str], seconds: float | None) -> None:
    assert waits.windows(Headers(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-5. Please try again in 6m0s. Visit", 360.0),
        ("Please try again in 11.054s.", 11.054),
        ("Please try again in 20ms", 0.02),
        ("Please retry in 34.07s.", 34.07),
        ("Your quota will reset after 12s.", 12.0),
        ("Try again in 5 minutes", 300.0),
        ("Retry after 30 seconds.", 30.0),
        ("wait 2 hours", 7200.0),
        ("available again in 3 days", 259200.0),
        ("try again in 1.5 s", 1.5),
        ("gave up after 3 attempts", None),
        ("after 12", None),
        ("nothing of the kind", None),
    ],
)
def test_messages(message: str, seconds: float | None) -> None:
    assert waits.said(message) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(), st.text())
def test_nothing_is_too_odd(spelled: str, message: str) -> None:
    for found in (waits.until(spelled, NOW), waits.said(message), waits.duration(spelled)):
        assert found is None or found >= 0


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_no_header_is_too_odd(value: str) -> None:
    names = ("retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-remaining")
    headers = Headers(dict.fromkeys(names, value))
    for found in (waits.asked(headers, NOW), waits.windows(headers, NOW)):
        assert found is None or found >= 0
