"""The demo model's answers on the wire."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.providers.demo.model import demo_answer
from support.frames import parse

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    },
    {"type": "custom", "custom": {"name": "apply_patch"}},
]


def body(text: str, **members: object) -> bytes:
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": text}], **members}).encode()


def chunks_of(request: bytes) -> list[dict]:
    """Return the JSON of a stream that ends properly."""
    frames = parse(demo_answer(request, stream=True).body)
    assert frames[-1].data == b"[DONE]"
    return [json.loads(frame.data) for frame in frames[:-1]]


def joined(chunks: list[dict], member: str) -> str:
    return "".join(c["choices"][0]["delta"].get(member) or "" for c in chunks if c["choices"])


def test_whole_answer():
    answer = demo_answer(body("hello"), stream=False)
    assert (answer.status, answer.headers.get("content-type")) == (200, "application/json")
    [choice] = json.loads(answer.body)["choices"]
    assert choice["finish_reason"] == "stop"
    assert "demo" in choice["message"]["content"]


@pytest.mark.parametrize("text", ["hello", "think", "long", "json", "tool", "tool apply_patch", "parallel"])
def test_stream_adds_up_to_the_whole_answer(text):
    request = body(text, tools=TOOLS)
    whole = json.loads(demo_answer(request, stream=False).body)
    chunks = chunks_of(request)
    [choice] = whole["choices"]
    message = choice["message"]
    assert {chunk["id"] for chunk in chunks} == {whole["id"]}
    assert joined(chunks, "content") == (message["content"] or "")
    assert joined(chunks, "reasoning_content") == message.get("reasoning_content", "")
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    calls = [part for c in chunks for part in c["choices"][0]["delta"].get("tool_calls", ())]
    for index, call in enumerate(message.get("tool_calls", ())):
        mine = [part for part in calls if part["index"] == index]
        kind, member = call["type"], "input" if call["type"] == "custom" else "arguments"
        assert mine[0]["id"] == call["id"]
        assert mine[0][kind]["name"] == call[kind]["name"]
        assert "".join(part[kind][member] for part in mine) == call[kind][member]


def test_usage_in_a_stream_only_if_asked_for():
    asked = chunks_of(body("hello", stream_options={"include_usage": True}))
    assert asked[-1]["choices"] == []
    usage = asked[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert all(chunk["choices"] for chunk in chunks_of(body("hello")))


def test_thoughts_are_counted_as_part_of_the_completion():
    usage = json.loads(demo_answer(body("think"), stream=False).body)["usage"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_truncated_answer_says_so():
    [choice] = json.loads(demo_answer(body("hello", max_tokens=2), stream=False).body)["choices"]
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_error_with_a_status(stream):
    answer = demo_answer(body("error 429"), stream=stream)
    assert (answer.status, answer.headers.get("retry-after")) == (429, "1")
    assert json.loads(answer.body)["error"]["type"] == "rate_limit_error"
    assert json.loads(demo_answer(body("error 502"), stream=stream).body)["error"]["type"] == "server_error"


@pytest.mark.parametrize("stream", [False, True])
def test_request_that_makes_no_sense(stream):
    answer = demo_answer(b'{"model":"demo"}', stream=stream)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["param"] == "messages"


def test_error_in_mid_stream():
    frames = parse(demo_answer(body("error mid"), stream=True).body)
    assert "choices" in json.loads(frames[-2].data)
    assert "error" in json.loads(frames[-1].data)
    assert demo_answer(body("error mid"), stream=False).status == 500


def test_stream_that_breaks_off():
    frames = parse(demo_answer(body("error cut"), stream=True).body)
    assert json.loads(frames[-1].data)["choices"][0]["finish_reason"] is None


def test_slow_stream_pauses_before_every_word():
    pauses = [
        pause for pause, data in demo_answer(body("slow"), stream=True).chunks if b'"content":" ' in data
    ]
    assert len(pauses) > 10
    assert set(pauses) == {0.2}
    assert demo_answer(body("slow"), stream=False).chunks[0][0] == pytest.approx(0.2 * (len(pauses) + 1))


def test_same_request_same_bytes():
    assert demo_answer(body("tool", tools=TOOLS), stream=True) == demo_answer(
        body("tool", tools=TOOLS), stream=True
    )


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_get_an_answer(data, stream):
    assert demo_answer(data, stream=stream).status in {200, 400}


@given(st.text(max_size=80), st.booleans())
def test_any_prompt_gets_an_answer(text, stream):
    assert demo_answer(body(text, tools=TOOLS), stream=stream).chunks
