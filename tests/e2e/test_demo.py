"""The demo server and the vendors' own packages: every dialect, streamed and not, with a tool
conversation.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2 as httpx
import openai
import pytest
from google import genai
from google.genai import types as genai_types

from support.server import Server, running

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PROMPT = "Please use the tool get_weather."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("demo"), "-demo") as started:
        yield started


@pytest.fixture
def openai_client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def genai_client(server: Server) -> Iterator[genai.Client]:
    options = genai_types.HttpOptions(base_url=server.url)
    with genai.Client(api_key="unused", vertexai=False, http_options=options) as client:
        yield client


def test_the_models_are_labelled_as_a_demo_in_every_shape(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, genai_client: genai.Client
) -> None:
    listed = {model.id: model.owned_by for model in openai_client.models.list()}
    assert listed["demo"] == "cliproxy-demo"
    assert "not a real model" in next(
        m.display_name for m in anthropic_client.models.list() if m.id == "demo"
    )
    names = {model.name: model.display_name for model in genai_client.models.list()}
    assert "not a real model" in str(names["models/demo"])
    assert openai_client.models.retrieve("demo").id == "demo"


def test_the_greeting_says_where_it_is_and_what_to_try(server: Server) -> None:
    assert "this machine only" in "".join(server.greeting)


def test_openai_chat_in_two_turns_with_a_tool(openai_client: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    messages: list[dict[str, object]] = [{"role": "user", "content": PROMPT}]
    with openai_client.chat.completions.stream(model="demo", messages=messages, tools=[tool]) as stream:
        first = stream.get_final_completion().choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert json.loads(call.function.arguments)["city"]
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
    ]
    second = openai_client.chat.completions.create(model="demo", messages=messages, tools=[tool])
    assert "21 degrees" in second.choices[0].message.content
    assert second.choices[0].finish_reason == "stop"


def test_openai_responses_in_two_turns_with_a_tool(openai_client: openai.OpenAI) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}
    history: list[object] = [{"role": "user", "content": PROMPT}]
    with openai_client.responses.stream(model="demo", input=history, tools=[tool]) as stream:
        first = stream.get_final_response()
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments)["city"]
    history += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"},
    ]
    second = openai_client.responses.create(model="demo", input=history, tools=[tool])
    assert second.status == "completed"
    assert "21 degrees" in second.output_text


def test_claude_messages_in_two_turns_with_a_tool(anthropic_client: anthropic.Anthropic) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER}
    messages: list[dict[str, object]] = [{"role": "user", "content": PROMPT}]
    with anthropic_client.messages.stream(
        model="demo", max_tokens=500, messages=messages, tools=[tool]
    ) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert call.input["city"]
    messages += [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}],
        },
    ]
    second = anthropic_client.messages.create(model="demo", max_tokens=500, messages=messages, tools=[tool])
    assert second.stop_reason == "end_turn"
    assert "21 degrees" in second.content[0].text
    assert second.usage.input_tokens > 0


def test_gemini_in_two_turns_with_a_tool(genai_client: genai.Client) -> None:
    declaration = genai_types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)
    config = genai_types.GenerateContentConfig(
        tools=[genai_types.Tool(function_declarations=[declaration])],
        automatic_function_calling=genai_types.AutomaticFunctionCallingConfig(disable=True),
    )
    history = [genai_types.Content(role="user", parts=[genai_types.Part(text=PROMPT)])]
    chunks = list(genai_client.models.generate_content_stream(model="demo", contents=history, config=config))
    (call,) = [call for chunk in chunks for call in chunk.function_calls or []]
    assert call.args["city"]
    answer = genai_types.FunctionResponse(name=call.name, id=call.id, response={"result": "21 degrees"})
    history += [
        genai_types.Content(role="model", parts=[genai_types.Part(function_call=call)]),
        genai_types.Content(role="user", parts=[genai_types.Part(function_response=answer)]),
    ]
    second = genai_client.models.generate_content(model="demo", contents=history, config=config)
    assert "21 degrees" in second.text
    assert second.usage_metadata.total_token_count > 0


def test_thinking_reaches_every_dialect(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, genai_client: genai.Client
) -> None:
    prompt = "think about it"
    claude = anthropic_client.messages.create(
        model="demo",
        max_tokens=4000,
        messages=[{"role": "user", "content": prompt}],
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    assert [block.type for block in claude.content] == ["thinking", "text"]
    response = openai_client.responses.create(
        model="demo", input=prompt, reasoning={"effort": "low", "summary": "auto"}
    )
    assert [item.type for item in response.output] == ["reasoning", "message"]
    config = genai_types.GenerateContentConfig(
        thinking_config=genai_types.ThinkingConfig(include_thoughts=True)
    )
    parts = (
        genai_client.models.generate_content(model="demo", contents=prompt, config=config)
        .candidates[0]
        .content.parts
    )
    assert [bool(part.thought) for part in parts] == [True, False]


def test_token_counts(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, genai_client: genai.Client
) -> None:
    assert openai_client.responses.input_tokens.count(model="demo", input="hello there").input_tokens > 0
    counted = anthropic_client.messages.count_tokens(
        model="demo", messages=[{"role": "user", "content": "hello there"}]
    )
    assert counted.input_tokens > 0
    assert genai_client.models.count_tokens(model="demo", contents="hello there").total_tokens > 0


def test_errors_are_the_vendors_own(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError) as lost:
        anthropic_client.messages.create(
            model="nope", max_tokens=5, messages=[{"role": "user", "content": "x"}]
        )
    assert lost.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(openai.RateLimitError):
        openai_client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "error 429"}]
        )


def test_every_answer_carries_a_request_id(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
        assert len(client.get("/healthz", headers={"X-Request-Id": "bad id!"}).headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("HEAD", "/v1/models", 200),
        ("OPTIONS", "/v1/chat/completions", 204),
        ("OPTIONS", "/nowhere", 204),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/chat/completions", 404),
        ("PUT", "/v1/messages", 404),
        ("POST", "/v1beta/models/demo:sing", 404),
        ("POST", "/api/event_logging/batch", 200),
    ],
)
def test_routes(server: Server, method: str, path: str, status: int) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.request(method, path, json={} if method == "POST" else None).status_code == status


ROUTES = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "claude": "/v1/messages?beta=true",
    "gemini": "/v1beta/models/demo:generateContent",
}


def error_message(dialect: str, body: dict[str, object]) -> str:
    """Check an error's shape and return its message."""
    error = body["error"]
    assert isinstance(error, dict)
    if dialect == "claude":
        assert body["type"] == "error"
        assert set(error) >= {"type", "message"}
    elif dialect == "gemini":
        assert set(error) >= {"code", "message", "status"}
    else:
        assert set(error) >= {"message", "type", "code", "param"}
    return str(error["message"])


@pytest.mark.parametrize("dialect", ROUTES)
@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        pytest.param(b"{", "application/json", 400, id="malformed"),
        pytest.param(b"", "application/json", 400, id="empty"),
        pytest.param(b"[]", "application/json", 400, id="not an object"),
        pytest.param(b'{"model":"\xff"}', "application/json", 400, id="invalid UTF-8"),
        pytest.param(b'{"a":' * 5000, "application/json", 400, id="nested"),
        pytest.param(b'{"model":"demo"}', "application/json", 400, id="nothing to say"),
        pytest.param(
            b'{"model":"demo","messages":7,"input":7,"contents":7}', "application/json", 400, id="wrong types"
        ),
        pytest.param(b"model=demo", "application/x-www-form-urlencoded", 415, id="form"),
        pytest.param(b"x" * (2 * 1024 * 1024), "application/json", 413, id="too large"),
    ],
)
def test_bad_input_is_refused_in_the_clients_dialect(
    small: Server,
    dialect: str,
    content: bytes,
    kind: str,
    status: int,
) -> None:
    """And the connection can be used again."""
    with httpx.Client(base_url=small.url, trust_env=False) as client:
        answer = client.post(ROUTES[dialect], content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
        assert error_message(dialect, answer.json())
        assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a small body limit and a client key that is not asked for by ``/healthz``."""
    with running(tmp_path_factory.mktemp("small"), "-demo", config="limits:\n  body-mb: 1\n") as started:
        yield started


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = "host: 127.0.0.1\napi-keys:\n  - sk-test-0123456789abcdef\n"
    with running(tmp_path_factory.mktemp("keyed"), "-demo", config=config) as started:
        yield started


@pytest.mark.parametrize("dialect", ROUTES)
def test_a_missing_or_wrong_key_is_refused_in_the_clients_dialect(keyed: Server, dialect: str) -> None:
    with httpx.Client(base_url=keyed.url, trust_env=False) as client:
        missing = client.post(ROUTES[dialect], json={"model": "demo"})
        wrong = client.post(
            ROUTES[dialect], json={"model": "demo"}, headers={"x-api-key": "sk-wrong-123456789"}
        )
    assert (missing.status_code, wrong.status_code) == (401, 401)
    assert "Missing API key" in error_message(dialect, missing.json())
    assert "Invalid API key" in error_message(dialect, wrong.json())
    assert "sk-wrong" not in keyed.log()


def test_a_valid_key_is_accepted_and_never_logged(keyed: Server) -> None:
    key = "sk-test-0123456789abcdef"
    with httpx.Client(base_url=keyed.url, trust_env=False) as client:
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.get(f"/v1beta/models?key={key}").status_code == 200
    assert key not in keyed.log()


def test_a_stop_signal_ends_the_server_cleanly(tmp_path: Path) -> None:
    with running(tmp_path, "-demo") as started:
        assert started.stop() == 0
