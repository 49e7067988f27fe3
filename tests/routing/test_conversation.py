"""Which requests belong to one conversation."""

import pytest

from cliproxy.routing.conversation import MAX_ID, conversation_mark
from cliproxy.wire.jsontext import JsonObject

UUID = "0b87c3ea-1111-4222-8333-944455556666"


def mark(body: JsonObject | None = None, client: str = "k", model: str = "m", **headers: str) -> bytes | None:
    named = {name.replace("__", "-"): value for name, value in headers.items()}
    return conversation_mark(client, model, named, body or {})


def chat(*said: str, system: str = "be kind") -> JsonObject:
    """A chat request: the user and the model in turns."""
    roles = ("user", "assistant")
    history = [{"role": roles[n % 2], "content": words} for n, words in enumerate(said)]
    return {"messages": [{"role": "system", "content": system}, *history]}


# --- names given by clients ---

BODIES: tuple[JsonObject, ...] = (
    {"metadata": {"user_id": f"user_1f_account__session_{UUID}"}},
    {"metadata": {"user_id": f'{{"device_id":"d","session_id":"{UUID}"}}'}},
    {"metadata": {"user_id": "somebody"}},
    {"session_id": UUID},
    {"sessionId": UUID},
    {"model": "m", "request": {"contents": [], "session_id": UUID}},
    {"prompt_cache_key": UUID},
    {"conversation": UUID},
    {"conversation": {"id": UUID}},
    {"conversation_id": UUID},
)
HEADERS = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "conversation_id",
    "x-session-id",
    "x-session-affinity",
)


@pytest.mark.parametrize("named", BODIES)
def test_an_id_in_the_body_tells_whatever_was_said(named: JsonObject) -> None:
    assert mark({**chat("one"), **named}) == mark({**chat("two"), **named}) is not None
    assert mark({**chat("one"), **named}) != mark(chat("one"))


@pytest.mark.parametrize("header", HEADERS)
def test_an_id_in_a_header_goes_before_the_body(header: str) -> None:
    found = conversation_mark("k", "m", {header: UUID}, {"prompt_cache_key": "one"})
    assert found == conversation_mark("k", "m", {header: UUID}, chat("other"))
    assert found != conversation_mark("k", "m", {header: "another"}, chat("other"))


def test_the_id_of_a_single_request_tells_nothing() -> None:
    one = conversation_mark("k", "m", {"x-client-request-id": "1"}, chat("hi"))
    assert one == conversation_mark("k", "m", {"x-client-request-id": "2"}, chat("hi"))


def test_a_session_in_the_name_of_a_user_goes_before_the_cache_key() -> None:
    user: JsonObject = {"user_id": f"u_session_{UUID}"}
    assert mark({"metadata": user, "prompt_cache_key": "1"}) == mark({"metadata": user})
    plain: JsonObject = {"user_id": "u"}
    assert mark({"metadata": plain, "prompt_cache_key": "1"}) == mark({"prompt_cache_key": "1"})


@pytest.mark.parametrize("odd", ["", "   ", "a\nb", "a\x00b", "x" * (MAX_ID + 1)])
def test_what_cannot_be_an_id_is_passed_over(odd: str) -> None:
    assert mark({"prompt_cache_key": odd, **chat("hi")}) == mark(chat("hi"))


@pytest.mark.parametrize("odd", [5, None, ["x"], {"id": 5}])
def test_members_of_another_type_are_passed_over(odd: object) -> None:
    names = ("session_id", "prompt_cache_key", "conversation", "conversation_id", "metadata", "request")
    assert mark({**chat("hi"), **dict.fromkeys(names, odd)}) == mark(chat("hi"))  # type: ignore[dict-item]


def test_a_user_that_is_broken_json_is_only_a_user() -> None:
    broken: JsonObject = {"metadata": {"user_id": '{"session_id": '}}
    assert mark({**broken, **chat("a")}) == mark({**broken, **chat("b")}) is not None


def test_clients_and_models_do_not_meet() -> None:
    marks = {mark(session_id=UUID, client=client, model=model) for client in "ab" for model in "mn"}
    assert len(marks) == 4


def test_parts_cannot_be_shifted_into_each_other() -> None:
    assert mark(session_id="c", client="ab", model="") != mark(session_id="c", client="a", model="b")


# --- told by the beginning ---


def test_a_conversation_is_told_by_its_beginning() -> None:
    first = mark(chat("hello"))
    assert first is not None
    assert mark(chat("hello", "hi!", "more")) == first
    assert mark(chat("hello", "hi!", "more", "yes", "still more")) == first
    assert mark(chat("goodbye")) != first
    assert mark(chat("hello", system="be rude")) != first


TURNS: tuple[tuple[JsonObject, JsonObject], ...] = (
    (
        {"system": "s", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "x", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "y"}]},
            ],
        },
    ),
    (
        {"instructions": "s", "input": "hi"},
        {"instructions": "s", "input": [{"role": "user", "content": "hi"}, {"type": "reasoning", "id": "r"}]},
    ),
    (
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
        {
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "name": "x", "arguments": "{}", "call_id": "1"},
                {"type": "function_call_output", "output": "y", "call_id": "1"},
            ]
        },
    ),
    (
        {"systemInstruction": {"parts": [{"text": "s"}]}, "contents": [{"parts": [{"text": "hi"}]}]},
        {
            "system_instruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"text": "yes"}]},
                {"role": "user", "parts": [{"text": "more"}]},
            ],
        },
    ),
    (
        {"request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}},
        {
            "request": {
                "contents": [
                    {"role": "user", "parts": [{"text": "hi"}]},
                    {"role": "model", "parts": [{"text": "yes"}]},
                ]
            }
        },
    ),
)


@pytest.mark.parametrize(("first", "second"), TURNS)
def test_in_every_dialect_the_second_turn_continues_the_first(first: JsonObject, second: JsonObject) -> None:
    assert mark(first) == mark(second) is not None


@pytest.mark.parametrize(
    "silent", [{}, {"messages": []}, {"messages": [{"role": "user", "content": []}]}, {"input": 7}]
)
def test_who_has_said_nothing_has_no_conversation(silent: JsonObject) -> None:
    assert mark(silent) is None
