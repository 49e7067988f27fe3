"""Reasoning of the past on its way back: only who made a signature sees it again, and calls that were begun
without thoughts are gone on with without them."""

from typing import Any

import pytest
from hypothesis import assume, given

from cliproxy.dialects.claude import DIALECT
from cliproxy.dialects.claude.request import encode_request
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import (
    Family,
    IRRequest,
    Message,
    Part,
    Reasoning,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.wire.jsontext import JsonObject
from support.factories import make_context
from support.ir_strategies import requests


def encoded(*messages: Message, family: Family = Family.CLAUDE, **members: Any) -> JsonObject:
    """Repair and encode a request that came from another dialect."""
    ctx = make_context(upstream_dialect="claude", upstream_family=family)
    request = IRRequest(model="m", messages=[*messages], **members)
    return encode_request(normalise(request, DIALECT.rules, ctx), ctx)


def user(*parts: Part) -> Message:
    return Message("user", [*parts])


def assistant(*parts: Part) -> Message:
    return Message("assistant", [*parts])


U = user(Text("u"))


def replayed(*parts: Part, family: Family = Family.CLAUDE) -> list[JsonObject]:
    body = encoded(U, assistant(*parts), user(Text("v")), family=family)
    messages = body["messages"]
    assert isinstance(messages, list)
    return [b for m in messages if m["role"] == "assistant" for b in m["content"]]  # type: ignore[index,call-overload,union-attr]


OWN = Signature("s", Family.CLAUDE)
FOREIGN = Signature("s", Family.GPT)
A: JsonObject = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("thought", "family", "blocks"),
    [
        (Thinking("t", OWN), Family.CLAUDE, [{"type": "thinking", "thinking": "t", "signature": "s"}]),
        (Thinking("t", OWN), Family.UNKNOWN, [{"type": "thinking", "thinking": "t", "signature": "s"}]),
        (Thinking("", OWN), Family.CLAUDE, [{"type": "thinking", "thinking": "", "signature": "s"}]),
        (Thinking("t", FOREIGN), Family.CLAUDE, []),
        (Thinking("t"), Family.CLAUDE, []),
        (Thinking("t", FOREIGN), Family.KIMI, [{"type": "thinking", "thinking": "t"}]),
        (Thinking("t"), Family.KIMI, [{"type": "thinking", "thinking": "t"}]),
        (Thinking("", FOREIGN), Family.KIMI, []),
        (Thinking(redacted=OWN), Family.CLAUDE, [{"type": "redacted_thinking", "data": "s"}]),
        (Thinking(redacted=FOREIGN), Family.CLAUDE, []),
        (Thinking(redacted=OWN), Family.KIMI, []),
    ],
)
def test_only_the_makers_model_sees_its_reasoning_again(
    thought: Thinking, family: Family, blocks: list[JsonObject]
) -> None:
    assert replayed(thought, Text("a"), family=family) == [*blocks, A]


def test_signatures_of_other_parts_are_never_sent() -> None:
    gem = Signature("Z2VtaW5p", Family.GEMINI)
    said = replayed(Text("a", signature=gem), ToolCall("c", "f", "", signature=gem))
    assert "Z2VtaW5p" not in str(said)


@given(requests())
def test_a_signature_never_reaches_who_did_not_make_it(request: IRRequest) -> None:
    for family in (Family.CLAUDE, Family.KIMI):
        ctx = make_context(upstream_dialect="claude", upstream_family=family)
        foreign = [
            mark.value
            for message in request.messages
            for part in message.parts
            for name in ("signature", "redacted")
            if isinstance(mark := getattr(part, name, None), Signature) and mark.family is not family
        ]
        own = [
            mark.value
            for message in request.messages
            for part in message.parts
            for name in ("signature", "redacted")
            if isinstance(mark := getattr(part, name, None), Signature) and mark.family is family
        ]
        assume(not set(own) & set(foreign))
        ready = normalise(request, DIALECT.rules, ctx)
        assume(ready.messages)
        sent = [
            block.get("signature") or block.get("data")
            for message in encode_request(ready, ctx)["messages"]  # type: ignore[union-attr]
            for block in message["content"]  # type: ignore[index,call-overload,union-attr]
            if block["type"] in {"thinking", "redacted_thinking"}  # type: ignore[index,call-overload]
        ]
        assert not set(sent) & set(foreign)


def test_merged_turn_begins_with_its_thoughts() -> None:
    assert [block["type"] for block in replayed(Text("a"), Thinking("t", OWN), ToolCall("c", "f", ""))] == [
        "thinking",
        "text",
        "tool_use",
    ]


def test_order_of_a_turn_that_begins_with_thoughts_is_the_models_own() -> None:
    parts = (Thinking("t", OWN), Text("a"), Thinking("u", OWN), Text("b"))
    assert [block["type"] for block in replayed(*parts)] == ["thinking", "text", "thinking", "text"]


CALL, RESULT = ToolCall("c", "f", ""), ToolResult("c", [Text("r")])
NEXT_CALL, NEXT_RESULT = ToolCall("d", "f", ""), ToolResult("d", [Text("r")])
THOUGHT = Thinking("t", OWN)


@pytest.mark.parametrize(
    ("messages", "keeps"),
    [
        ([U, assistant(CALL), user(RESULT)], False),
        ([U, assistant(CALL), user(RESULT, Text("and"))], False),
        ([U, assistant(THOUGHT, CALL), user(RESULT)], True),
        ([U, assistant(THOUGHT, CALL), user(RESULT), assistant(NEXT_CALL), user(NEXT_RESULT)], True),
        ([U, assistant(CALL), user(RESULT), assistant(NEXT_CALL), user(NEXT_RESULT)], False),
        ([U, assistant(THOUGHT, Text("a")), U, assistant(CALL), user(RESULT)], False),
        ([U, assistant(CALL), user(RESULT), assistant(Text("a")), U], True),
        ([U, assistant(Text("a"))], True),
        ([U], True),
    ],
)
def test_calls_made_without_thinking_are_finished_without_thinking(
    messages: list[Message], keeps: bool
) -> None:
    body = encoded(*messages, reasoning=Reasoning(budget=2048))
    assert ("thinking" in body) is keeps


def test_loop_that_begins_the_conversation() -> None:
    request = IRRequest(model="m", messages=[assistant(CALL), user(RESULT)], reasoning=Reasoning(budget=2048))
    assert "thinking" not in encode_request(request, make_context(upstream_dialect="claude"))


def test_adaptive_thinking_does_not_mind_calls_made_without() -> None:
    body = encoded(U, assistant(CALL), user(RESULT), reasoning=Reasoning(adaptive=True))
    assert body["thinking"] == {"type": "adaptive"}


def test_note_of_the_system_between_turns_does_not_end_the_loop() -> None:
    ctx = make_context(client_dialect="claude", upstream_dialect="claude", upstream_family=Family.CLAUDE)
    note = Message("system", [Text("n")], "reminder")
    request = IRRequest(
        model="m", messages=[U, assistant(CALL), user(RESULT), note], reasoning=Reasoning(budget=2048)
    )
    body = encode_request(request, ctx)
    assert "thinking" not in body
    assert body["messages"][-1] == {"role": "system", "content": [{"type": "text", "text": "n"}]}  # type: ignore[index,call-overload]
