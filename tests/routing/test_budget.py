"""Limits of client keys: who is let in, when to come back, and that nothing is granted twice."""

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.entries import ClientKey
from cliproxy.routing.budget import (
    DAY_S,
    NOTHING,
    Account,
    Amount,
    Denial,
    Limit,
    Moment,
    Reservation,
    Span,
    Sum,
    Unit,
    bounds,
    explained,
    limits_of,
)

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp()
PER_MINUTE = Limit(Unit.TOKENS, Span.MINUTE, 100)
PER_DAY = Limit(Unit.TOKENS, Span.DAY, 100)


def at(seconds: float = 0.0, *, wall: float | None = None) -> Moment:
    """So many seconds after the start, which was at noon."""
    return Moment(1000 + seconds, NOON + seconds if wall is None else wall)


def let_in(account: Account, tokens: int, when: Moment, micros: int = 0) -> Reservation:
    got = account.reserve(Amount(tokens=tokens, micros=micros), when)
    assert isinstance(got, Reservation), got
    return got


def refused(account: Account, tokens: int, when: Moment, micros: int = 0) -> Denial:
    got = account.reserve(Amount(tokens=tokens, micros=micros), when)
    assert isinstance(got, Denial), got
    return got


def test_limits_are_those_of_the_entry() -> None:
    entry = ClientKey(
        name="a", requests_per_minute=3, tokens_per_month=7, money_per_day=0.25, money_per_month=0
    )
    assert {limit.name: limit.most for limit in limits_of(entry)} == {
        "requests-per-minute": 3,
        "tokens-per-month": 7,
        "money-per-day": 250_000,
        "money-per-month": 0,
    }
    assert limits_of(ClientKey(name="a")) == ()


def test_requests_of_a_minute() -> None:
    account = Account((Limit(Unit.REQUESTS, Span.MINUTE, 2),))
    let_in(account, 0, at(0.5))
    let_in(account, 0, at(10)).settle(NOTHING, at(11))
    denial = refused(account, 0, at(20))
    assert (denial.used, denial.wait) == (2, 41.0)
    refused(account, 0, at(60.9))
    let_in(account, 0, at(61))
    refused(account, 0, at(62))
    let_in(account, 0, at(71))


def test_a_refused_request_does_not_count() -> None:
    account = Account((Limit(Unit.REQUESTS, Span.MINUTE, 5), PER_DAY))
    let_in(account, 100, at())
    for _ in range(9):
        assert refused(account, 1, at()).limit is PER_DAY
    assert account.sums()[0].requests == 1


def test_tokens_count_for_a_minute_after_they_were_used() -> None:
    """An answer that takes long keeps its share until it is settled."""
    account = Account((PER_MINUTE,))
    long = let_in(account, 60, at(0))
    denial = refused(account, 50, at(90))
    assert (denial.used, denial.held, denial.asked, denial.wait) == (0, 60, 50, 1.0)
    long.settle(Amount(tokens=80), at(100))
    let_in(account, 30, at(120)).settle(Amount(tokens=30), at(121))
    assert refused(account, 1, at(122)).wait == 39.0
    let_in(account, 80, at(161))


def test_who_is_alone_may_use_what_is_left() -> None:
    """Nothing is lost at the end of a limit, and no request is too large to be made at all."""
    account = Account((PER_MINUTE,))
    let_in(account, 1000, at(0)).settle(Amount(tokens=90), at(1))
    large = let_in(account, 1000, at(2))
    assert [amount for _, amount in large.held] == [10]
    assert refused(account, 1, at(3)).wait == 1.0
    large.settle(Amount(tokens=1000), at(4))
    assert refused(account, 1, at(5)).wait == 60.0
    let_in(account, 1000, at(65))


@pytest.mark.parametrize(("span", "ends"), [(Span.DAY, 12 * 3600), (Span.MONTH, (16 * 24 + 12) * 3600)])
@pytest.mark.parametrize("unit", [Unit.TOKENS, Unit.MONEY])
def test_days_and_months_begin_anew_in_utc(unit: Unit, span: Span, ends: float) -> None:
    account = Account((Limit(unit, span, 100),))
    let_in(account, 90, at(), 90).settle(Amount(tokens=105, micros=105), at(5))
    denial = refused(account, 10, at(7), 10)
    assert (denial.used, denial.wait) == (105, ends - 7)
    refused(account, 10, at(ends - 1), 10)
    let_in(account, 10, at(ends), 10)


def test_what_a_request_uses_belongs_to_the_day_it_began_in() -> None:
    account = Account((PER_DAY,))
    over_midnight = let_in(account, 50, at(12 * 3600 - 1))
    let_in(account, 100, at(12 * 3600)).settle(Amount(tokens=70), at(12 * 3600))
    over_midnight.settle(Amount(tokens=999), at(12 * 3600 + 5))
    let_in(account, 15, at(12 * 3600 + 6))
    let_in(account, 15, at(12 * 3600 + 6))


def test_a_clock_that_jumps_finds_what_it_left() -> None:
    account = Account((PER_DAY,))
    let_in(account, 90, at()).settle(Amount(tokens=100), at())
    for away in (DAY_S, -DAY_S, 365 * DAY_S):
        let_in(account, 20, at(1, wall=NOON + away)).settle(NOTHING, at(1, wall=NOON + away))
        refused(account, 20, at(2))


def test_a_clock_that_jumps_changes_nothing_about_minutes() -> None:
    account = Account((Limit(Unit.REQUESTS, Span.MINUTE, 1),))
    let_in(account, 0, at(0))
    refused(account, 0, at(1, wall=NOON + 3600))
    refused(account, 0, at(2, wall=NOON - 3600))
    let_in(account, 0, at(61, wall=NOON - 3600))


def test_the_longest_wait_is_named() -> None:
    account = Account((PER_MINUTE, PER_DAY))
    let_in(account, 100, at()).settle(Amount(tokens=100), at())
    assert refused(account, 1, at()).limit is PER_DAY


def test_no_money_at_all() -> None:
    account = Account((Limit(Unit.MONEY, Span.DAY, 0),))
    let_in(account, 1000, at(), 0)
    assert refused(account, 1000, at(), 1).used == 0


def test_other_limits_find_what_was_used() -> None:
    account = Account()
    let_in(account, 10, at()).settle(Amount(tokens=100, micros=5), at())
    account.limits = (PER_DAY,)
    refused(account, 20, at())
    account.limits = (Limit(Unit.TOKENS, Span.DAY, 200),)
    let_in(account, 20, at())


def test_a_reservation_is_settled_once() -> None:
    account = Account((PER_DAY,))
    share = let_in(account, 60, at())
    share.settle(Amount(tokens=10), at())
    share.settle(Amount(tokens=10), at())
    assert account.sums()[0].tokens == 10
    let_in(account, 50, at())
    let_in(account, 40, at())
    refused(account, 1, at())


def test_counts_outlive_a_restart() -> None:
    account = Account((PER_DAY,))
    share = let_in(account, 60, at(), 7)
    assert account.unsaved() == []
    share.settle(Amount(tokens=70, micros=7), at())
    saved = account.unsaved()
    assert account.unsaved() == []
    midnight = int(NOON) - 12 * 3600
    assert saved == [
        Sum(span=Span.DAY, start=midnight, requests=1, tokens=70, micros=7),
        Sum(span=Span.MONTH, start=midnight - 14 * DAY_S, requests=1, tokens=70, micros=7),
    ]
    again = Account((PER_DAY,))
    again.restore(saved)
    assert again.unsaved() == []
    let_in(again, 20, at())
    assert refused(again, 20, at()).used == 70
    tomorrow = Account((PER_DAY,))
    tomorrow.restore(saved)
    let_in(tomorrow, 40, at(wall=NOON + DAY_S)).settle(NOTHING, at(wall=NOON + DAY_S))
    day, month = tomorrow.unsaved()
    assert (day.tokens, day.start, month.tokens) == (0, midnight + DAY_S, 70)


def test_counts_that_come_late_are_added() -> None:
    """The database may be locked when the server starts."""
    saved = [
        Sum(span=Span.DAY, start=int(NOON) - 12 * 3600, requests=2, tokens=70, micros=7),
        Sum(span=Span.MINUTE, start=int(NOON), requests=9, tokens=9, micros=9),
    ]
    account = Account((PER_DAY,))
    let_in(account, 5, at()).settle(Amount(tokens=20), at())
    account.unsaved()
    account.restore(saved)
    [late] = account.unsaved()
    assert (late.span, late.requests, late.tokens, late.micros) == (Span.DAY, 3, 90, 7)
    tomorrow = Account((PER_DAY,))
    let_in(tomorrow, 5, at(wall=NOON + DAY_S)).settle(Amount(tokens=20), at())
    tomorrow.restore(saved)
    assert tomorrow.unsaved()[0].tokens == 20


@given(st.integers(0, 60_000))
def test_every_day_is_in_its_month(day: int) -> None:
    both = bounds(day)
    (start, end), (first, last) = both[Span.DAY], both[Span.MONTH]
    date = datetime.fromtimestamp(start, UTC)
    assert first <= start < end <= last
    assert datetime.fromtimestamp(first, UTC) == date.replace(day=1)
    after = datetime.fromtimestamp(last, UTC)
    assert (after.day, after.hour, (after.month - date.month) % 12) == (1, 0, 1)


@pytest.mark.parametrize(
    ("denial", "said"),
    [
        (
            Denial(limit=Limit(Unit.REQUESTS, Span.MINUTE, 3), used=3, held=0, asked=1, wait=4.2),
            "The API key `bob` has reached its limit `requests-per-minute`, 3 in 60 seconds: 3 used. "
            "Try again in 5 s.",
        ),
        (
            Denial(limit=PER_DAY, used=90, held=5, asked=20, wait=60),
            "The API key `bob` has reached its limit `tokens-per-day`, 100 in a day (UTC): 90 used, "
            "5 reserved by requests under way, about 20 needed for this request. Try again in 60 s.",
        ),
        (
            Denial(
                limit=Limit(Unit.MONEY, Span.MONTH, 2_500_000), used=2_499_000, held=0, asked=1200, wait=1
            ),
            "The API key `bob` has reached its limit `money-per-month`, 2.50 USD in a month (UTC): "
            "2.50 USD used, about 0.0012 USD needed for this request. Try again in 1 s.",
        ),
    ],
)
def test_a_refusal_names_the_limit_and_its_state(denial: Denial, said: str) -> None:
    assert explained(denial, "bob") == said


# --- nothing is granted twice -------------------------------------------------------------------------------

LIMITS = st.builds(
    lambda kind, most: Limit(*kind, most),
    st.sampled_from(
        [
            (Unit.REQUESTS, Span.MINUTE),
            *((Unit.TOKENS, span) for span in Span),
            (Unit.MONEY, Span.DAY),
            (Unit.MONEY, Span.MONTH),
        ]
    ),
    st.integers(1, 60),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "settle", "release"]),
        st.floats(0, 30, allow_nan=False),
        st.integers(0, 40),
        st.integers(-20, 20),
        st.sampled_from([0.0] * 8 + [3600.0, -3600.0, float(DAY_S)]),
    ),
    max_size=60,
)


@define
class Watcher:
    """Remembers what was granted, used, and estimated too low."""

    account: Account
    steady: float = 1000.0
    wall: float = NOON
    under_way: list[tuple[Reservation, int, float]] = field(factory=list)
    begun: list[float] = field(factory=list)
    used: list[tuple[float, float, int]] = field(factory=list)
    """(steady time of the settling, wall time of the beginning, amount)."""
    too_low: int = 0

    @property
    def moment(self) -> Moment:
        return Moment(self.steady, self.wall)

    def step(self, what: str, amount: int, error: int) -> None:
        if what == "ask":
            got = self.account.reserve(Amount(tokens=amount, micros=amount), self.moment)
            if isinstance(got, Reservation):
                self.under_way.append((got, amount, self.wall))
                self.begun.append(self.steady)
            else:
                assert got.wait >= 1
        elif self.under_way:
            share, asked, begun = self.under_way.pop(0)
            real = max(asked + error, 0) if what == "settle" else 0
            share.settle(Amount(tokens=real, micros=real), self.moment)
            self.used.append((self.steady, begun, real))
            self.too_low += max(real - min((amount for _, amount in share.held), default=0), 0)

    def check(self, limit: Limit) -> None:
        if limit.unit is Unit.REQUESTS:
            for start in self.begun:
                assert sum(start <= time < start + 60 for time in self.begun) <= limit.most
        elif limit.span is Span.MINUTE:
            for start, _, _ in self.used:
                within = sum(amount for time, _, amount in self.used if start <= time < start + 60)
                assert within <= limit.most + self.too_low
        else:
            periods: dict[tuple[int, int], int] = {}
            for _, wall, amount in self.used:
                period = bounds(int(wall // DAY_S))[limit.span]
                periods[period] = periods.get(period, 0) + amount
            assert all(amount <= limit.most + self.too_low for amount in periods.values())


@given(st.lists(LIMITS, min_size=1, max_size=4), STEPS)
def test_no_more_is_used_in_any_time_than_allowed_and_estimated_too_low(
    limits: list[Limit], steps: list[tuple[str, float, int, int, Any]]
) -> None:
    watcher = Watcher(Account(tuple(limits)))
    for what, pause, amount, error, jump in steps:
        watcher.steady += pause
        watcher.wall += pause + jump
        watcher.step(what, amount, error)
    for limit in limits:
        watcher.check(limit)


@given(st.lists(LIMITS, min_size=1, max_size=4), STEPS)
def test_once_everything_is_settled_nothing_is_reserved(
    limits: list[Limit], steps: list[tuple[str, float, int, int, Any]]
) -> None:
    watcher = Watcher(Account(tuple(limits)))
    for what, pause, amount, error, jump in steps:
        watcher.steady += pause
        watcher.wall += pause + jump
        watcher.step(what, amount, error)
    for share, _, _ in watcher.under_way:
        share.settle(NOTHING, watcher.moment)
    watcher.steady += 1000
    watcher.wall += 62 * DAY_S
    last = watcher.account.reserve(Amount(tokens=10**9, micros=10**9), watcher.moment)
    assert isinstance(last, Reservation)
