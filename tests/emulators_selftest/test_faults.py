"""How script entries change the steps of an answer; no sockets."""

import zlib

import pytest

from emulators.faults import (
    FAULTS,
    Cut,
    Data,
    Drip,
    Entry,
    Finish,
    Head,
    Hold,
    Pause,
    Raw,
    Silence,
    operations,
    read_entry,
    replaced,
)
from emulators.values import Answer, Request, json_answer

EVENTS = (b"data: one\n\n", b"data: tw\xc3\xb6\n\n", b"data: three\n\n", b"data: [DONE]\n\n")
STREAM = Answer(pieces=EVENTS, is_stream=True, terminal=1, error_piece=b"data: error\n\n")


def steps(**spec):
    return operations(STREAM, read_entry(spec))[1:]


def sent(operations_):
    return [step.data for step in operations_ if isinstance(step, Data)]


def test_the_usual_answer_is_head_pieces_and_end():
    assert operations(STREAM) == [Head(200, (), None), *map(Data, EVENTS), Finish()]


def test_a_plain_answer_announces_its_length():
    head, *_ = operations(json_answer({"a": 1}))
    assert head.length == len(b'{"a":1}')


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"fault": "silence"}, [Silence()]),
        ({"fault": "close_before_head"}, [Cut("fin")]),
        ({"fault": "reset_before_head"}, [Cut("rst")]),
        ({"head_delay": 2, "cut": "fin", "cut_after": -1}, [Pause(2.0), Cut("fin")]),
    ],
)
def test_what_happens_before_the_head(spec, expected):
    assert operations(STREAM, read_entry(spec)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"fault": "head_then_silence"}, [Silence()]),
        ({"silence_after": 1}, [Data(EVENTS[0]), Silence()]),
        ({"cut": "fin", "cut_after": 1}, [Data(EVENTS[0]), Cut("fin")]),
        ({"cut": "end", "cut_after": 1}, [Data(EVENTS[0]), Finish()]),
        ({"hold_after": 4}, [*map(Data, EVENTS), Hold(), Finish()]),
        ({"fault": "half_event_fin"}, [Data(EVENTS[0]), Data(b"data: ", counts=False), Cut("fin")]),
        ({"empty": True}, [Finish()]),
        ({"coalesce": True}, [Data(b"".join(EVENTS)), Finish()]),
    ],
)
def test_where_a_body_stops(spec, expected):
    assert steps(**spec) == expected


def test_half_a_character_is_cut_inside_it():
    *_, half, pause, cut = steps(cut="rst", cut_after=0, half="utf8")
    assert half == Data(b"data: tw\xc3", counts=False)
    assert isinstance(pause, Pause)
    assert cut == Cut("rst")


def test_terminals_can_be_left_out_doubled_and_replaced_by_an_error():
    assert sent(steps(fault="no_terminal")) == list(EVENTS[:-1])
    assert sent(steps(fault="two_terminals")) == [*EVENTS, EVENTS[-1]]
    assert sent(steps(fault="error_event")) == [*EVENTS[:2], STREAM.error_piece]


def test_pace_waits_between_events_and_split_ignores_their_borders():
    paced = steps(pace=0.5)
    assert [type(step) for step in paced] == [Data, Pause, Data, Pause, Data, Pause, Data, Finish]
    pieces = sent(steps(split=3))
    assert b"".join(pieces) == b"".join(EVENTS)
    assert max(map(len, pieces)) == 3
    assert all(isinstance(step, Drip | Finish) for step in steps(fault="drip"))


def test_gzip_flushes_each_event():
    unpacker = zlib.decompressobj(wbits=31)
    first, *_ = sent(steps(fault="gzip"))
    assert unpacker.decompress(first) == EVENTS[0]


def test_a_broken_event_keeps_its_framing():
    broken = sent(steps(broken_event=2))[2]
    assert broken == b"data: " + b"\n\n" or broken.endswith(b"\n\n")
    assert broken != EVENTS[2]


def test_bytes_that_are_no_http():
    raw, cut = operations(STREAM, read_entry({"fault": "not_http"}))
    assert isinstance(raw, Raw)
    assert cut == Cut("fin")


def test_a_status_carries_the_reset_time_in_the_form_asked_for():
    def failure(status, details):
        return json_answer({"message": details.get("message")}, status)

    seconds = replaced(read_entry({"status": 429, "retry_after": 3, "message": "slow"}), failure, 0.0)
    assert ("retry-after", "3") in seconds.headers
    assert seconds.pieces == (b'{"message":"slow"}',)
    date = replaced(read_entry({"status": 503, "retry_after_date": 60}), failure, 0.0)
    assert ("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT") in date.headers
    assert replaced(read_entry({"pace": 1}), failure, 0.0) is None


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"path": "/chat"}, True),
        ({"path": "/other"}, False),
        ({"method": "post", "contains": "gpt-4o"}, True),
        ({"contains": "absent"}, False),
        ({"key": "sk-1"}, True),
        ({"key": "sk-2"}, False),
        ({"stream": False}, True),
        ({"stream": True}, False),
    ],
)
def test_an_entry_says_which_requests_it_is_for(when, fits):
    request = Request("POST", "/v1/chat?x=1", (("Authorization", "Bearer sk-1"),), b'{"model":"gpt-4o"}')
    assert read_entry({"status": 500, "when": when}).when.fits(request) is fits


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"fault": "unknown"},
        {"statuss": 1},
        {"turn": {"blocks": [{"tekst": ""}]}},
        {"turn": {"finish": "never"}},
        {"cut": "maybe"},
        {"status": 1, "when": {"weather": "fine"}},
    ],
)
def test_a_mistake_in_a_script_is_named(spec):
    with pytest.raises(ValueError, match=r"unknown|takes|one of"):
        read_entry(spec)


def test_every_named_fault_is_valid():
    assert all(isinstance(read_entry({"fault": name}), Entry) for name in FAULTS)
