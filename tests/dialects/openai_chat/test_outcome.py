"""Finish reasons and usage of the chat wire."""

import pytest
from hypothesis import given

from cliproxy.dialects.openai_chat.outcome import (
    decode_ending,
    decode_usage,
    encode_reason,
    encode_usage,
    is_known,
    weight,
)
from cliproxy.ir.response import Ending, FinishReason, Usage
from support import ir_strategies
from support.grammar_openai import FINISH_REASONS, check_usage


@pytest.mark.parametrize(
    ("word", "calls", "refusal", "reason"),
    [
        ("stop", False, False, FinishReason.STOP),
        ("stop", True, False, FinishReason.TOOL_CALLS),
        ("stop", False, True, FinishReason.REFUSAL),
        ("tool_calls", True, False, FinishReason.TOOL_CALLS),
        ("tool_calls", False, False, FinishReason.STOP),
        ("function_call", True, False, FinishReason.TOOL_CALLS),
        ("length", True, False, FinishReason.LENGTH),
        ("LENGTH", False, False, FinishReason.LENGTH),
        ("content_filter", False, False, FinishReason.CONTENT_FILTER),
        ("insufficient_system_resource", False, False, FinishReason.ERROR),
        ("", False, False, FinishReason.STOP),
        ("end_turn", False, False, FinishReason.STOP),
    ],
)
def test_reading_a_reason(word, calls, refusal, reason):
    assert decode_ending(word, has_calls=calls, has_refusal=refusal) == Ending(reason, word)


@pytest.mark.parametrize(
    ("reason", "calls", "refusal", "word"),
    [
        (FinishReason.STOP, False, False, "stop"),
        (FinishReason.STOP, True, False, "tool_calls"),
        (FinishReason.STOP_SEQUENCE, False, False, "stop"),
        (FinishReason.LENGTH, True, False, "length"),
        (FinishReason.TOOL_CALLS, True, False, "tool_calls"),
        (FinishReason.TOOL_CALLS, False, False, "stop"),
        (FinishReason.CONTENT_FILTER, False, False, "content_filter"),
        (FinishReason.REFUSAL, False, False, "content_filter"),
        (FinishReason.REFUSAL, False, True, "stop"),
        (FinishReason.PAUSE, False, False, "stop"),
        (FinishReason.ERROR, False, False, "stop"),
        (FinishReason.CANCELLED, False, False, "stop"),
    ],
)
def test_writing_a_reason(reason, calls, refusal, word):
    assert encode_reason(Ending(reason), has_calls=calls, has_refusal=refusal) == word
    assert word in FINISH_REASONS


USAGES = {
    "vendor": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 7,
            "total_tokens": 107,
            "prompt_tokens_details": {"cached_tokens": 85},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(15, 85, None, 4, 3, 107),
    ),
    "zeros are said": (
        {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}},
        Usage(0, 0, None, 0, None, None),
    ),
    "cache creation": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_creation_tokens": 5},
        },
        Usage(95, None, 5, 1, None, None),
    ),
    "names of the other dialect": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
        Usage(6, 4, None, 3, 2, None),
    ),
    "cache hits at the top": (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4, "reasoning_tokens": 1},
        Usage(6, 4, None, 4, 1, None, {"openai": {"prompt_cache_hit_tokens": 4, "reasoning_tokens": 1}}),
    ),
    "reasoning counted apart": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 115,
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        Usage(10, None, None, 5, 100, 115),
    ),
    "small reasoning counted apart": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 17,
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        Usage(10, None, None, 5, 2, 17),
    ),
    "more cached than there is": (
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 12}},
        Usage(0, 12, None, 1, None, None),
    ),
    "negative": ({"prompt_tokens": -1, "completion_tokens": 2}, Usage(0, None, None, 2, None, None)),
    "only a prompt": ({"prompt_tokens": 3}, Usage(3, None, None, None, None, None)),
    "only a total": ({"total_tokens": 3}, Usage(reported_total=3)),
    "nothing": ({}, None),
    "nulls": ({"prompt_tokens": None, "total_tokens": 0}, None),
}


@pytest.mark.parametrize(("wire", "usage"), USAGES.values(), ids=USAGES.keys())
def test_reading_usage(wire, usage):
    assert decode_usage(wire) == usage


@given(ir_strategies.usages)
def test_counts_are_conserved(usage):
    written = check_usage(encode_usage(usage))
    again = decode_usage(written)
    assert again is not None
    assert (again.input_total, again.output_total) == (usage.input_total, usage.output_total)
    assert (again.cache_read, again.cache_write, again.reasoning) == (
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
    )


def test_what_else_a_server_counts_is_written_as_it_came():
    wire = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1},
        "cost": 0.25,
    }
    usage = decode_usage(wire)
    assert (usage.fresh_input, usage.output, usage.reasoning) == (6, 3, 2)
    assert encode_usage(usage) == wire
    assert usage.extras["openai"]["prompt_tokens_details"] == {"audio_tokens": 3}


def test_details_are_written_only_where_known():
    assert encode_usage(Usage(fresh_input=1, output=2)) == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
    }


def test_claude_counts_in_chat_words():
    """The prompt of this wire includes what was read from the cache and what was written to it."""
    written = encode_usage(Usage(fresh_input=10, cache_write=5, cache_read=85, output=7))
    assert written["prompt_tokens"] == 100
    assert written["total_tokens"] == 107
    assert written["prompt_tokens_details"] == {"cached_tokens": 85, "cached_creation_tokens": 5}


def test_unknown_usage():
    assert not is_known(Usage())
    assert is_known(Usage(output=0))


def test_more_telling_reasons_weigh_more():
    """A truncated answer stays one, whatever follows; calls were more than a stop."""
    assert (
        weight("eos") == weight("stop") < weight("tool_calls") < weight("length") == weight("content_filter")
    )
