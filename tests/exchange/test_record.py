"""One record for each exchange, with the facts of the moment it ended."""

import pytest

from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.record import Attempted, ExchangeRecord, Outcome, Recorder
from cliproxy.ir.response import Usage

AT = Attempted(provider="p", credential="a", contract="only", model="m")
FAILURE = Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="empty")


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records() -> list[ExchangeRecord]:
    return []


@pytest.fixture
def recorder(clock: Clock, records: list[ExchangeRecord]) -> Recorder:
    return Recorder(
        sink=records.append,
        wall=lambda: 1_700_000_000.0,
        monotonic=clock,
        request_id="req-1",
        client="***cdef",
        dialect="openai",
        action="generate",
        model="m(high)",
        stream=True,
    )


def test_the_first_end_is_the_end(recorder: Recorder, records: list[ExchangeRecord]) -> None:
    recorder.finish(Outcome.ERROR, 502, Kind.UPSTREAM)
    recorder.finish(Outcome.OK)
    recorder.finish(Outcome.CANCELLED, 499, Kind.CANCELLED)
    assert [(record.outcome, record.status, record.kind) for record in records] == [
        (Outcome.ERROR, 502, Kind.UPSTREAM)
    ]


def test_times_are_measured_from_the_start(
    clock: Clock, recorder: Recorder, records: list[ExchangeRecord]
) -> None:
    clock.now += 2
    recorder.first_byte()
    clock.now += 3
    recorder.first_byte()
    recorder.finish(Outcome.OK)
    [record] = records
    assert (record.started, record.first_byte, record.duration) == (1_700_000_000.0, 2.0, 5.0)


def test_without_a_byte_there_is_no_first_one(recorder: Recorder, records: list[ExchangeRecord]) -> None:
    recorder.finish(Outcome.ERROR, 404, Kind.NOT_FOUND)
    assert records[0].first_byte is None


def test_what_was_collected_is_kept_and_nothing_later(
    recorder: Recorder, records: list[ExchangeRecord]
) -> None:
    recorder.attempt_began()
    recorder.attempt_ended(AT, Outcome.ERROR, FAILURE)
    [note] = recorder.attempts
    recorder.notes.append("`seed` is not carried")
    recorder.usage = Usage(fresh_input=3, output=2)
    recorder.finish(Outcome.OK)
    recorder.attempts.clear()
    recorder.notes.append("late")
    recorder.usage = Usage()
    [record] = records
    assert record.attempts == (note,)
    assert record.notes == ("`seed` is not carried",)
    assert record.usage == Usage(fresh_input=3, output=2)
    assert (record.request_id, record.client, record.model) == ("req-1", "***cdef", "m(high)")


def test_every_attempt_has_its_own_times_status_and_usage(
    clock: Clock, recorder: Recorder, records: list[ExchangeRecord]
) -> None:
    clock.now += 1
    recorder.attempt_began()
    clock.now += 2
    recorder.head_came(429)
    recorder.usage = Usage(output=5)
    clock.now += 1
    recorder.attempt_ended(AT, Outcome.ERROR, FAILURE)
    recorder.attempt_began()
    clock.now += 4
    recorder.attempt_ended(AT, Outcome.OK)
    recorder.finish(Outcome.OK)
    [record] = records
    first, second = record.attempts
    assert (first.started, first.first_byte, first.duration) == (1_700_000_001.0, 2.0, 3.0)
    assert (first.status, first.failure, first.usage) == (429, FAILURE, Usage(output=5))
    assert (second.started, second.first_byte, second.duration) == (1_700_000_004.0, None, 4.0)
    assert (second.status, second.failure, second.usage) == (0, None, Usage())


@pytest.mark.parametrize(
    ("outcomes", "serves"),
    [
        ((), False),
        ((Outcome.ERROR, Outcome.OK), True),
        ((Outcome.ERROR,), False),
        ((Outcome.CANCELLED,), False),
    ],
)
def test_the_last_attempt_has_served_if_it_succeeded(
    recorder: Recorder, records: list[ExchangeRecord], outcomes: tuple[Outcome, ...], serves: bool
) -> None:
    for outcome in outcomes:
        recorder.attempt_began()
        recorder.attempt_ended(AT, outcome)
    recorder.finish(Outcome.OK)
    [record] = records
    assert record.served == (record.attempts[-1] if serves else None)


def test_a_part_shares_the_attempts_and_not_the_usage(recorder: Recorder) -> None:
    recorder.usage = Usage(output=1)
    part = recorder.part()
    part.attempt_began()
    part.usage = Usage(output=7)
    part.attempt_ended(AT, Outcome.OK)
    assert recorder.usage == Usage(output=1)
    assert [note.usage for note in recorder.attempts] == [Usage(output=7)]
