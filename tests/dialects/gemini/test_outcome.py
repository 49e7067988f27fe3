"""Finish reasons and counts."""

import pytest
from hypothesis import given

from cliproxy.dialects.gemini.outcome import blocked, decode_ending, decode_usage, encode_ending, encode_usage
from cliproxy.ir.response import Ending, FinishReason, Usage
from support.ir_strategies import endings, usages


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("MALFORMED_FUNCTION_CALL", FinishReason.ERROR),
        ("OTHER", FinishReason.ERROR),
        ("SOMETHING_NEW", FinishReason.STOP),
    ],
)
def test_reading_and_writing_a_reason(word, reason):
    ending = decode_ending(word, has_call=False)
    assert ending == Ending(reason, native=word)
    assert encode_ending(ending) == (word if word != "SOMETHING_NEW" else "STOP")


@pytest.mark.parametrize("word", ["STOP", "MAX_TOKENS", "OTHER"])
def test_a_call_is_the_reason_whatever_the_word(word):
    ending = decode_ending(word, has_call=True)
    assert ending == Ending(FinishReason.TOOL_CALLS, native=word)
    assert encode_ending(ending) == "STOP"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP_SEQUENCE, "STOP"),
        (FinishReason.REFUSAL, "SAFETY"),
        (FinishReason.PAUSE, "STOP"),
        (FinishReason.ERROR, "OTHER"),
        (FinishReason.CANCELLED, "OTHER"),
    ],
)
def test_reasons_of_other_dialects(reason, word):
    assert encode_ending(Ending(reason, native="whatever")) == word


def test_a_refused_prompt():
    assert encode_ending(blocked("PROHIBITED_CONTENT")) == "PROHIBITED_CONTENT"
    assert encode_ending(blocked("JAILBREAK")) == "SAFETY"


@given(endings)
def test_every_reason_has_a_word_that_means_it(ending):
    read = decode_ending(encode_ending(ending), has_call=False)
    assert encode_ending(read) == encode_ending(ending)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 4,
                "thoughtsTokenCount": 6,
                "totalTokenCount": 20,
            },
            Usage(fresh_input=10, output=4, reasoning=6, reported_total=20),
        ),
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 7, "candidatesTokenCount": 4},
            Usage(fresh_input=3, cache_read=7, output=4),
        ),
        (
            {"prompt_token_count": 10, "tool_use_prompt_token_count": 5, "candidates_token_count": 1},
            Usage(fresh_input=15, output=1),
        ),
        (
            {"promptTokenCount": 10, "thoughtsTokenCount": 6, "totalTokenCount": 20},
            Usage(fresh_input=10, output=4, reasoning=6, reported_total=20),
        ),
        ({"cachedContentTokenCount": 7, "promptTokenCount": 5}, Usage(fresh_input=0, cache_read=7)),
        ({"candidatesTokenCount": 3}, Usage(output=3)),
        ({"promptTokenCount": "10"}, Usage()),
    ],
)
def test_counts_are_split(counts, usage):
    assert decode_usage(counts) == usage


def test_counts_are_put_together():
    usage = Usage(fresh_input=3, cache_read=7, cache_write=2, output=4, reasoning=6)
    assert encode_usage(usage) == {
        "promptTokenCount": 12,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 6,
        "cachedContentTokenCount": 7,
        "totalTokenCount": 22,
    }
    assert encode_usage(Usage()) == {}


@given(usages)
def test_totals_survive(usage):
    read = decode_usage(encode_usage(usage))
    assert (read.input_total, read.output_total, read.total) == (
        usage.input_total,
        usage.output_total,
        usage.total,
    )
