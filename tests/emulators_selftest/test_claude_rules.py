"""What the Claude emulator turns down, each with the vendor's status and words."""

import pytest

from emulators.claude import Claude
from emulators.signing import claude_signature, gemini_signature, openai_encrypted
from support.refusals import refusal

HEADERS = {
    "content-type": "application/json",
    "x-api-key": "sk-ant-test",
    "anthropic-version": "2023-06-01",
}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
USER = {"role": "user", "content": "hi"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


def turn(role, *blocks):
    return {"role": role, "content": list(blocks)}


def text(value="x"):
    return {"type": "text", "text": value}


def use(call_id="t1", **changes):
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}, **changes}


def result(call_id="t1", **changes):
    return {"type": "tool_result", "tool_use_id": call_id, "content": "ok", **changes}


def thinking(value="thought", signature=None):
    signed = claude_signature(value) if signature is None else signature
    return {"type": "thinking", "thinking": value, "signature": signed}


def ask(path="/v1/messages", headers=HEADERS, **changes):
    body = {"model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": [USER], **changes}
    body = {key: value for key, value in body.items() if value is not ...}
    return refusal(Claude(lambda: 0.0), path, body, headers)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"x-api-key": None}, 401, "x-api-key header is required"),
        ({"x-api-key": "wrong"}, 401, "invalid x-api-key"),
        ({"x-api-key": None, "authorization": "Bearer sk-ant-oat01-x"}, 401, "OAuth authentication"),
        ({"anthropic-version": None}, 400, "anthropic-version: header is required"),
        ({"anthropic-version": "2020-01-01"}, 400, "is not a valid version"),
        ({"anthropic-beta": "something"}, 400, "Unexpected value(s)"),
        ({"content-type": "text/plain"}, 400, "Content-Type"),
    ],
)
def test_headers(changes, status, words):
    headers = {key: value for key, value in {**HEADERS, **changes}.items() if value is not None}
    found = ask(headers=headers)
    assert found is not None
    assert found[0] == status
    assert words in found[1]


def test_an_oauth_token_needs_its_beta():
    headers = {**HEADERS, "authorization": "Bearer sk-ant-oat01-x", "anthropic-beta": "oauth-2025-04-20"}
    del headers["x-api-key"]
    assert ask(headers=headers) is None


PAIR = [USER, turn("assistant", use()), turn("user", result())]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": PAIR, "tools": [TOOL]},
        {"messages": [USER, turn("assistant", text(), use()), turn("user", result(), text())]},
        {"messages": [USER, turn("assistant", thinking(), text()), USER]},
        {
            "messages": [USER, turn("assistant", thinking(), use()), turn("user", result())],
            "thinking": BUDGET,
        },
        {"messages": [USER, turn("assistant", thinking("", claude_signature("hidden")), text()), USER]},
        {"messages": [turn("user", {**text(), "cache_control": {"type": "ephemeral", "ttl": "1h"}})]},
        {"messages": [USER, turn("assistant", text("prefill"))]},
        {"thinking": BUDGET, "temperature": 1},
        {"model": "claude-opus-4-8", "thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"messages": [*PAIR[:2], turn("user", result(content=[text()], is_error=False))]},
    ],
)
def test_good_requests(body):
    assert ask(**body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": 10**6}, "which is the maximum allowed number of output tokens"),
        ({"top_x": 1}, "top_x: Extra inputs are not permitted"),
        ({"betas": []}, "betas: Extra inputs are not permitted"),
        ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
        ({"metadata": {"other": 1}}, "metadata.other: Extra inputs are not permitted"),
        ({"model": "claude-99"}, "model: claude-99"),
        ({"messages": []}, "messages: array should have at least 1"),
        ({"messages": [turn("assistant", text())]}, 'first message must use the "user" role'),
        ({"messages": [turn("tool", text())]}, 'Unexpected role "tool"'),
        ({"messages": [turn("system", text()), USER]}, 'Unexpected role "system"'),
        ({"messages": [turn("user", text(""))]}, "non-empty"),
        ({"messages": [turn("user", text("  ")), USER]}, "non-whitespace text"),
        ({"messages": [turn("user")]}, "must have non-empty content"),
        ({"messages": [turn("user", use())]}, "messages.0.content.0.type"),
        ({"messages": [USER, turn("assistant", use())]}, "`tool_use` ids were found without"),
        ({"messages": [USER, turn("assistant", use()), USER]}, "`tool_use` ids were found without"),
        ({"messages": [USER, turn("assistant", use()), turn("user", text(), result())]}, "immediately after"),
        ({"messages": [turn("user", result())]}, "unexpected `tool_use_id` found"),
        ({"messages": [*PAIR, *PAIR[1:]]}, "`tool_use` ids must be unique"),
        ({"messages": [USER, turn("assistant", use()), turn("user", result(), result())]}, "multiple"),
        ({"messages": [USER, turn("assistant", use("a.b")), turn("user", result("a.b"))]}, "match pattern"),
        (
            {"messages": [USER, turn("assistant", use(input="{}")), turn("user", result())]},
            "valid dictionary",
        ),
        ({"messages": [USER, turn("assistant", thinking(signature="")), USER]}, "Invalid `signature`"),
        (
            {"messages": [USER, turn("assistant", thinking(signature=gemini_signature("thought"))), USER]},
            "Invalid `signature`",
        ),
        (
            {"messages": [USER, turn("assistant", thinking(signature=openai_encrypted("thought"))), USER]},
            "Invalid `signature`",
        ),
        (
            {"messages": [USER, turn("assistant", thinking("other", claude_signature("thought"))), USER]},
            "Invalid `signature`",
        ),
        ({"messages": [USER, turn("assistant", text(), thinking()), USER]}, "the first block must be"),
        ({"messages": PAIR, "thinking": BUDGET}, "Expected `thinking` or `redacted_thinking`"),
        ({"messages": [USER, turn("assistant", text("end "))]}, "trailing whitespace"),
        (
            {"messages": [USER, turn("assistant", text())], "model": "claude-opus-4-6"},
            "does not support assistant message prefill",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 512}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater than"),
        ({"thinking": BUDGET, "temperature": 0.5}, "may only be set to 1"),
        ({"thinking": BUDGET, "top_k": 4}, "`top_k` must be unset"),
        ({"thinking": BUDGET, "tools": [TOOL], "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported"),
        ({"thinking": BUDGET, "model": "claude-opus-4-7"}, 'Use "thinking.type.adaptive"'),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        ({"temperature": 0.5, "model": "claude-opus-4-8"}, "`temperature` is deprecated for this model"),
        ({"temperature": 1.5}, "less than or equal to 1"),
        ({"output_config": {"effort": "low"}}, "does not support the effort parameter"),
        ({"stop_sequences": [" "]}, "non-whitespace"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "tools.0.custom.name: String should match pattern"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [{**TOOL, "input_schema": {}}]}, "input_schema.type: Field required"),
        (
            {"tools": [{**TOOL, "input_schema": {"type": "object", "anyOf": []}}]},
            "does not support oneOf, allOf, or anyOf",
        ),
        ({"tools": [{**TOOL, "parameters": {}}]}, "parameters: Extra inputs are not permitted"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "not found in provided tools"),
        ({"tool_choice": {"type": "auto"}}, "only be specified while providing tools"),
        (
            {"messages": [turn("user", *({**text(), "cache_control": {"type": "ephemeral"}},) * 5)]},
            "A maximum of 4 blocks",
        ),
        (
            {
                "system": [{**text(), "cache_control": {"type": "ephemeral"}}],
                "messages": [turn("user", {**text(), "cache_control": {"type": "ephemeral", "ttl": "1h"}})],
            },
            "must not come after",
        ),
        (
            {
                "messages": [
                    turn(
                        "user",
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/bmp", "data": "aaaa"},
                        },
                    )
                ]
            },
            "media_type: Input should be",
        ),
    ],
)
def test_bad_requests(body, words):
    found = ask(**body)
    assert found is not None
    assert words in found[1]


def test_counting_takes_no_max_tokens():
    path = "/v1/messages/count_tokens"
    assert ask(path, max_tokens=...) is None
    assert "max_tokens: Extra inputs" in ask(path)[1]


def test_betas_open_their_fields():
    headers = {
        **HEADERS,
        "anthropic-beta": "context-management-2025-06-27,mid-conversation-system-2026-04-07",
    }
    later = [USER, turn("system", text("note"))]
    assert ask(headers=headers, context_management={"edits": []}, messages=later) is None


def test_the_newest_api_version_has_no_sampling():
    headers = {**HEADERS, "anthropic-version": "2026-10-21"}
    assert ask(headers=headers) is None
    assert "temperature: Extra inputs" in ask(headers=headers, temperature=1)[1]
