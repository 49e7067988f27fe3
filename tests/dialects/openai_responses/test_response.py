"""Whole answers, their echo of the request, and usage."""

import pytest
from hypothesis import given
from openai.types.responses import CompactedResponse, Response

from cliproxy.dialects.openai_responses.response import (
    decode_response,
    decode_usage,
    encode_response,
    encode_usage,
    output_parts,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    CallKind,
    Family,
    Image,
    Inline,
    Opaque,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import dumps
from support import ir_strategies
from support.factories import NOW, make_context

ASKED = {
    "model": "alias",
    "input": "hi",
    "instructions": "Be brief.",
    "max_output_tokens": 9,
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
    "tool_choice": "required",
    "temperature": 0.2,
    "reasoning": {"effort": "low", "summary": None},
    "metadata": {"k": "v"},
    "store": None,
    "stream": True,
    "client_metadata": {"x": "y"},
}


def context(**overrides):
    return make_context(client_dialect="openai-response", **overrides)


def answer(*parts, reason=FinishReason.STOP, **members):
    choices = [Choice(list(parts), Ending(reason))]
    return IRResponse(**{"id": "x1", "model": "m", "choices": choices, "created": 5, **members})


def written(*parts, ctx=None, **members):
    body = encode_response(answer(*parts, **members), ctx or context())
    Response.model_validate(body)
    return body


def test_answer_in_full():
    body = written(
        Thinking("why", Signature("gAAAAx", Family.GPT), item_id="rs_7"),
        Text("Hello"),
        ToolCall("call_1", "f", '{"a":1}'),
        ToolCall("call_2", "patch", "raw", CallKind.CUSTOM),
        Refusal("no"),
        Image(Inline("image/webp", "AA==")),
        usage=Usage(fresh_input=10, cache_read=85, cache_write=5, output=7),
    )
    assert (body["id"], body["object"], body["created_at"], body["status"]) == (
        "resp_x1",
        "response",
        5,
        "completed",
    )
    assert (body["background"], body["error"], body["incomplete_details"]) == (False, None, None)
    assert [(item["type"], item["id"]) for item in body["output"]] == [
        ("reasoning", "rs_7"),
        ("message", "msg_x1_1"),
        ("function_call", "fc_call_1"),
        ("custom_tool_call", "ctc_call_2"),
        ("message", "msg_x1_4"),
        ("image_generation_call", "ig_x1_5"),
    ]
    assert body["usage"]["total_tokens"] == 107


def test_request_is_echoed():
    body = written(Text("a"), ctx=context(original_body=ASKED, shown_model="alias"))
    echoed = (
        "instructions",
        "max_output_tokens",
        "tools",
        "tool_choice",
        "temperature",
        "reasoning",
        "metadata",
    )
    assert {key: body[key] for key in echoed} == {key: ASKED[key] for key in echoed}
    assert (body["model"], body["store"]) == ("alias", False)
    assert "client_metadata" not in body
    assert "stream" not in body


def test_defaults_stand_in_for_what_was_not_asked():
    body = written(Text("a"))
    expected = {
        "parallel_tool_calls": True,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "temperature": 1,
        "top_p": 1,
        "truncation": "disabled",
    }
    assert {key: body[key] for key in expected} == expected


def test_all_that_a_request_may_say_about_the_answer_is_echoed():
    said = {
        "instructions": "I",
        "max_output_tokens": 9,
        "max_tool_calls": 2,
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low"},
        "safety_identifier": "s",
        "service_tier": "flex",
        "store": True,
        "temperature": 0.5,
        "text": {"verbosity": "low"},
        "tool_choice": "none",
        "tools": [],
        "top_logprobs": 2,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
        "metadata": {"k": "v"},
    }
    body = written(Text("a"), ctx=context(original_body={"model": "m", "input": "i", **said}))
    assert {key: body[key] for key in said} == said


UPSTREAM = {
    "id": "resp_1",
    "object": "response",
    "created_at": 5,
    "model": "m",
    "status": "completed",
    "output": [],
    "reasoning": {"effort": "medium", "summary": None},
    "temperature": 0.9,
    "service_tier": "default",
    "truncation": None,
    "instructions": "Of the upstream.",
    "moderation": {"flagged": False},
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "audio_tokens": 1},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 7,
        "cost": 0.5,
    },
}


def test_upstream_of_this_wire_tells_what_was_used():
    """The client's own words come first, except for what only the upstream decides."""
    asked = {"model": "m", "input": "i", "instructions": "Mine.", "service_tier": "auto"}
    body = encode_response(decode_response(UPSTREAM, context()), context(original_body=asked))
    assert (body["reasoning"]["effort"], body["temperature"]) == ("medium", 0.9)
    assert (body["instructions"], body["service_tier"]) == ("Mine.", "default")
    assert (body["truncation"], body["moderation"]) == ("disabled", {"flagged": False})
    assert body["usage"] == {
        **UPSTREAM["usage"],
        "input_tokens_details": {"cached_tokens": 1, "audio_tokens": 1, "cache_write_tokens": 0},
    }


def test_request_of_another_dialect_is_not_echoed():
    """A whole answer that has to be streamed on is written in the upstream's dialect first."""
    ctx = make_context(client_dialect="claude", original_body={"tools": [{"name": "f"}], "temperature": 0.3})
    body = encode_response(answer(Text("a")), ctx)
    assert (body["tools"], body["temperature"]) == ([], 1)


def test_missing_facts_are_made_up():
    body = written(Text("a"), id="", model="", created=0)
    assert body["id"].startswith("resp_")
    assert (body["model"], body["created_at"]) == ("upstream-model", int(NOW))


def test_id_that_fits_is_kept():
    assert written(Text("a"), id="resp_7")["id"] == "resp_7"


def test_limit_leaves_the_last_item_incomplete():
    body = written(Text("a"), Text("b"), reason=FinishReason.LENGTH)
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}


def test_failed_answer_has_an_error():
    body = written(Text("a"), reason=FinishReason.ERROR)
    assert (body["status"], body["error"]["code"]) == ("failed", "server_error")


def test_only_the_first_choice_is_told():
    choices = [
        Choice([Text("a")], Ending(FinishReason.STOP)),
        Choice([Text("b")], Ending(FinishReason.LENGTH), 1),
    ]
    body = written(choices=choices)
    assert len(body["output"]) == 1
    assert body["status"] == "completed"


# --- usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({}, Usage()),
        ({"input_tokens": 5, "output_tokens": 2}, Usage(fresh_input=5, output=2)),
        (
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 85, "cache_write_tokens": 5},
                "output_tokens": 10,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 110,
            },
            Usage(fresh_input=10, cache_read=85, cache_write=5, output=7, reasoning=3, reported_total=110),
        ),
        (
            {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}},
            Usage(fresh_input=0, cache_read=9),
        ),
    ],
)
def test_usage_is_split(wire, usage):
    assert decode_usage(wire) == usage


@given(ir_strategies.usages)
def test_no_token_is_lost_or_counted_twice(usage):
    wire = encode_usage(usage)
    if usage == Usage():
        assert wire is None
        return
    assert wire["total_tokens"] == wire["input_tokens"] + wire["output_tokens"]
    back = decode_usage(wire)
    assert (back.input_total, back.output_total) == (usage.input_total, usage.output_total)
    assert (back.cache_read, back.cache_write) == (usage.cache_read or 0, usage.cache_write or 0)


def test_reasoning_is_estimated_only_where_nobody_counted_it():
    assert encode_usage(Usage(output=9), 20)["output_tokens_details"] == {"reasoning_tokens": 5}
    assert encode_usage(Usage(output=2), 20)["output_tokens_details"] == {"reasoning_tokens": 2}
    assert encode_usage(Usage(output=9, reasoning=0), 20)["output_tokens_details"] == {"reasoning_tokens": 0}
    assert encode_usage(Usage(), 20) is None
    body = written(Thinking("why" * 4), Text("a"), usage=Usage(fresh_input=1, output=9))
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}


def test_total_alone_is_shown():
    assert encode_usage(Usage(reported_total=7))["total_tokens"] == 7


# --- reading ----------------------------------------------------------------------------------------------


def test_answer_is_read():
    body = {
        "id": "resp_1",
        "model": "m",
        "created_at": 5,
        "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [{"text": "why"}], "encrypted_content": "gAAAAx"},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Hi", "annotations": [{"type": "url_citation"}]},
                    {"type": "output_text", "text": ""},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "c",
                "name": "f",
                "arguments": "{}",
                "status": "x",
            },
            {"id": "ig_1", "type": "image_generation_call", "result": "AA==", "output_format": "jpg"},
            {"id": "ig_2", "type": "image_generation_call", "result": None},
            {"id": "ws_1", "type": "web_search_call"},
            {},
            3,
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    extras = {"openai-response": {"item": {"id": "msg_1"}}}
    response = decode_response(body, context())
    assert response.choices == [
        Choice(
            [
                Thinking("why", Signature("gAAAAx", Family.GPT), item_id="rs_1"),
                Text("Hi", [{"type": "url_citation"}], "openai-response", extras=extras),
                Refusal("no"),
                ToolCall("c", "f", "{}", item_id="fc_1"),
                Image(Inline("image/jpeg", "AA==")),
                Opaque("openai-response", "web_search_call", {"id": "ws_1", "type": "web_search_call"}),
            ],
            Ending(FinishReason.TOOL_CALLS, "completed"),
        )
    ]
    assert (response.id, response.model, response.created) == ("resp_1", "m", 5)
    assert response.usage == Usage(fresh_input=1, output=2)


@pytest.mark.parametrize("body", [{}, {"output": None}, {"output": {}}, {"error": {"message": "x"}}])
def test_what_is_no_answer_is_refused(body):
    with pytest.raises(DialectError) as caught:
        decode_response(body, context())
    assert caught.value.param == "output"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, FinishReason.STOP),
        ({"status": "failed"}, FinishReason.ERROR),
        ({"status": "cancelled"}, FinishReason.CANCELLED),
        ({"incomplete_details": {"reason": "max_tokens"}}, FinishReason.LENGTH),
        ({"incomplete_details": {"reason": "steered"}, "status": "incomplete"}, FinishReason.STOP),
        ({"stop_reason": "stop_sequence", "stop_sequence": "X"}, FinishReason.STOP_SEQUENCE),
    ],
)
def test_reason_of_an_answer(members, reason):
    ending = decode_response({"output": [], **members}, context()).choices[0].ending
    assert ending.reason is reason
    assert ending.stop_sequence == members.get("stop_sequence")


@given(ir_strategies.json_objects)
def test_any_item_can_be_read(item):
    assert isinstance(output_parts(item, context()), list)


@given(ir_strategies.responses(max_choices=1))
def test_answers_survive_a_round_trip(response):
    """Written, read and written again, an answer is the same but for signatures of text and calls."""
    for part in response.choices[0].parts:
        if isinstance(part, Text | ToolCall | Image):
            part.signature = None
    once = encode_response(response, context())
    dumps(once)
    if once["status"] == "failed" or (once["status"] == "incomplete" and not once["incomplete_details"]):
        return
    twice = encode_response(decode_response(once, context()), context())
    assert twice == once


def test_compaction_stays_one():
    body = {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 5,
        "output": [{"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    again = encode_response(decode_response(body, context()), context())
    assert {**again, "usage": None} == {**body, "usage": None}
    CompactedResponse.model_validate(again)


def test_anchored_signature_of_an_upstream_is_its_signature():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gemini.previous-call#G"}
    (thinking,) = output_parts(item, context())
    assert thinking.signature == Signature("G", Family.GEMINI)
