"""One line for each exchange."""

import json
import logging

import pytest

from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.cause import EndedBy, Phase
from cliproxy.exchange.record import AttemptNote, Outcome, Pace
from cliproxy.ir.response import Usage
from cliproxy.observe.lines import JsonFormatter
from cliproxy.service.exchangelog import log_record
from support.records import record

FAILURE = Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="out of credits")
NOTE = AttemptNote(
    provider="p",
    credential="a",
    contract="only",
    model="up",
    outcome=Outcome.ERROR,
    failure=FAILURE,
    started=0.0,
    duration=0.5,
)
SERVED = AttemptNote(
    provider="q",
    credential="b",
    contract="only",
    model="other",
    outcome=Outcome.OK,
    started=0.0,
    duration=0.5,
)


def test_an_answer_is_one_line_with_all_there_is_to_know(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pace = Pace()
    pace.waited(0.25)
    usage = Usage(fresh_input=3, cache_read=4, output=5, reasoning=6)
    log_record(record(Outcome.OK, attempts=(NOTE, SERVED), usage=usage, first_byte=0.1234, pace=pace))
    [line] = caplog.records
    assert line.levelno == logging.INFO
    assert line.getMessage() == (
        "exchange outcome=ok cause=-- status=200 kind=- request_id=req-1 client=***cdef dialect=openai "
        "action=generate stream=1 model=m served=other provider=q credential=b attempts=2 input=7 cached=4 "
        "output=11 first_byte=0.123 longest_wait=0.25 seconds=1.5 error=-"
    )


def test_a_failure_says_why(caplog: pytest.LogCaptureFixture) -> None:
    facts = {"ended_by": EndedBy.UPSTREAM, "phase": Phase.BODY}
    log_record(record(Outcome.ERROR, status=429, kind=Kind.QUOTA, attempts=(NOTE, NOTE), **facts))
    [line] = caplog.records
    assert line.levelno == logging.WARNING
    for part in ("outcome=error cause=UB status=429 kind=quota", "attempts=2", 'error="out of credits"'):
        assert part in line.getMessage()


def test_a_client_that_left_is_worth_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    facts = {"ended_by": EndedBy.CLIENT, "phase": Phase.DATA}
    log_record(record(Outcome.CANCELLED, status=499, kind=Kind.CANCELLED, **facts))
    [line] = caplog.records
    assert line.levelno == logging.INFO
    assert "cause=CD" in line.getMessage()


def test_programs_read_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_record(record(Outcome.OK, attempts=(SERVED,)))
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (line["event"], line["cause"], line["seconds"], line["stream"]) == ("exchange", "--", 1.5, True)
    assert line["first_byte"] is None


def test_losses_are_told_to_those_who_want_every_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log_record(record(Outcome.OK, notes=("`seed` is not carried",)))
    assert [(line.levelno, line.getMessage()) for line in caplog.records[1:]] == [
        (logging.DEBUG, "not carried request_id=req-1 `seed` is not carried")
    ]


def test_a_quiet_log_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "cliproxy.service.exchangelog")
    log_record(record(Outcome.OK))
    assert caplog.records == []
