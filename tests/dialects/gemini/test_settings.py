"""``generationConfig``, read and written."""

import pytest

from cliproxy.dialects.gemini.settings import (
    decode_settings,
    encode_reasoning,
    encode_settings,
    patch_reasoning,
    read_reasoning,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Meta, OutputFormat, Reasoning, Sampling
from support.factories import make_context

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(**fields):
    return IRRequest(model="m", messages=[], **fields)


def through(raw):
    """Read and write again."""
    said = decode_settings(raw)
    again = request(
        sampling=said.sampling,
        reasoning=said.reasoning,
        output=said.output,
        meta=Meta(modalities=said.modalities, image=said.image),
        extras={"gemini": {"generationConfig": said.rest}},
    )
    return encode_settings(again, make_context(client_dialect="gemini"))


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"temperature": 1, "topP": 0.95, "topK": 64},
        {"maxOutputTokens": 9, "candidateCount": 2, "seed": 7, "stopSequences": ["X"]},
        {"presencePenalty": 0.5, "frequencyPenalty": -0.5, "responseLogprobs": True, "logprobs": 3},
        {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192}},
        {"thinkingConfig": {"thinkingLevel": "high"}},
        {"thinkingConfig": {"includeThoughts": False}},
        {"responseMimeType": "application/json"},
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        {"responseMimeType": "text/x.enum", "responseJsonSchema": {"type": "string", "enum": ["a"]}},
        {"responseMimeType": "text/x.enum"},
        {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}},
        {"imageConfig": {"aspectRatio": "1:1", "personGeneration": "ALLOW_ALL"}},
        {"speechConfig": {"voiceConfig": {}}, "mediaResolution": "MEDIA_RESOLUTION_LOW"},
    ],
)
def test_what_is_said_comes_back(raw):
    assert through(raw) == raw


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (
            {"max_output_tokens": 5, "top_p": 0.5, "stop_sequences": "X", "response_mime_type": "text/plain"},
            {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["X"]},
        ),
        ({"candidateCount": 1}, {}),
        ({"topK": 64.0}, {"topK": 64}),
        ({"thinking_config": {"thinking_level": "HIGH"}}, {"thinkingConfig": {"thinkingLevel": "high"}}),
        ({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}}, {}),
        (
            {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 5}},
            {"thinkingConfig": {"thinkingLevel": "low"}},
        ),
        (
            {"responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
        ({"temperature": None, "seed": None}, {}),
    ],
)
def test_what_is_written_in_one_spelling(raw, written):
    assert through(raw) == written


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ({"maxOutputTokens": "many"}, "generationConfig.maxOutputTokens"),
        ({"topK": 1.5}, "generationConfig.topK"),
        ({"temperature": True}, "generationConfig.temperature"),
        ({"seed": []}, "generationConfig.seed"),
    ],
)
def test_numbers_that_are_none_are_refused_by_name(raw, param):
    with pytest.raises(DialectError) as caught:
        decode_settings(raw)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("wish", "written"),
    [
        (Reasoning(level="high", visible=True), {"thinkingLevel": "high", "includeThoughts": True}),
        (Reasoning(level="low"), {"thinkingLevel": "low"}),
        (Reasoning(budget=0, visible=True), {"thinkingBudget": 0, "includeThoughts": False}),
        (Reasoning(budget=-1), {"thinkingBudget": -1}),
        (Reasoning(budget=512, level="low"), {"thinkingBudget": 512}),
        (Reasoning(level="none"), {"thinkingBudget": 0, "includeThoughts": False}),
        (Reasoning(level="auto", visible=False), {"thinkingBudget": -1, "includeThoughts": False}),
        (Reasoning(adaptive=True), {"thinkingBudget": -1}),
        (Reasoning(adaptive=True, level="low"), {"thinkingLevel": "low"}),
        (Reasoning(), {}),
    ],
)
def test_reasoning(wish, written):
    assert encode_reasoning(wish, make_context()) == written


def test_nobody_wants_thoughts():
    assert encode_reasoning(Reasoning(budget=5, visible=True), make_context(want_thoughts=False)) == {
        "thinkingBudget": 5,
        "includeThoughts": False,
    }


def test_an_empty_wish_writes_nothing():
    assert encode_settings(request(reasoning=Reasoning()), make_context()) == {}


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (OutputFormat("text"), {}),
        (OutputFormat("json_object"), {"responseMimeType": "application/json"}),
        (OutputFormat("json_schema"), {"responseMimeType": "application/json"}),
        (
            OutputFormat("json_schema", name="n", strict=True, schema=SCHEMA),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
    ],
)
def test_output_formats_of_other_dialects(output, written):
    assert encode_settings(request(output=output), make_context()) == written


def test_sampling_of_other_dialects():
    sampling = Sampling(max_tokens=9, n=1, stop=["X"])
    assert encode_settings(request(sampling=sampling), make_context()) == {
        "maxOutputTokens": 9,
        "stopSequences": ["X"],
    }


def test_log_probabilities_that_nobody_could_be_told_are_not_asked_for():
    """Most models refuse to tell them, so that asking in vain would cost the answer."""
    sampling = Sampling(logprobs=True, top_logprobs=3)
    ctx = make_context()
    assert encode_settings(request(sampling=sampling), ctx) == {}
    assert ctx.notes == ["logprobs is not carried"]


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({}, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 5}}}),
        (
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
                }
            },
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"thinkingBudget": 5, "includeThoughts": True},
                }
            },
        ),
        (
            {"generation_config": {"thinking_config": {"include_thoughts": False}}},
            {"generation_config": {"thinkingConfig": {"thinkingBudget": 5, "includeThoughts": False}}},
        ),
    ],
)
def test_a_wish_is_put_into_a_raw_body(body, changes):
    before = repr(body)
    assert patch_reasoning(Reasoning(budget=5), body) == changes
    assert repr(body) == before


def test_a_model_told_not_to_think_shows_no_thoughts():
    body = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    assert patch_reasoning(Reasoning(budget=0), body) == {
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}}
    }


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({}, None),
        ({"generationConfig": {"temperature": 1}}, None),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 5}}}, Reasoning(budget=5)),
        (
            {"generation_config": {"thinking_config": {"thinking_level": "LOW", "include_thoughts": True}}},
            Reasoning(level="low", visible=True),
        ),
    ],
)
def test_what_a_raw_body_says_about_thinking(body, wish):
    assert read_reasoning(body) == wish


@pytest.mark.parametrize(("wanted", "longest", "written"), [(9, 8, 8), (8, 9, 8), (9, None, 9)])
def test_the_answer_is_not_asked_to_be_longer_than_the_model_can_write(wanted, longest, written):
    asked = request(sampling=Sampling(max_tokens=wanted))
    config = encode_settings(asked, make_context(upstream_output=longest))
    assert config["maxOutputTokens"] == written


def test_sound_is_for_clients_that_can_read_it():
    asked = request(meta=Meta(modalities=["text", "audio"]))
    ctx = make_context(client_dialect="openai")
    assert encode_settings(asked, ctx) == {"responseModalities": ["TEXT"]}
    assert ctx.notes == ["a kind of output other than text and images is not carried"]
    for client in ("gemini", "gemini-cli"):
        config = encode_settings(asked, make_context(client_dialect=client))
        assert config == {"responseModalities": ["TEXT", "AUDIO"]}
    only = request(meta=Meta(modalities=["audio"]))
    assert encode_settings(only, make_context(client_dialect="openai")) == {}
