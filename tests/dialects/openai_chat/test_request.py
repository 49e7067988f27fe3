"""Requests of the chat wire."""

import contextlib
import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.dialects.openai_chat import DIALECT
from cliproxy.dialects.openai_chat.request import (
    decode_request,
    encode_request,
    patch_model,
    patch_refused,
    patch_stream,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import (
    Family,
    IRRequest,
    Message,
    Meta,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolKind,
)
from cliproxy.ir.schema import clean_schemas
from cliproxy.wire.jsontext import DELETE, dumps
from emulators.openai_chat import check_chat
from emulators.openai_rules import Model
from support import ir_strategies
from support.factories import make_context

USER = [{"role": "user", "content": "u"}]


def read(ctx: ExchangeContext | None = None, **members: object) -> IRRequest:
    return decode_request({"model": "m", "messages": USER, **members}, ctx or make_context())


def write(request: IRRequest | None = None, **overrides: object) -> dict:
    """Encode a request; without one, the least there is."""
    request = request or IRRequest(model="m", messages=[Message("user", [Text("u")])])
    body = encode_request(request, make_context(**overrides))
    dumps(body)
    return body


def build(**members: object) -> IRRequest:
    return IRRequest(model="m", messages=[Message("user", [Text("u")])], **members)


# --- reading ---


def test_sampling():
    request = read(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop="X",
        n=2,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        logprobs=True,
        top_logprobs=4,
    )
    assert request.sampling == Sampling(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=["X"],
        n=2,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        logprobs=True,
        top_logprobs=4,
    )


def test_newer_limit_wins():
    assert read(max_tokens=5, max_completion_tokens=9).sampling.max_tokens == 9
    assert read(max_tokens=5, max_completion_tokens=None).sampling.max_tokens == 5


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": []}, "n"),
        ({"stop": 3}, "stop"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning_effort": {}}, "reasoning_effort"),
        ({"tools": "all"}, "tools"),
        ({"tool_choice": 1}, "tool_choice"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(members, param):
    with pytest.raises(DialectError) as caught:
        read(**members)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("wanted", "output"),
    [
        (None, None),
        ({"type": "text"}, OutputFormat("text")),
        ({"type": "json_object"}, OutputFormat("json_object")),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": {"a": 1}, "strict": True},
            },
            OutputFormat("json_schema", "n", "d", {"a": 1}, True),
        ),
        (
            {"type": "json_schema", "name": "n", "schema": {"a": 1}},
            OutputFormat("json_schema", "n", schema={"a": 1}),
        ),
        ({"type": "grammar", "grammar": "g"}, None),
    ],
)
def test_structured_output(wanted, output):
    assert read(response_format=wanted).output == output


def test_form_of_answer_that_only_servers_of_this_dialect_know():
    """To any other model the client would get an answer of any form, without being told."""
    request = read(response_format={"type": "grammar", "grammar": "g"})
    assert normalise(request, DIALECT.rules, make_context()).extras == request.extras
    with pytest.raises(DialectError, match="an answer of type grammar") as caught:
        normalise(request, by_id("claude").rules, make_context())
    assert caught.value.param == "response_format"
    assert read(response_format={"type": "text"}).essentials == read(response_format={}).essentials == []


def test_meta():
    request = read(
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        verbosity="low",
        modalities=["TEXT", "image"],
        image_config={"aspect_ratio": "1:1"},
        safety_identifier="s",
    )
    assert request.meta == Meta(
        "u", {"a": "b"}, "flex", "k", "low", ["text", "image"], {"aspect_ratio": "1:1"}, "s"
    )


@pytest.mark.parametrize(
    ("members", "verbosity", "written"),
    [
        ({"text": {"verbosity": "low"}}, "low", {"verbosity": "low"}),
        ({"text": {"verbosity": "low", "x": 1}}, "low", {"verbosity": "low", "text": {"x": 1}}),
        ({"text": {"verbosity": "low"}, "verbosity": "high"}, "high", {"verbosity": "high"}),
        ({"text": "plain"}, None, {}),
    ],
)
def test_verbosity_in_the_words_of_the_vendors_other_dialect(members, verbosity, written):
    request = read(**members)
    assert request.meta.verbosity == verbosity
    assert write(request) == {**write(), **written}


def test_context_learns_what_the_answer_needs():
    ctx = make_context()
    request = read(ctx, stream=True, stream_options={"include_usage": True}, reasoning={"exclude": True})
    assert (ctx.include_usage, ctx.want_thoughts, request.stream) == (True, False, True)
    ctx = make_context()
    assert read(ctx, stream="yes").stream is False
    assert (ctx.include_usage, ctx.want_thoughts) == (False, True)


def test_configuration_for_gemini_reaches_only_gemini():
    request = read(generationConfig={"speechConfig": {"a": 1}})
    assert request.extras == {"gemini": {"generationConfig": {"speechConfig": {"a": 1}}}}


# --- writing ---


def test_least_request():
    assert write() == {"model": "m", "messages": [{"role": "user", "content": "u"}]}


def test_stream_always_asks_for_usage():
    body = write(build(stream=True))
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_everything_a_foreign_client_may_say():
    request = build(
        sampling=Sampling(9, 0.5, 0.9, 3, ["X"], 1, 7, 0.1, 0.2, True, 2),
        output=OutputFormat("json_schema", schema={"type": "object"}),
        reasoning=Reasoning(level="high", visible=True),
        meta=Meta("u", {"a": "b"}, "auto", "k", "low", ["text", "image", "audio"], {"image_size": "1K"}),
    )
    assert write(request, client_dialect="gemini") == {
        **write(),
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop": ["X"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}},
        },
        "reasoning_effort": "high",
        "modalities": ["text", "image"],
        "image_config": {"image_size": "1K"},
    }


def test_vendors_other_dialect_shares_more():
    request = build(meta=Meta("u", {"a": "b"}, "flex", "k", "low", safety_identifier="s"))
    body = write(request, client_dialect="openai-response")
    assert {
        key: body.get(key)
        for key in (
            *("user", "safety_identifier", "metadata"),
            "service_tier",
            "prompt_cache_key",
            "verbosity",
        )
    } == {
        "user": "u",
        "safety_identifier": "s",
        "metadata": None,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "verbosity": "low",
    }


def test_vendors_own_models_get_the_vendors_words():
    """They refuse ``top_k``, and the newer ones ``max_tokens``."""
    newer = frozenset({"max_tokens"})
    ctx = make_context(upstream_family=Family.GPT, upstream_refuses=newer, client_dialect="gemini")
    body = encode_request(build(sampling=Sampling(max_tokens=9, top_k=3)), ctx)
    assert body["max_completion_tokens"] == 9
    assert {"max_tokens", "top_k"}.isdisjoint(body)
    assert ctx.notes == ["top_k was dropped"]


@pytest.mark.parametrize(
    ("body", "refused", "changes"),
    [
        ({"max_tokens": 9}, {"max_tokens"}, {"max_tokens": DELETE, "max_completion_tokens": 9}),
        (
            {"max_tokens": 9, "max_completion_tokens": 8},
            {"max_tokens"},
            {"max_tokens": DELETE, "max_completion_tokens": 8},
        ),
        ({"max_tokens": 9}, {"stop"}, {}),
        ({"stop": "x"}, {"max_tokens", "stop"}, {}),
    ],
)
def test_the_limit_of_a_raw_body_is_renamed_where_its_name_is_refused(body, refused, changes):
    assert patch_refused(body, frozenset(refused)) == changes


def test_one_answer_is_not_asked_for():
    assert "n" not in write(build(sampling=Sampling(n=1)))
    assert write(build(sampling=Sampling(n=3)))["n"] == 3


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (OutputFormat("text"), {"type": "text"}),
        (OutputFormat("json_object"), {"type": "json_object"}),
        (
            OutputFormat("json_schema", "n", "d", {"a": 1}, True),
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "strict": True, "schema": {"a": 1}},
            },
        ),
        (
            OutputFormat("json_schema"),
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        ),
    ],
)
def test_writing_structured_output(output, written):
    assert write(build(output=output))["response_format"] == written


def test_text_alone_needs_no_modalities():
    assert "modalities" not in write(build(meta=Meta(modalities=["text"])), client_dialect="gemini")
    assert "modalities" not in write(build(meta=Meta(modalities=["audio"])), client_dialect="gemini")
    assert write(build(meta=Meta(modalities=["audio", "text"])))["modalities"] == ["audio", "text"]


# --- both ---

FAITHFUL = {
    "model": "m",
    "messages": USER,
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_completion_tokens": 5,
    "temperature": 0.5,
    "top_k": 3,
    "stop": ["X", "Y"],
    "n": 2,
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "grammar", "grammar": "g"},
    "reasoning_effort": "low",
    "reasoning": {"exclude": True},
    "include_reasoning": False,
    "user": "u",
    "safety_identifier": "s",
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "verbosity": "low",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "store": True,
    "web_search_options": {},
    "extra_body": {"google": {"cached_content": "c"}},
    "something_new": {"a": [1, 2.5, None]},
    "stream": True,
    "stream_options": {"include_obfuscation": False, "include_usage": True},
}


def test_request_of_a_chat_client_is_written_as_it_came():
    ctx = make_context()
    assert encode_request(decode_request(FAITHFUL, ctx), ctx) == FAITHFUL


@given(ir_strategies.requests())
def test_reading_what_was_written_changes_nothing_more(request):
    ctx = make_context()
    once = encode_request(request, ctx)
    assert json.loads(dumps(once)) == once
    again = make_context()
    if once["messages"]:
        assert encode_request(decode_request(once, again), again) == once


@given(ir_strategies.requests())
def test_rules_let_a_request_pass_the_repairs_unchanged_in_meaning(request):
    ctx = make_context(client_dialect="claude")
    repaired = normalise(request, DIALECT.rules, ctx)
    body = encode_request(repaired, ctx)
    names = [tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    assert all(len(name) <= 64 for name in names)


@given(ir_strategies.json_objects, st.sampled_from(sorted(FAITHFUL)), ir_strategies.json_values)
def test_any_body_is_read_or_refused(body, key, value):
    with contextlib.suppress(DialectError):
        decode_request({"model": "m", "messages": USER, **body, key: value}, make_context())


# --- patches ---


def test_patches():
    assert patch_model("new") == {"model": "new"}
    assert patch_stream({"stream_options": {"include_usage": True}}) == {}
    assert patch_stream({}) == {"stream_options": {"include_usage": True}}
    assert patch_stream({"stream_options": {"x": 1, "include_usage": False}}) == {
        "stream_options": {"x": 1, "include_usage": True}
    }


def test_limit_keeps_the_name_the_client_used():
    ctx = make_context()
    request = read(ctx, max_tokens=4)
    assert encode_request(request, ctx)["max_tokens"] == 4


def test_tools_of_the_hub_without_schema():
    request = build(tools=[Tool(ToolKind.FUNCTION, "f")])
    assert write(request)["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_vendors_own_models_without_top_k():
    ctx = make_context(upstream_family=Family.GPT)
    encode_request(build(), ctx)
    assert ctx.notes == []


def test_vendor_takes_four_stops_and_no_images():
    request = build(
        sampling=Sampling(stop=list("abcde")),
        meta=Meta(modalities=["text", "image"], image={"image_size": "1K"}),
    )
    body = write(request, client_dialect="gemini", upstream_family=Family.GPT)
    assert body["stop"] == list("abcd")
    assert {"modalities", "image_config"}.isdisjoint(body)


@given(ir_strategies.requests(), st.sampled_from(["claude", "gemini", "openai-response"]))
def test_vendor_accepts_what_becomes_of_foreign_requests(request, client):
    """As strict as the vendor: unknown members, pairing, media, names and ids are all checked."""
    newer = frozenset({"max_tokens"})
    ctx = make_context(client_dialect=client, upstream_family=Family.GPT, upstream_refuses=newer)
    wishes = Sampling(max_tokens=request.sampling.max_tokens, top_k=request.sampling.top_k)
    tools = [evolve(tool, strict=None) for tool in request.tools]
    request = evolve(request, sampling=wishes, tools=tools, output=None)
    request = clean_schemas(normalise(request, DIALECT.rules, ctx), DIALECT.rules.schemas, ctx)
    if request.reasoning is not None and request.reasoning.level == "auto":
        request.reasoning = None
    check_chat(encode_request(request, ctx), Model("gpt-6"))
