"""xAI's form of the Responses API: what requests become, and how answers are turned back."""

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.xai import DIALECT
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family
from cliproxy.ir.schema import FREE_TEXT, clean_schemas
from cliproxy.ir.thinking import ThinkingSupport, apply_thinking
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps, loads_object
from support.factories import make_context

SUPPORT = ThinkingSupport(levels=("none", "low", "medium", "high"), zero_allowed=True)


def context(client: str) -> ExchangeContext:
    return make_context(client_dialect=client, upstream_dialect="xai", upstream_family=Family.GROK)


def sent(client: str, body: JsonObject, ctx: ExchangeContext | None = None) -> JsonObject:
    """Carry a client's request through the passes, as the exchange does."""
    ctx = ctx or context(client)
    body = {"model": "grok-4.3", **body}
    request = by_id(client).decode_request(body, ctx)
    request = apply_thinking(request, SUPPORT, "xai", source=client)
    request = normalise(request, DIALECT.rules, ctx)
    request = clean_schemas(request, DIALECT.rules.schemas, ctx)
    return loads_object(dumps(DIALECT.encode_request(request, ctx)))


def responses(**members: JsonValue) -> JsonObject:
    return sent("openai-response", {"input": "hi", **members})


PATCH: JsonObject = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Patch.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
}
INSIDE: JsonObject = {"type": "function", "name": "open", "parameters": {"type": "object", "properties": {}}}
GROUP: JsonObject = {"type": "namespace", "name": "browser", "description": "B.", "tools": [INSIDE]}


def test_tools_that_take_free_text_become_functions_with_one_text() -> None:
    [tool] = responses(tools=[PATCH])["tools"]
    assert tool == {
        "type": "function",
        "name": "apply_patch",
        "description": "Patch.",
        "parameters": FREE_TEXT,
    }


def test_a_namespace_becomes_part_of_the_name() -> None:
    [tool] = responses(tools=[GROUP])["tools"]
    assert (tool["type"], tool["name"]) == ("function", "browser__open")


@pytest.mark.parametrize("kind", ["web_search", "x_search", "code_interpreter"])
def test_the_services_own_tools_are_passed_on(kind: str) -> None:
    assert responses(tools=[{"type": kind}])["tools"] == [{"type": kind}]


@pytest.mark.parametrize("kind", ["local_shell", "image_generation"])
def test_tools_of_other_services_are_left_out(kind: str) -> None:
    ctx = context("openai-response")
    body = sent("openai-response", {"input": "hi", "tools": [{"type": kind}], "tool_choice": "auto"}, ctx)
    assert "tools" not in body
    assert "tool_choice" not in body
    assert any(kind in note for note in ctx.notes)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "apply_patch"}),
        (
            {"type": "function", "name": "open", "namespace": "browser"},
            {"type": "function", "name": "browser__open"},
        ),
    ],
)
def test_a_chosen_tool_has_its_name_of_the_offer(choice: JsonObject, expected: JsonObject) -> None:
    assert responses(tools=[PATCH, GROUP], tool_choice=choice)["tool_choice"] == expected


def test_calls_of_the_history_are_those_of_functions() -> None:
    history: list[JsonValue] = [
        {"role": "user", "content": "go"},
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "c1",
            "name": "apply_patch",
            "input": "*** Begin",
        },
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {
            "type": "function_call",
            "call_id": "c2",
            "name": "open",
            "namespace": "browser",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "c2", "output": "open"},
    ]
    _, patch, patched, opened, opening = responses(input=history, tools=[PATCH, GROUP])["input"]
    assert patch == {
        "type": "function_call",
        "call_id": "c1",
        "name": "apply_patch",
        "arguments": '{"input":"*** Begin"}',
    }
    assert patched == {"type": "function_call_output", "call_id": "c1", "output": "done"}
    assert (opened["type"], opened["name"]) == ("function_call", "browser__open")
    assert "namespace" not in opened
    assert opening["type"] == "function_call_output"


@pytest.mark.parametrize(
    ("tool", "name", "arguments", "item"),
    [
        (
            PATCH,
            "apply_patch",
            '{"input":"*** Begin"}',
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin"},
        ),
        (
            GROUP,
            "browser__open",
            "{}",
            {"type": "function_call", "name": "open", "namespace": "browser", "arguments": "{}"},
        ),
    ],
)
def test_a_client_gets_the_call_it_offered(
    tool: JsonObject, name: str, arguments: str, item: JsonObject
) -> None:
    ctx = context("openai-response")
    sent("openai-response", {"input": "hi", "tools": [tool]}, ctx)
    call: JsonObject = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }
    answer: JsonObject = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "grok-4.3",
        "output": [call],
    }
    shown = by_id("openai-response").encode_response(DIALECT.decode_response(answer, ctx), ctx)
    [made] = shown["output"]
    assert {key: made[key] for key in item} == item


def test_nothing_is_stored_for_clients_that_carry_the_conversation() -> None:
    body = sent("openai", {"messages": [{"role": "user", "content": "hi"}]})
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert "store" not in responses()


def test_levels_of_other_vendors_move_to_the_nearest() -> None:
    for effort, level in (("xhigh", "high"), ("minimal", "low"), ("none", "none")):
        assert responses(reasoning={"effort": effort})["reasoning"] == {"effort": level}


def test_what_codex_says_about_itself_stays_here() -> None:
    assert "client_metadata" not in responses(client_metadata={"x": "y"})


def test_no_answer_passes_through() -> None:
    """It may have calls in it that the client knows by another form."""
    assert DIALECT.answers_as == ""
    assert DIALECT.endpoints == ()
