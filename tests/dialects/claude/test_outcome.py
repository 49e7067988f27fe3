"""Stop reasons and usage."""

import pytest
from hypothesis import given

from cliproxy.dialects.claude.outcome import (
    read_ending,
    read_later_usage,
    read_usage,
    write_ending,
    write_usage,
)
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject
from support.ir_strategies import usages


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("pause_turn", FinishReason.PAUSE),
        ("refusal", FinishReason.REFUSAL),
        ("sensitive", FinishReason.CONTENT_FILTER),
        ("something_new", FinishReason.STOP),
        ("", FinishReason.STOP),
    ],
)
def test_reading_reasons(word: str, reason: FinishReason) -> None:
    assert read_ending({"stop_reason": word, "stop_sequence": None}) == Ending(reason, word)


def test_reading_the_stop_sequence() -> None:
    ending = read_ending({"stop_reason": "stop_sequence", "stop_sequence": "END"})
    assert ending == Ending(FinishReason.STOP_SEQUENCE, "stop_sequence", "END")


@pytest.mark.parametrize(
    ("ending", "has_calls", "word"),
    [
        (Ending(FinishReason.STOP), False, "end_turn"),
        (Ending(FinishReason.STOP, "end_turn"), True, "tool_use"),
        (Ending(FinishReason.TOOL_CALLS), False, "end_turn"),
        (Ending(FinishReason.TOOL_CALLS), True, "tool_use"),
        (Ending(FinishReason.LENGTH), True, "max_tokens"),
        (Ending(FinishReason.LENGTH, "length"), False, "max_tokens"),
        (
            Ending(FinishReason.LENGTH, "model_context_window_exceeded"),
            False,
            "model_context_window_exceeded",
        ),
        (Ending(FinishReason.CONTENT_FILTER, "SAFETY"), False, "refusal"),
        (Ending(FinishReason.REFUSAL), False, "refusal"),
        (Ending(FinishReason.PAUSE), False, "pause_turn"),
        (Ending(FinishReason.ERROR), False, "end_turn"),
        (Ending(FinishReason.CANCELLED), False, "end_turn"),
        (Ending(FinishReason.ERROR), True, "tool_use"),
        (Ending(FinishReason.STOP, "max_tokens"), False, "end_turn"),
    ],
)
def test_writing_reasons(ending: Ending, has_calls: bool, word: str) -> None:
    assert write_ending(ending, has_calls=has_calls) == {"stop_reason": word, "stop_sequence": None}


@pytest.mark.parametrize(
    ("reason", "has_calls", "word"),
    [
        (FinishReason.STOP, False, "refusal"),
        (FinishReason.STOP, True, "tool_use"),
        (FinishReason.LENGTH, False, "max_tokens"),
    ],
)
def test_an_answer_that_refuses_in_words_ended_for_that(
    reason: FinishReason, has_calls: bool, word: str
) -> None:
    assert write_ending(Ending(reason), has_calls=has_calls, has_refusal=True)["stop_reason"] == word


def test_writing_the_stop_sequence() -> None:
    written = write_ending(Ending(FinishReason.STOP_SEQUENCE, stop_sequence="END"), has_calls=False)
    assert written == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 5,
                "cache_read_input_tokens": 85,
                "output_tokens": 7,
            },
            Usage(10, 85, 5, 7),
        ),
        ({"input_tokens": 1, "output_tokens": 9, "thinking_tokens": 4}, Usage(1, output=5, reasoning=4)),
        (
            {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 12}},
            Usage(output=0, reasoning=12),
        ),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}},
            Usage(
                cache_write=7,
                extras={
                    "claude": {
                        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
                    }
                },
            ),
        ),
        (
            {"input_tokens": 1, "service_tier": "standard", "server_tool_use": {"web_search_requests": 2}},
            Usage(
                1,
                extras={
                    "claude": {"service_tier": "standard", "server_tool_use": {"web_search_requests": 2}}
                },
            ),
        ),
        ({}, Usage()),
        ({"input_tokens": "many"}, Usage()),
    ],
)
def test_reading_usage(wire: JsonObject, usage: Usage) -> None:
    assert read_usage(wire) == usage


def test_zeros_at_the_end_do_not_wipe_the_start() -> None:
    known = Usage(fresh_input=10, cache_read=85, output=1)
    wire: JsonObject = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 7}
    assert known.merged(read_later_usage(wire, known)) == Usage(10, 85, None, 7)


def test_what_is_said_of_the_cost_at_the_start_stays_with_what_is_said_at_the_end() -> None:
    known = read_usage({"input_tokens": 10, "service_tier": "standard"})
    later = read_later_usage({"output_tokens": 7, "server_tool_use": {"web_search_requests": 1}}, known)
    assert write_usage(known.merged(later)) == {
        "input_tokens": 10,
        "output_tokens": 7,
        "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 1},
    }
    assert read_later_usage({"output_tokens": 7}, known) == Usage(output=7)


def test_zeros_are_news_where_nothing_was_known() -> None:
    assert read_later_usage({"input_tokens": 0, "output_tokens": 0}, Usage()) == Usage(0, output=0)


@pytest.mark.parametrize(
    ("usage", "wire"),
    [
        (
            Usage(15, 85, None, 7),
            {"input_tokens": 15, "cache_read_input_tokens": 85, "output_tokens": 7},
        ),
        (
            Usage(10, output=4, reasoning=6),
            {"input_tokens": 10, "output_tokens": 10, "output_tokens_details": {"thinking_tokens": 6}},
        ),
        (Usage(), {"input_tokens": 0, "output_tokens": 0}),
        (
            Usage(1, output=2, extras={"claude": {"service_tier": "batch"}, "openai": {"cost": 1}}),
            {"input_tokens": 1, "output_tokens": 2, "service_tier": "batch"},
        ),
    ],
)
def test_writing_usage(usage: Usage, wire: JsonObject) -> None:
    assert write_usage(usage) == wire


@given(usages)
def test_no_token_is_lost_or_counted_twice(usage: Usage) -> None:
    again = read_usage(write_usage(usage))
    assert (again.input_total, again.output_total) == (usage.input_total, usage.output_total)
    assert (again.cache_read, again.cache_write) == (usage.cache_read, usage.cache_write)
    assert (again.reasoning or 0) == (usage.reasoning or 0)
