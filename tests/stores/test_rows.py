"""How requests become hourly sums."""

from hypothesis import given
from hypothesis import strategies as st

from cliproxy.stores.rows import LONGEST, MOST, RequestRow, Sums, Tokens, bounded, hour_of, plain, summed
from support.usage import NOON, REQUESTS, attempt, ns, request


def test_an_hour_is_one_of_utc() -> None:
    assert hour_of(ns(0)) == hour_of(ns(3599.9)) == NOON
    assert hour_of(ns(-0.1)) == NOON - 3600


def test_a_request_counts_where_it_was_answered_and_an_attempt_where_it_was_made() -> None:
    first = attempt(0, credential="a", outcome="error", tokens=Tokens(fresh_input=3), cost_micros=2)
    second = attempt(3600, credential="b", tokens=Tokens(fresh_input=3, output=4, reasoning=5))
    buckets = summed([request(0, first, second)])
    by_credential = {key.credential: (key.hour, sums) for key, sums in buckets.items() if sums.attempts}
    assert by_credential == {
        "a": (NOON, Sums(attempts=1, failed_attempts=1, fresh_input=3, cost_micros=2)),
        "b": (NOON + 3600, Sums(attempts=1, fresh_input=3, output=4, reasoning=5, unpriced=1)),
    }
    [(key, counted)] = [(key, sums) for key, sums in buckets.items() if sums.requests]
    assert (key.hour, key.credential, key.client, key.model) == (NOON, "b", "***cdef", "m")
    assert counted == Sums(requests=1, ok=1, duration_us=1_500_000, first_byte_us=200_000, first_bytes=1)


def test_a_request_that_reached_nobody_counts_nowhere_in_particular() -> None:
    row = RequestRow(started_ns=ns(0), client="c", model="whatever a client says", outcome="error")
    [(key, sums)] = summed([row]).items()
    assert (key.client, key.provider, key.model, key.credential) == ("c", "", "", "")
    assert sums == Sums(requests=1, errors=1)


@given(st.lists(REQUESTS, max_size=6))
def test_every_request_and_every_token_is_in_exactly_one_bucket(rows: list[RequestRow]) -> None:
    whole = Sums()
    for sums in summed(rows).values():
        whole.add(sums)
    attempts = [made for row in rows for made in row.attempts]
    assert whole.requests == len(rows) == whole.ok + whole.errors + whole.cancelled
    assert whole.attempts == len(attempts)
    assert whole.tokens == sum(made.tokens.total for made in attempts)
    assert whole.cost_micros == sum(row.cost_micros or 0 for row in rows)


def test_the_cost_of_a_request_is_that_of_its_attempts_as_far_as_it_is_known() -> None:
    assert request(0, attempt(cost_micros=3), attempt(), attempt(cost_micros=4)).cost_micros == 7
    assert request(0, attempt()).cost_micros is None


def test_names_and_counts_are_such_as_the_database_takes() -> None:
    assert plain("a\ud800b") == "a?b"
    assert plain("ß") == "ß"
    assert plain("x" * 1000) == "x" * LONGEST
    assert [bounded(number) for number in (None, -1, 5, 10**30)] == [0, 0, 5, MOST]


def test_totals_of_tokens() -> None:
    tokens = Tokens(fresh_input=1, cache_read=2, cache_write=4, output=8, reasoning=16)
    assert (tokens.input_total, tokens.output_total, tokens.total) == (7, 24, 31)
