"""Questions about usage."""

import hashlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.stores import usage
from cliproxy.stores.rows import DAY_S, HOUR_S, RequestRow, Sums, Tokens, summed
from cliproxy.stores.schema import migrate
from cliproxy.stores.state import add_buckets, write_requests
from cliproxy.stores.usage import (
    DIMENSIONS,
    Outcomes,
    Wanted,
    following,
    newest,
    recent,
    roll_up,
    totals,
)
from support.usage import NOON, REQUESTS, attempt, request

KEY = "sk-the-key-of-a-client"
KEY_ID = hashlib.sha256(KEY.encode()).hexdigest()[:16]
ROWS = (
    request(0, attempt(0, tokens=Tokens(fresh_input=1), cost_micros=5)),
    request(60, attempt(60, credential="b.json", outcome="error"), attempt(61, tokens=Tokens(output=2))),
    request(3600, attempt(3600, provider="q", model="n"), client_id=KEY_ID, client="***ient"),
    request(DAY_S, outcome="error", model="other"),
)


def filled(connection: sqlite3.Connection, rows: tuple[RequestRow, ...]) -> sqlite3.Connection:
    migrate(connection)
    write_requests(connection, rows)
    add_buckets(connection, summed(rows))
    return connection


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield filled(opened, ROWS)
    opened.close()


def test_the_whole_is_the_sum_of_everything(connection: sqlite3.Connection) -> None:
    whole = Sums()
    for sums in summed(ROWS).values():
        whole.add(sums)
    assert totals(connection) == whole
    assert totals(connection, Wanted(client="nobody")) == Sums()


@pytest.mark.parametrize(
    ("wanted", "requests"),
    [
        (Wanted(), 4),
        (Wanted(since=NOON + 3600), 2),
        (Wanted(until=NOON + 3600), 2),
        (Wanted(since=NOON + 3600, until=NOON + DAY_S), 1),
        (Wanted(client="***cdef"), 3),
        (Wanted(client="c0ffee"), 3),
        (Wanted(client=KEY), 1),
        (Wanted(provider="q"), 1),
        (Wanted(model="n"), 1),
        (Wanted(credential="a.json"), 4),
        (Wanted(credential="b.json"), 0),
    ],
)
def test_sums_of_what_is_asked_for(connection: sqlite3.Connection, wanted: Wanted, requests: int) -> None:
    assert totals(connection, wanted).requests == requests


def test_sums_by_what_is_asked_for(connection: sqlite3.Connection) -> None:
    by_model = {group.model: group.sums.requests for group in roll_up(connection, Wanted(), by=["model"])}
    assert by_model == {"m": 3, "n": 1}
    by_both = roll_up(connection, Wanted(), by=["client", "credential"])
    assert {(group.client, group.credential): group.sums.attempts for group in by_both} == {
        ("***cdef", "a.json"): 3,
        ("***cdef", "b.json"): 1,
        ("***ient", "a.json"): 1,
    }
    assert {group.client_id for group in by_both} == {"c0ffee", KEY_ID}


def test_periods_begin_where_the_callers_clock_says(connection: sqlite3.Connection) -> None:
    hours = [(group.start, group.sums.requests) for group in roll_up(connection, Wanted(), step=3600)]
    assert hours == [(NOON, 2), (NOON + 3600, 1), (NOON + DAY_S, 1)]
    midnight = NOON - 12 * 3600
    days = [(group.start, group.sums.requests) for group in roll_up(connection, Wanted(), step=DAY_S)]
    assert days == [(midnight, 3), (midnight + DAY_S, 1)]
    # Eleven hours ahead it is 23:00, and the next day begins with the third request.
    ahead = roll_up(connection, Wanted(), step=DAY_S, offset=11 * 3600)
    assert [(group.start, group.sums.requests) for group in ahead] == [
        (midnight - 11 * 3600, 2),
        (midnight - 11 * 3600 + DAY_S, 2),
    ]


@given(st.lists(REQUESTS, max_size=5).map(tuple), st.sets(st.sampled_from(sorted(DIMENSIONS))))
def test_however_it_is_divided_the_whole_is_the_same(rows: tuple[RequestRow, ...], by: set[str]) -> None:
    opened = filled(sqlite3.connect(":memory:", isolation_level=None), rows)
    for step in (None, 3600, DAY_S):
        whole = Sums()
        for group in roll_up(opened, Wanted(), by=sorted(by), step=step):
            whole.add(group.sums)
        assert whole == totals(opened)
    opened.close()


DAYS = tuple(request(hour * HOUR_S) for hour in range(-50, 50, 3))
MOMENTS = (
    st.none()
    | st.integers(-60, 60).map(lambda hour: NOON + hour * HOUR_S)
    | st.integers(NOON - 60 * HOUR_S, NOON + 60 * HOUR_S)
)


@given(MOMENTS, MOMENTS)
def test_days_and_hours_come_to_the_same(since: int | None, until: int | None) -> None:
    """Where whole days are asked for, their sums are used; the answer is that of the hours."""
    opened = filled(sqlite3.connect(":memory:", isolation_level=None), DAYS)
    expected = Sums()
    for key, sums in summed(DAYS).items():
        if (since is None or key.hour >= since // HOUR_S * HOUR_S) and (until is None or key.hour < until):
            expected.add(sums)
    wanted = Wanted(since=since, until=until)
    assert totals(opened, wanted) == expected
    by_day, by_hour = (
        {group.start: group.sums.requests for group in roll_up(opened, wanted, step=step)}
        for step in (DAY_S, HOUR_S)
    )
    folded: dict[int, int] = {}
    for start, requests in by_hour.items():
        assert start is not None
        folded[start // DAY_S * DAY_S] = folded.get(start // DAY_S * DAY_S, 0) + requests
    assert by_day == folded
    opened.close()


# --- single requests --------------------------------------------------------------------------------------


def test_requests_are_read_back_as_they_were(connection: sqlite3.Connection) -> None:
    page = newest(connection, Wanted())
    assert [event.request for event in page.events] == list(reversed(ROWS))
    assert page.next is None
    assert [event.request for event in following(connection)] == list(ROWS)


def test_pages_follow_each_other(connection: sqlite3.Connection) -> None:
    first = newest(connection, Wanted(), limit=3)
    rest = newest(connection, Wanted(), before=first.next, limit=3)
    assert [event.request for event in [*first.events, *rest.events]] == list(reversed(ROWS))
    assert rest.next is None
    assert following(connection, after=rest.events[0].number, limit=1)[0].request == ROWS[1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(outcome="error"), [3]),
        (Wanted(model="other"), [3]),
        (Wanted(model="n"), [2]),
        (Wanted(client=KEY), [2]),
        (Wanted(since=NOON + 60, until=NOON + 61), [1]),
        (Wanted(credential="b.json"), []),
    ],
)
def test_requests_that_are_asked_for(
    connection: sqlite3.Connection, wanted: Wanted, found: list[int]
) -> None:
    page = newest(connection, wanted)
    assert [event.request for event in page.events] == [ROWS[place] for place in found]
    assert page.next is None


@given(st.integers(1, 7), st.integers(1, 9), st.sampled_from(["ok", "error", "cancelled"]))
def test_rare_requests_are_found_a_few_rows_at_a_time(limit: int, look: int, outcome: str) -> None:
    """Whatever the sizes are, the pages together have everything, once and in order."""
    rows = tuple(
        request(at // 2, outcome="error" if at in {0, 3, 17, 18} else "ok", request_id=f"{at}")
        for at in range(20)
    )
    opened = filled(sqlite3.connect(":memory:", isolation_level=None), rows)
    found: list[str] = []
    place, pages = None, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage, "LOOKED_THROUGH", look)
        while pages == 0 or place is not None:
            page = newest(opened, Wanted(outcome=outcome), before=place, limit=limit)
            found += [event.request.request_id for event in page.events]
            place, pages = page.next, pages + 1
    assert found == [row.request_id for row in reversed(rows) if row.outcome == outcome]
    assert pages <= len(rows) // min(limit, look) + 1
    opened.close()


def test_how_attempts_went_of_late(connection: sqlite3.Connection) -> None:
    found = recent(connection, NOON + 3601, count=7)
    assert found == {
        "a.json": [Outcomes(2, 0), *[Outcomes()] * 5, Outcomes(1, 0)],
        "b.json": [Outcomes(0, 1), *[Outcomes()] * 6],
    }
    assert recent(connection, NOON + 10 * DAY_S) == {}
