"""What a client key may use up, and what it has: limits per minute, day and month.

**Reserve, then settle.** What a request will cost is not known before it is answered. So an estimate is
*reserved* before anything is sent, and at the end *settled*: taken back, and what was really used put in its
place. A request is let in when what was used, what others have reserved and its own estimate together stay
within every limit. However many requests run at the same time, a limit is therefore overrun by no more than
the estimates were too low. A request that is alone reserves no more than what is left: so a limit can be used
up to its end, one request at a time, and a request that is larger than a whole limit can be made at all.

**Minutes** slide: what counts is the last 60 seconds, in steps of one. A request counts when it begins, its
tokens when they are settled; until then they are reserved, however long the answer takes. The clock for this
is one that is never set.

**Days and months** are those of the calendar in UTC. What a request uses belongs to the day and the month in
which it began. Each day and month keeps its own sum, so a wall clock that jumps and comes back finds what it
left: nothing is forgiven, and no sum stays behind in a future that does not come.

Money is counted in millionths of a dollar.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from math import ceil
from typing import Final

from attrs import define, field, frozen

from cliproxy.config.entries import ClientKey

MINUTE_S: Final = 60
DAY_S: Final = 86_400
MICROS: Final = 1_000_000
"""Of a dollar."""
SOON_S: Final = 1.0
"""When to come back where requests under way decide; nobody can know."""
PERIODS_KEPT: Final = 3
"""Of each length: those last used. Clocks that are set go back to one of them."""


class Unit(StrEnum):
    """What is limited."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MONEY = "money"


class Span(StrEnum):
    """In which time."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


@frozen
class Limit:
    """So much in such a time."""

    unit: Unit
    span: Span
    most: int

    @property
    def name(self) -> str:
        """The limit's key in the configuration."""
        return f"{self.unit}-per-{self.span}"


@frozen(kw_only=True)
class Amount:
    """What a request uses, or is thought to use, besides being one."""

    tokens: int = 0
    micros: int = 0


NOTHING: Final = Amount()


@frozen
class Moment:
    """Now, by both clocks."""

    steady: float
    """Seconds of a clock that is never set."""
    wall: float
    """Unix seconds."""


def limits_of(entry: ClientKey) -> tuple[Limit, ...]:
    """Return the limits that a client key has."""
    said = {
        (Unit.REQUESTS, Span.MINUTE): entry.requests_per_minute,
        (Unit.TOKENS, Span.MINUTE): entry.tokens_per_minute,
        (Unit.TOKENS, Span.DAY): entry.tokens_per_day,
        (Unit.TOKENS, Span.MONTH): entry.tokens_per_month,
        (Unit.MONEY, Span.DAY): _micros(entry.money_per_day),
        (Unit.MONEY, Span.MONTH): _micros(entry.money_per_month),
    }
    return tuple(Limit(unit, span, most) for (unit, span), most in said.items() if most is not None)


def _micros(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * MICROS)


# --- counting -----------------------------------------------------------------------------------------------


@define(eq=False)
class Count:
    """How much was used of something up to an end, and how much is reserved."""

    end: float = 0.0
    """When it begins anew, in Unix seconds."""
    used: int = 0
    held: int = 0

    def catch_up(self, at: Moment) -> None:
        """Forget what is too old."""

    def add(self, amount: int, _at: Moment) -> None:
        """Count something that was used."""
        self.used += amount

    def wait(self, _amount: int, at: Moment) -> float:
        """Return the seconds until so much of it counts no more."""
        return self.end - at.wall


@define(eq=False)
class Recent(Count):
    """How much was used in the last 60 seconds."""

    _steps: deque[tuple[int, int]] = field(factory=deque, init=False)
    """(second, amount), oldest first."""

    def catch_up(self, at: Moment) -> None:
        """Forget what is older than 60 seconds."""
        while self._steps and self._steps[0][0] + MINUTE_S + 1 <= at.steady:
            self.used -= self._steps.popleft()[1]

    def add(self, amount: int, at: Moment) -> None:
        """Count something that was used just now."""
        self.used += amount
        second = int(at.steady)
        if self._steps and self._steps[-1][0] >= second:
            second, before = self._steps.pop()
            amount += before
        self._steps.append((second, amount))

    def wait(self, amount: int, at: Moment) -> float:
        """Return the seconds until so much of it is forgotten."""
        for second, step in self._steps:
            amount -= step
            if amount <= 0:
                return second + MINUTE_S + 1 - at.steady
        return SOON_S


@define(eq=False)
class Period:
    """A day or a month, and what was used in it."""

    span: Span
    start: int
    """Unix seconds."""
    tokens: Count
    money: Count
    requests: int = 0
    is_saved: bool = True

    def count(self, unit: Unit) -> Count:
        """Return the count of something that can be reserved."""
        return self.tokens if unit is Unit.TOKENS else self.money


@frozen(kw_only=True)
class Sum:
    """A period's counts, to be kept over a restart."""

    span: Span
    start: int
    """Unix seconds."""
    requests: int
    tokens: int
    micros: int


@lru_cache(maxsize=4)
def bounds(day: int) -> Mapping[Span, tuple[int, int]]:
    """Return the day and the month of a day since 1970, as (start, end) in Unix seconds."""
    date = datetime.fromtimestamp(day * DAY_S, UTC)
    first = date.replace(day=1)
    next_first = (first + timedelta(days=31)).replace(day=1)
    return {
        Span.DAY: (day * DAY_S, (day + 1) * DAY_S),
        Span.MONTH: (int(first.timestamp()), int(next_first.timestamp())),
    }


# --- decisions ----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Denial:
    """Why a request is not let in."""

    limit: Limit
    used: int
    held: int
    asked: int
    wait: float
    """Seconds after which it is worth trying again."""


@define(eq=False)
class Reservation:
    """The share of a request under way. It is settled once; after that nothing happens any more."""

    held: list[tuple[Count, int]]
    _periods: tuple[Period, ...]
    _minute: Recent | None
    _is_open: bool = field(default=True, init=False)

    def settle(self, used: Amount, at: Moment) -> None:
        """Put what was really used in the place of the estimate."""
        if not self._is_open:
            return
        self._is_open = False
        for count, amount in self.held:
            count.held -= amount
        if self._minute is not None:
            self._minute.add(used.tokens, at)
        for period in self._periods:
            period.tokens.used += used.tokens
            period.money.used += used.micros
            period.is_saved = False


@define(eq=False)
class Account:
    """What one client key has used and has reserved."""

    limits: tuple[Limit, ...] = ()
    """May be replaced at any time; the counts stay."""
    _requests: Recent = field(factory=Recent, init=False)
    _tokens: Recent = field(factory=Recent, init=False)
    _periods: dict[Span, list[Period]] = field(factory=lambda: {Span.DAY: [], Span.MONTH: []}, init=False)
    """Those last used, newest use last."""

    def reserve(self, asked: Amount, at: Moment) -> Reservation | Denial:
        """Let a request in and reserve what it is thought to use, or say why not."""
        day, month = self._current(at)
        shares: list[tuple[Limit, Count, int]] = []
        denials: list[Denial] = []
        for limit in self.limits:
            count = self._count(limit, day, month)
            count.catch_up(at)
            shares.append((limit, count, share := _share(limit, count, asked)))
            if share and count.used + count.held + share > limit.most:
                denials.append(_denied(limit, count, share, at))
        if denials:
            return max(denials, key=lambda denial: denial.wait)
        held: list[tuple[Count, int]] = []
        for limit, count, share in shares:
            if limit.unit is Unit.REQUESTS:
                count.add(1, at)
            else:
                count.held += share
                held.append((count, share))
        for period in (day, month):
            period.requests += 1
        is_counted = any(limit.unit is Unit.TOKENS and limit.span is Span.MINUTE for limit in self.limits)
        return Reservation(held, (day, month), self._tokens if is_counted else None)

    def _count(self, limit: Limit, day: Period, month: Period) -> Count:
        if limit.span is Span.MINUTE:
            return self._requests if limit.unit is Unit.REQUESTS else self._tokens
        return (day if limit.span is Span.DAY else month).count(limit.unit)

    def _current(self, at: Moment) -> tuple[Period, Period]:
        today = bounds(int(at.wall // DAY_S))
        return self._period(Span.DAY, *today[Span.DAY]), self._period(Span.MONTH, *today[Span.MONTH])

    def _period(self, span: Span, start: int, end: int) -> Period:
        kept = self._periods[span]
        if kept and kept[-1].start == start:
            return kept[-1]
        found = next((period for period in kept if period.start == start), None)
        found = found or Period(span, start, Count(end), Count(end))
        self._periods[span] = [*(period for period in kept if period is not found), found][-PERIODS_KEPT:]
        return found

    # --- over restarts ------------------------------------------------------------------------------------

    def restore(self, saved: Iterable[Sum]) -> None:
        """Go on from counts that were kept: add them to what was counted since."""
        for each in saved:
            kept = self._periods.get(each.span)
            if kept is not None:
                start, end = bounds(each.start // DAY_S)[each.span]
                period = next((period for period in kept if period.start == start), None)
                if period is None:
                    period = Period(each.span, start, Count(end), Count(end))
                    kept.insert(0, period)
                else:
                    period.is_saved = False
                period.requests += each.requests
                period.tokens.used += each.tokens
                period.money.used += each.micros

    def unsaved(self) -> list[Sum]:
        """Return the counts that have changed since they were last asked for: of each length the period that
        was used last."""
        changed = [kept[-1] for kept in self._periods.values() if kept and not kept[-1].is_saved]
        for period in changed:
            period.is_saved = True
        return [_sum(period) for period in changed]

    def sums(self) -> list[Sum]:
        """Return the counts of the day and the month that were used last."""
        return [_sum(kept[-1]) for kept in self._periods.values() if kept]


def _sum(period: Period) -> Sum:
    return Sum(
        span=period.span,
        start=period.start,
        requests=period.requests,
        tokens=period.tokens.used,
        micros=period.money.used,
    )


def _share(limit: Limit, count: Count, asked: Amount) -> int:
    """Return how much of a limit a request is to reserve."""
    if limit.unit is Unit.REQUESTS:
        return 1
    amount = asked.tokens if limit.unit is Unit.TOKENS else asked.micros
    left = limit.most - count.used
    return min(amount, left) if left > 0 and not count.held else amount


def _denied(limit: Limit, count: Count, share: int, at: Moment) -> Denial:
    is_used_up = count.used >= limit.most
    wait = count.wait(count.used - limit.most + 1, at) if is_used_up else SOON_S
    return Denial(limit=limit, used=count.used, held=count.held, asked=share, wait=max(wait, SOON_S))


def explained(denial: Denial, name: str) -> str:
    """Say why a request of a key is not let in."""
    limit = denial.limit
    time = "in 60 seconds" if limit.span is Span.MINUTE else f"in a {limit.span} (UTC)"
    state = [f"{shown(limit.unit, denial.used)} used"]
    if denial.held:
        state.append(f"{shown(limit.unit, denial.held)} reserved by requests under way")
    if limit.unit is not Unit.REQUESTS:
        state.append(f"about {shown(limit.unit, denial.asked)} needed for this request")
    return (
        f"The API key `{name}` has reached its limit `{limit.name}`, {shown(limit.unit, limit.most)} {time}: "
        f"{', '.join(state)}. Try again in {ceil(denial.wait)} s."
    )


def shown(unit: Unit, amount: int) -> str:
    """Write an amount for people."""
    if unit is not Unit.MONEY:
        return str(amount)
    dollars = amount / MICROS
    return f"{dollars:.2f} USD" if dollars >= 1 or not amount else f"{dollars:.6f}".rstrip("0") + " USD"
