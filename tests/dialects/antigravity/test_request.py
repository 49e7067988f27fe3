"""Requests of any client as the service takes them."""

import re

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.antigravity import DIALECT
from cliproxy.dialects.antigravity.request import session_id
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family, Image, Inline, IRRequest, Message, Text
from cliproxy.ir.schema import clean_schemas
from cliproxy.ir.signatures import GEMINI_PLACEHOLDER
from cliproxy.ir.thinking import ThinkingSupport, apply_thinking
from cliproxy.wire.jsontext import dumps, loads_object
from support.factories import make_context

CLAUDE = "claude-sonnet-4-5"
GEMINI = "gemini-3-flash"
BUDGETS = ThinkingSupport(min_budget=1024, max_budget=64000, zero_allowed=True, dynamic_allowed=True)
PNG = "iVBORw0KGgo="


def sent(client, body, model=CLAUDE):
    """Carry a client's request through the passes, as the exchange does; return the whole envelope."""
    family = Family.CLAUDE if model == CLAUDE else Family.GEMINI
    ctx = make_context(
        client_dialect=client,
        upstream_dialect="antigravity",
        upstream_model=model,
        requested_model=model,
        upstream_family=family,
    )
    request = by_id(client).decode_request({"model": model, **body}, ctx)
    request = apply_thinking(request, BUDGETS, "antigravity", source=client)
    request = normalise(request, DIALECT.rules, ctx)
    request = clean_schemas(request, DIALECT.rules.schemas, ctx)
    return loads_object(dumps(DIALECT.encode_request(request, ctx)))


def claude(*messages, model=CLAUDE, **members):
    body = {"max_tokens": 4000, "messages": list(messages), **members}
    return sent("claude", body, model)["request"]


def user(*content):
    return {"role": "user", "content": list(content) if not isinstance(content[0], str) else content[0]}


def assistant(*content):
    return {"role": "assistant", "content": list(content)}


def use(call_id="toolu_1", name="f", **arguments):
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(*content, call_id="toolu_1"):
    return {"type": "tool_result", "tool_use_id": call_id, "content": list(content)}


def thought(said, signature):
    return {"type": "thinking", "thinking": said, "signature": signature}


TOOLS = [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}]
ON = {"type": "enabled", "budget_tokens": 2048}
KEPT = "claude#c2lnbmF0dXJl"
VALUE = "c2lnbmF0dXJl"


# --- the envelope ---


def test_the_envelope():
    body = sent("openai", {"messages": [{"role": "user", "content": "hi"}]}, GEMINI)
    assert set(body) == {"model", "userAgent", "requestType", "requestId", "request"}
    assert (body["model"], body["userAgent"], body["requestType"]) == (GEMINI, "antigravity", "agent")
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"agent-{uuid}", body["requestId"])
    assert re.fullmatch(r"-\d{1,19}", body["request"]["sessionId"])


def test_a_request_for_an_image_has_another_type_and_no_session():
    body = sent("openai", {"messages": [{"role": "user", "content": "a cat"}]}, "gemini-3-pro-image")
    assert body["requestType"] == "image_gen"
    assert body["requestId"].startswith("image_gen/1700000000000/")
    assert "sessionId" not in body["request"]


def test_the_turns_of_a_conversation_share_their_session():
    first = Message("user", [Text("hi")])
    more = [first, Message("assistant", [Text("yes?")]), Message("user", [Text("more")])]
    sessions = {session_id(IRRequest(model="m", messages=m), make_context()) for m in ([first], more)}
    assert len(sessions) == 1
    other = session_id(IRRequest(model="m", messages=[Message("user", [Text("ho")])]), make_context())
    assert other not in sessions


def test_a_conversation_without_words_has_a_session_all_the_same():
    picture = Message("user", [Image(Inline("image/png", PNG))])
    ctx = make_context()
    drawn = [session_id(IRRequest(model="m", messages=[picture]), ctx) for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_nobody_sets_safety():
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    assert "safetySettings" not in sent("gemini", {"contents": contents, "safetySettings": safety})["request"]
    assert "safetySettings" not in claude(user("hi"))


# --- the length ---


def test_the_length_is_for_claude_models():
    assert claude(user("hi"))["generationConfig"]["maxOutputTokens"] == 4000
    assert "generationConfig" not in claude(user("hi"), model=GEMINI)
    config = claude(user("hi"), model=GEMINI, temperature=0.5)["generationConfig"]
    assert config == {"temperature": 0.5}


# --- tools ---


def test_declarations_have_placeholders_and_nothing_unknown():
    nested = {"type": "object", "properties": {"b": {"type": "string"}}}
    schema = {"type": "object", "properties": {"a": nested}}
    tools = [
        {"name": "f", "input_schema": schema, "input_examples": [{}], "cache_control": {"type": "ephemeral"}},
        {"name": "g", "input_schema": {"type": "object"}},
    ]
    (node,) = claude(user("hi"), tools=tools)["tools"]
    f, g = node["functionDeclarations"]
    assert set(f) == {"name", "parameters"}
    assert f["parameters"]["properties"]["a"]["required"] == ["_"]
    assert g["parameters"]["required"] == ["reason"]


def test_declarations_of_a_gemini_client_keep_what_the_service_knows():
    declared = {"name": "f", "behavior": "BLOCKING", "response": {"type": "OBJECT"}, "odd": 1}
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    body = sent("gemini", {"contents": contents, "tools": [{"functionDeclarations": [declared]}]}, GEMINI)
    (node,) = body["request"]["tools"]
    assert set(node["functionDeclarations"][0]) == {"name", "behavior", "response", "parameters"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, {"mode": "VALIDATED"}),
        ({"type": "auto"}, {"mode": "VALIDATED"}),
        ({"type": "any"}, {"mode": "VALIDATED"}),
        ({"type": "tool", "name": "f"}, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        ({"type": "none"}, {"mode": "NONE"}),
    ],
)
def test_claude_models_call_in_validated_mode(choice, expected):
    more = {"tool_choice": choice} if choice else {}
    body = claude(user("hi"), tools=TOOLS, **more)
    assert body["toolConfig"]["functionCallingConfig"] == expected


def test_other_models_call_as_they_are_asked_to():
    assert "toolConfig" not in claude(user("hi"), tools=TOOLS, model=GEMINI)
    assert "toolConfig" not in claude(user("hi"))
    body = claude(user("hi"), tools=TOOLS, tool_choice={"type": "any"}, model=GEMINI)
    assert body["toolConfig"]["functionCallingConfig"] == {"mode": "ANY"}


# --- calls and results ---


def test_calls_and_results_have_their_ids():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    answer = result({"type": "text", "text": "see"}, image, call_id="c.1")
    contents = claude(user("hi"), assistant(use("c.1", a="x")), user(answer), tools=TOOLS)["contents"]
    (call,) = contents[1]["parts"]
    assert call == {"functionCall": {"id": "c_1", "name": "f", "args": {"a": "x"}}}
    (said,) = contents[2]["parts"]
    assert said["functionResponse"] == {
        "id": "c_1",
        "name": "f",
        "response": {"result": "see"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
    }


def test_calls_of_gemini_models_are_signed():
    contents = claude(
        user("hi"), assistant(use()), user(result({"type": "text", "text": "r"})), tools=TOOLS, model=GEMINI
    )["contents"]
    assert contents[1]["parts"][0]["thoughtSignature"] == GEMINI_PLACEHOLDER


# --- thoughts ---


def config_of(body):
    return body["generationConfig"].get("thinkingConfig")


def test_thoughts_of_the_model_come_back_first():
    body = claude(
        user("hi"),
        assistant({"type": "text", "text": "t"}, thought("hm", KEPT), use()),
        user(result({"type": "text", "text": "r"})),
        tools=TOOLS,
        thinking=ON,
    )
    parts = body["contents"][1]["parts"]
    assert parts[0] == {"text": "hm", "thought": True, "thoughtSignature": VALUE}
    assert [next(iter(part)) for part in parts[1:]] == ["text", "functionCall"]
    assert config_of(body) == {"thinkingBudget": 2048, "includeThoughts": True}


@pytest.mark.parametrize(
    "lost",
    [thought("hm", "gemini#AAAA"), thought("hm", ""), {"type": "redacted_thinking", "data": VALUE}],
    ids=["foreign", "unsigned", "redacted"],
)
def test_a_thought_that_is_lost_takes_thinking_with_it(lost):
    body = claude(user("hi"), assistant(lost, {"type": "text", "text": "a"}), user("go on"), thinking=ON)
    assert body["contents"][1]["parts"] == [{"text": "a"}]
    assert config_of(body) is None


def test_calls_that_were_made_without_a_thought_go_on_without_one():
    turns = (user("hi"), assistant(use()), user(result({"type": "text", "text": "r"})))
    assert config_of(claude(*turns, tools=TOOLS, thinking=ON)) is None
    done = assistant({"type": "text", "text": "done"})
    assert config_of(claude(*turns, done, user("again"), tools=TOOLS, thinking=ON)) is not None


def test_gemini_models_think_whatever_the_history_holds():
    body = claude(
        user("hi"),
        assistant(thought("hm", KEPT), {"type": "text", "text": "a"}),
        user("go on"),
        thinking=ON,
        model=GEMINI,
    )
    assert body["contents"][1]["parts"] == [{"text": "a"}]
    assert config_of(body) == {"thinkingBudget": 2048, "includeThoughts": True}


def test_a_budget_leaves_room_for_the_answer():
    body = claude(user("hi"), thinking={"type": "enabled", "budget_tokens": 9000})
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 3999


def test_a_wish_in_words_becomes_a_budget():
    body = sent("openai", {"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "low"})
    assert body["request"]["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


def test_structured_answers_have_their_schema_under_another_name():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = sent("openai", {"messages": [{"role": "user", "content": "hi"}], "response_format": wanted})
    config = body["request"]["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseSchema": schema}
