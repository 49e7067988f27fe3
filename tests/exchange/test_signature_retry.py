"""A refused reasoning signature: the request is sent once more without any, and the record says so.

Each case is a request whose signature looks right and is not, and the words in which the vendor says so.
"""

import json
from typing import Any

import pytest
from attrs import frozen

from cliproxy.credentials.model import TokenSlot
from cliproxy.dialects.base import Action, ClientRequest
from cliproxy.errors import AttemptFailed, Failure, Kind, Scope, UpstreamError
from cliproxy.exchange.answer import answer_exchange
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.plan import Plan
from cliproxy.exchange.sending import UNSIGNED
from cliproxy.net.http import UpstreamStream
from cliproxy.wire.jsontext import JsonObject
from emulators.signing import claude_signature, gemini_signature, openai_encrypted
from support.exchange import Bottle, FakeContract, Reply, bottle, chat, json_reply, recorder_of, request

CLAUDE_SAYS = "messages.1.content.0: Invalid `signature` in `thinking` block"
GEMINI_SAYS = "Thought signature is not valid."


def claude_error(message: str) -> JsonObject:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def gemini_error(message: str) -> JsonObject:
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}


def openai_error(message: str, code: str | None) -> JsonObject:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


@frozen(kw_only=True)
class Case:
    """A dialect whose upstream refuses a signature."""

    body: JsonObject
    signature: str
    refusal: JsonObject
    answer: JsonObject


CLAUDE_SIGNED = claude_signature("other words")
CLAUDE_BODY: JsonObject = {
    "max_tokens": 3000,
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "why", "signature": CLAUDE_SIGNED},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"}]},
    ],
}
CLAUDE_ANSWER: JsonObject = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
GEMINI_SIGNED = gemini_signature("call")
GEMINI_BODY: JsonObject = {
    "contents": [
        {"role": "user", "parts": [{"text": "q"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": GEMINI_SIGNED}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "r"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f"}]}],
}
SEALED = openai_encrypted("why")
RESPONSES_BODY: JsonObject = {
    "input": [
        {"type": "message", "role": "user", "content": "q"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "r"},
    ],
}
RESPONSES_ANSWER: JsonObject = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}
CASES = {
    "claude": Case(
        body=CLAUDE_BODY, signature=CLAUDE_SIGNED, refusal=claude_error(CLAUDE_SAYS), answer=CLAUDE_ANSWER
    ),
    "gemini": Case(
        body=GEMINI_BODY,
        signature=GEMINI_SIGNED,
        refusal=gemini_error(GEMINI_SAYS),
        answer={
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}
            ]
        },
    ),
    "openai-response": Case(
        body=RESPONSES_BODY,
        signature=SEALED,
        refusal=openai_error(
            "The encrypted content gAAA...abcd could not be verified.", "invalid_encrypted_content"
        ),
        answer=RESPONSES_ANSWER,
    ),
}
MODELS = {"claude": "claude-sonnet-4-5", "gemini": "gemini-3-pro", "openai-response": "gpt-5"}


def world_of(dialect: str, *replies: Reply, **settings: Any) -> Bottle:
    contract = FakeContract(dialect=dialect, actions=(Action.GENERATE, Action.COUNT))
    return bottle(*replies, contracts=(contract,), **settings)


def asked(dialect: str, **overrides: object) -> ClientRequest:
    return request(CASES[dialect].body, dialect, **overrides)


def sent(world: Bottle) -> list[str]:
    return [call.body.decode() for call in world.upstreams.calls]


# --- what is sent again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", CASES)
async def test_a_refused_signature_costs_one_more_request_and_not_the_conversation(dialect: str) -> None:
    """On pass-through routes, too: the second request is decoded and repaired."""
    case = CASES[dialect]
    world = world_of(dialect, json_reply(case.refusal, 400), json_reply(case.answer), names="ab")
    answer = await answer_exchange(asked(dialect), world.deps)
    assert b"Hello" in answer.body
    first, second = sent(world)
    assert case.signature in first
    assert case.signature not in second
    assert world.hosts == ["a", "a"], "the same account is asked"


@pytest.mark.parametrize("dialect", CASES)
async def test_the_record_says_what_happened(dialect: str) -> None:
    case = CASES[dialect]
    world = world_of(dialect, json_reply(case.refusal, 400), json_reply(case.answer))
    await answer_exchange(asked(dialect), world.deps)
    [record] = world.records
    assert UNSIGNED in record.notes
    refused, answered = record.attempts
    assert refused.failure is not None
    assert (refused.failure.status, refused.failure.scope) == (400, Scope.REQUEST)
    assert answered.failure is None
    assert world.runtime.statistics()["states"] == 0, "nothing is held against the account"


async def test_claude_goes_on_with_an_open_call_without_thinking() -> None:
    """Its calls were made with the thoughts that are gone now, and it takes none made without."""
    case = CASES["claude"]
    world = world_of("claude", json_reply(case.refusal, 400), json_reply(case.answer))
    await answer_exchange(asked("claude"), world.deps)
    again = json.loads(sent(world)[1])
    assert "thinking" not in again
    assert [block["type"] for block in again["messages"][1]["content"]] == ["tool_use"]


async def test_gemini_gets_its_placeholder() -> None:
    case = CASES["gemini"]
    world = world_of("gemini", json_reply(case.refusal, 400), json_reply(case.answer))
    await answer_exchange(asked("gemini"), world.deps)
    assert "skip_thought_signature_validator" in sent(world)[1]


async def test_openai_forgets_the_items_that_belonged_to_the_reasoning() -> None:
    case = CASES["openai-response"]
    world = world_of("openai-response", json_reply(case.refusal, 400), json_reply(case.answer))
    await answer_exchange(asked("openai-response"), world.deps)
    again = json.loads(sent(world)[1])
    assert [item["type"] for item in again["input"]] == ["message", "function_call", "function_call_output"]
    assert "fc_1" not in sent(world)[1]


async def test_clients_of_another_dialect_are_served_the_same_way() -> None:
    """A Responses client that talks to a Claude model sends the model's signature back in its own slot."""
    body: JsonObject = {
        "input": [
            {"type": "message", "role": "user", "content": "q"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "why"}],
                "encrypted_content": f"claude#{CLAUDE_SIGNED}",
            },
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "message", "role": "user", "content": "v"},
        ]
    }
    case = CASES["claude"]
    world = world_of("claude", json_reply(case.refusal, 400), json_reply(case.answer))
    await answer_exchange(request(body, "openai-response"), world.deps)
    first, second = sent(world)
    assert CLAUDE_SIGNED in first
    assert CLAUDE_SIGNED not in second


@pytest.mark.parametrize(
    ("dialect", "refusal"),
    [
        ("claude", claude_error("messages.1.content.0: Invalid `data` in `redacted_thinking` block")),
        ("claude", claude_error("messages.1.content.0.thinking.signature: Field required")),
        ("claude", claude_error("invalid signature in thinking block")),
        (
            "claude",
            claude_error(
                "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant "
                "message cannot be modified. These blocks must remain as they were in the original response."
            ),
        ),
        ("gemini", gemini_error("Corrupted thought signature.")),
        ("gemini", gemini_error("Function call is missing a thought_signature in functionCall parts.")),
        ("openai-response", openai_error("x", "thinking_signature_invalid")),
        (
            "openai-response",
            openai_error(
                "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: "
                "'rs_1'.",
                None,
            ),
        ),
    ],
)
async def test_each_vendors_words_are_known(dialect: str, refusal: JsonObject) -> None:
    world = world_of(dialect, json_reply(refusal, 400), json_reply(CASES[dialect].answer))
    await answer_exchange(asked(dialect), world.deps)
    assert len(world.upstreams.calls) == 2


async def test_counting_is_repeated_as_well() -> None:
    world = world_of(
        "claude", json_reply(CASES["claude"].refusal, 400), json_reply({"input_tokens": 7}), names="a"
    )
    recorder = recorder_of(world, wanted := asked("claude", action=Action.COUNT, stream=False))

    async def count(stream: UpstreamStream, _plan: Plan) -> bytes:
        return await stream.read_all(1000)

    assert await Attempts(wanted, world.deps, recorder, count).run() == b'{"input_tokens":7}'


async def test_a_refusal_inside_a_successful_answer_counts() -> None:
    """As long as the client has received nothing, how the refusal came makes no difference."""
    case = CASES["claude"]
    world = world_of("claude", json_reply(case.answer), json_reply(case.answer))
    served: list[Plan] = []

    async def serve(stream: UpstreamStream, plan: Plan) -> bytes:
        served.append(plan)
        if len(served) == 1:
            failure = Failure(kind=Kind.INVALID_REQUEST, scope=Scope.REQUEST, message=CLAUDE_SAYS)
            raise AttemptFailed(failure)
        return await stream.read_all(10_000)

    wanted = asked("claude")
    await Attempts(wanted, world.deps, recorder_of(world, wanted), serve).run()
    assert [plan.passes_through for plan in served] == [True, False]


# --- what is not -----------------------------------------------------------------------------------------


async def refused(world: Bottle, wanted: ClientRequest) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await answer_exchange(wanted, world.deps)
    return caught.value


@pytest.mark.parametrize("dialect", CASES)
async def test_a_second_refusal_is_final_and_told_in_the_vendors_words(dialect: str) -> None:
    case = CASES[dialect]
    world = world_of(dialect, *[json_reply(case.refusal, 400)] * 2, names="ab")
    error = await refused(world, asked(dialect))
    assert error.status == 400
    assert error.native is not None
    assert json.loads(error.native.body) == case.refusal
    assert len(world.upstreams.calls) == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens: Field required"),
        (400, "messages.0: the signature of the contract is missing"),
        (401, CLAUDE_SAYS),
        (429, CLAUDE_SAYS),
        (500, CLAUDE_SAYS),
    ],
)
async def test_other_refusals_are_not_about_signatures(status: int, message: str) -> None:
    world = world_of("claude", json_reply(claude_error(message), status), tokens=None)
    world.tokens.can_renew = False
    await refused(world, asked("claude"))
    assert len(world.upstreams.calls) == 1


async def test_the_words_of_one_vendor_mean_nothing_at_another() -> None:
    world = world_of("openai", json_reply(openai_error(CLAUDE_SAYS, None), 400))
    await refused(world, chat(stream=False))
    assert len(world.upstreams.calls) == 1


async def test_a_translated_request_without_signatures_is_not_repeated_unchanged() -> None:
    world = world_of("claude", json_reply(CASES["claude"].refusal, 400))
    await refused(world, chat(stream=False))
    assert len(world.upstreams.calls) == 1


async def test_a_body_that_cannot_be_repaired_leaves_the_refusal_as_it_is() -> None:
    """What passes through need not be readable."""
    world = world_of("claude", json_reply(CASES["claude"].refusal, 400))
    error = await refused(world, request({"messages": [7]}, "claude"))
    assert "Invalid `signature`" in error.message
    assert len(world.upstreams.calls) == 1


async def test_a_renewed_token_comes_first_and_the_signature_next() -> None:
    case = CASES["claude"]
    world = world_of(
        "claude",
        json_reply(claude_error("expired"), 401),
        json_reply(case.refusal, 400),
        json_reply(case.answer),
    )
    await answer_exchange(asked("claude"), world.deps)
    tokens = [call.headers.get("authorization") for call in world.upstreams.calls]
    account = TokenSlot.ACCOUNT
    assert tokens == [f"Bearer a-{account}-{number}" for number in (0, 1, 1)]
