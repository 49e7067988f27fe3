"""Claude Code, Codex and Gemini CLI, word for word as they were seen on the wire, on every upstream.

``support.programs`` has the requests. Each test plays one program: it sends what the program sends, takes the
answer apart as the program does, and goes on with what it would send next. The upstreams refuse whatever
their vendors would refuse, and the bytes sent back must fit the vendors' grammars.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio

from emulators.scenario import THOUGHTS
from emulators.signing import claude_signature, openai_encrypted
from support.matrix import UPSTREAMS, Cell, World
from support.programs import (
    CLAUDE_CODE_AGENTS,
    CLAUDE_CODE_HEADERS,
    CLAUDE_CODE_PATH,
    CODEX_HEADERS,
    CODEX_PATH,
    CODEX_PROMPT,
    CODEX_TOOLS,
    JSON,
    SKIPPED,
    claude_code,
    claude_code_older,
    claude_code_result,
    claude_code_title,
    codex,
    codex_later,
    gemini_cli,
    gemini_cli_headers,
    gemini_cli_later,
    gemini_cli_path,
)

WITH_TOOLS: Final = [name for name in UPSTREAMS if name != "duo-text"]
OLDER: Final = ("gemini", True)
"""A Gemini model of before 3 takes no schema beside functions."""


@pytest.fixture
def pair(request: pytest.FixtureRequest, running_world: World) -> Iterator[Cell]:
    """A program's dialect and an upstream."""
    started = Cell(running_world, *request.param)
    yield started
    started.close()


def on_upstreams(client: str) -> pytest.MarkDecorator:
    """Play a program of a dialect on every upstream with tools."""
    return pytest.mark.parametrize(
        "pair", [(client, name) for name in WITH_TOOLS], ids=WITH_TOOLS, indirect=True
    )


def post(pair: Cell, path: str, headers: dict[str, str], body: JSON) -> list[JSON]:
    """Send a request and return the data of the events of its answer."""
    clients = pair.world.clients
    answer = clients.http.post(pair.world.server.url + path, headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    frames = clients.recorder.records[-1].frames()
    return [json.loads(frame.data) for frame in frames]


# --- Claude Code -------------------------------------------------------------------------------------------


def ask_claude(pair: Cell, body: JSON) -> tuple[list[JSON], str]:
    """Return the blocks of an answer, as Claude Code puts them together, and why it ended."""
    blocks: list[JSON] = []
    pieces: list[str] = []
    reason = ""
    for event in post(pair, CLAUDE_CODE_PATH, CLAUDE_CODE_HEADERS, body):
        match event:
            case {"type": "content_block_start", "content_block": block}:
                blocks.append(block)
                pieces = []
            case {
                "type": "content_block_delta",
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }:
                pieces.append(piece)
            case {"type": "content_block_delta", "delta": {"type": kind, **delta}}:
                name = kind.removesuffix("_delta")
                blocks[-1][name] = blocks[-1].get(name, "") + delta[name]
            case {"type": "content_block_stop"} if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads("".join(pieces) or "{}")
            case {"type": "message_delta", "delta": {"stop_reason": reason}}:
                pass
    return blocks, reason


@on_upstreams("claude")
def test_claude_code(pair: Cell) -> None:
    """A turn with a tool, as the newest form has it: a system message in the middle, adaptive thinking."""
    model = pair.upstream.model
    called = {"call": "Bash", "arguments": {"command": "ls"}}
    pair.turn(blocks=[{"thinking": THOUGHTS}, {"text": "I look."}, called])
    blocks, reason = ask_claude(pair, claude_code(model, "List the files"))
    assert reason == "tool_use"
    (call,) = [block for block in blocks if block["type"] == "tool_use"]
    assert call["input"] == {"command": "ls"}
    history = [{"role": "assistant", "content": blocks}, claude_code_result(call, "total 0")]
    body = claude_code(model, "List the files", *history)
    answered, reason = ask_claude(pair, body)
    assert reason == "end_turn"
    assert [block["text"] for block in answered if block["type"] == "text"] == ["The tool said: total 0"]
    first, second = pair.requests()
    said = "\n".join([*first.system, *(text for _, text in first.texts)])
    for text in (CLAUDE_CODE_AGENTS, "You are a Claude agent.", "You help with software.", "Today's date"):
        assert text in said
    assert first.is_streamed
    assert first.thinks
    assert first.tools.keys() == {"Bash", "AskUserQuestion"}
    assert first.tools["Bash"]["properties"].keys() == {"command", "timeout", "run_in_background"}
    assert second.results == [("Bash", "total 0")]
    assert second.errors == 0
    if pair.is_native:
        assert pair.log()[1].body["messages"] == body["messages"]
        assert pair.log()[1].header("anthropic-beta") is not None


@on_upstreams("claude")
def test_claude_code_asks_for_a_budget_one_below_the_limit(pair: Cell) -> None:
    blocks, reason = ask_claude(pair, claude_code_older(pair.upstream.model, "think and use the Bash tool"))
    assert reason == "tool_use"
    assert [block["name"] for block in blocks if block["type"] == "tool_use"] == ["Bash"]
    if pair.upstream.dialect == "claude":
        assert [block["signature"] for block in blocks if block["type"] == "thinking"] == [
            claude_signature(THOUGHTS)
        ]
    assert pair.request().thinks


TITLES: Final = [(name, tools) for name in WITH_TOOLS for tools in (False, True) if (name, tools) != OLDER]


@pytest.mark.parametrize(
    ("pair", "tools"), [(("claude", name), tools) for name, tools in TITLES], indirect=["pair"]
)
def test_claude_code_asks_for_a_title(pair: Cell, tools: bool) -> None:
    """In a schema, with thinking off and a temperature, which half of the models refuse."""
    blocks, reason = ask_claude(pair, claude_code_title(pair.upstream.model, tools=tools))
    assert reason == "end_turn"
    assert "".join(block.get("text", "") for block in blocks) == '{"title":"sample title"}'
    asked = pair.request()
    assert asked.schema is not None
    assert asked.schema["properties"].keys() == {"title"}
    assert not asked.thinks or pair.upstream_id in ALWAYS_THINKING
    assert asked.tools.keys() == ({"Bash"} if tools else set())


ALWAYS_THINKING: Final = {"openai", "gemini-new", "duo-chat", "duo-responses"}
"""Upstreams with models that can only be asked to think little."""


def test_a_schema_beside_tools_is_refused_by_older_gemini_models_with_their_words(
    running_world: World,
) -> None:
    """Leaving out either would change what the answer means."""
    clients = running_world.clients
    answer = clients.http.post(
        running_world.server.url + CLAUDE_CODE_PATH,
        headers=CLAUDE_CODE_HEADERS,
        json=claude_code_title("gemini-2.5-flash", tools=True),
    )
    clients.recorder.take()
    trio.run(running_world.emulators["gemini"].forget)
    assert answer.status_code == 400
    assert "Function calling with a response mime type" in answer.json()["error"]["message"]


def test_claude_code_looks_whether_somebody_is_there(running_world: World) -> None:
    """Without a key; any answer will do but a failure of the server."""
    assert httpx.head(running_world.server.url).status_code < 500


def test_claude_code_on_text_endpoints_is_told_why_not(running_world: World) -> None:
    """Its tools cannot be carried there, and it cannot work without them."""
    clients = running_world.clients
    answer = clients.http.post(
        running_world.server.url + CLAUDE_CODE_PATH,
        headers=CLAUDE_CODE_HEADERS,
        json=claude_code("duo-text", "Hello"),
    )
    clients.recorder.take()
    assert answer.status_code == 400
    assert "text only" in answer.json()["error"]["message"]


# --- Codex -------------------------------------------------------------------------------------------------


def ask_codex(pair: Cell, body: JSON) -> list[JSON]:
    """Return the finished items of an answer; the stream must have reached its end."""
    events = post(pair, CODEX_PATH, CODEX_HEADERS, body)
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["usage"]["total_tokens"] > 0
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


@on_upstreams("responses")
def test_codex(pair: Cell) -> None:
    """Two turns: what was thought and called goes back with ids, a status and ``content: null``."""
    model = pair.upstream.model
    prompt = "think and use exec_command"
    items = ask_codex(pair, codex(model, prompt))
    (call,) = [item for item in items if item["type"] == "function_call"]
    assert (call["name"], call.get("namespace")) == ("exec_command", None)
    assert call["status"] == "completed"
    later = codex_later(items, {"exec_command": "Exit code: 0\nOutput:\nhello"})
    answered = ask_codex(pair, codex(model, prompt, *later))
    (message,) = [item for item in answered if item["type"] == "message"]
    assert message["content"][0]["text"] == "The tool said: Exit code: 0\nOutput:\nhello"
    first, second = pair.requests()
    assert CODEX_PROMPT in "\n".join(first.system)
    assert first.texts[-1] == ("user", prompt)
    assert {"exec_command"} <= first.tools.keys()
    assert second.results == [("exec_command", "Exit code: 0\nOutput:\nhello")]
    seen = pair.log()[1].body
    assert "client_metadata" not in seen
    if pair.is_native:
        assert seen["tools"] == CODEX_TOOLS
        assert openai_encrypted(THOUGHTS) in str(seen)


@on_upstreams("responses")
def test_codex_calls_a_tool_of_a_namespace(pair: Cell) -> None:
    """The upstream knows it by one name; Codex is told the namespace and the name in it."""
    model = pair.upstream.model
    ask_codex(pair, codex(model, "Hello"))
    (asked,) = pair.requests()
    flat = [name for name in asked.tools if "spawn_agent" in name] or ["spawn_agent"]
    assert len(flat) == 1
    call: dict[str, Any] = {"call": flat[0], "arguments": {"message": "go"}}
    pair.turn(blocks=[call])
    items = ask_codex(pair, codex(model, "Spawn"))
    (called,) = [item for item in items if item["type"] == "function_call"]
    assert called["name"] == "spawn_agent"
    if not pair.is_native:
        assert called["namespace"] == "multi_agent_v1"
        later = codex_later(items, {"spawn_agent": "done"})
        ask_codex(pair, codex(model, "Spawn", *later))
        assert pair.requests()[-1].results == [(flat[0], "done")]


# --- Gemini CLI --------------------------------------------------------------------------------------------


def ask_gemini(pair: Cell, body: JSON) -> tuple[list[JSON], str]:
    """Return the parts of an answer, and why it ended."""
    model = pair.upstream.model
    chunks = post(pair, gemini_cli_path(model), gemini_cli_headers(model), body)
    candidates = [candidate for chunk in chunks for candidate in chunk["candidates"]]
    parts = [part for each in candidates for part in each.get("content", {}).get("parts", [])]
    return parts, candidates[-1]["finishReason"]


@on_upstreams("gemini")
def test_gemini_cli(pair: Cell) -> None:
    """Two turns: schemas in ``parametersJsonSchema``, three sampling settings at once, placeholders as
    signatures."""
    prompt = "think and use run_shell_command"
    parts, reason = ask_gemini(pair, gemini_cli(prompt))
    assert reason == "STOP"
    (called,) = [part["functionCall"] for part in parts if "functionCall" in part]
    assert called["name"] == "run_shell_command"
    assert called["args"]["command"] == "sample command"
    answered, reason = ask_gemini(pair, gemini_cli(prompt, *gemini_cli_later(parts, "total 0")))
    text = "".join(part.get("text", "") for part in answered if not part.get("thought"))
    assert text == "The tool said: total 0"
    first, second = pair.requests()
    assert "You are Gemini CLI." in "\n".join(first.system)
    schema = first.tools["run_shell_command"]
    assert schema["properties"].keys() == {"command", "mode", "limit", "name"}
    assert schema["required"] == ["command"]
    assert first.thinks
    assert second.results == [("run_shell_command", "total 0")]
    if pair.upstream.dialect == "claude":
        assert first.temperature is None or first.top_p is None
        assert first.top_k is None
    if pair.upstream.dialect != "gemini":
        assert SKIPPED not in str(pair.log()[1].body)
