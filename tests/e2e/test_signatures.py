"""Reasoning signatures that a strict upstream does not take: the conversation goes on all the same.

The signatures have their vendor's shape, so that nothing tells them from good ones before the upstream looks:
the words they signed were changed, or they were made with another key.
"""

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio

from emulators.signing import claude_signature, openai_encrypted
from support.emulator import Emulator
from support.matrix import World, world

FORGED_CLAUDE: Final = claude_signature("what was really thought")
FORGED_GEMINI: Final = b64encode(bytes((0x12, 33)) + b"\x07" * 33).decode()
_SEALED: Final = urlsafe_b64decode(openai_encrypted("what was really thought"))
FORGED_OPENAI: Final = urlsafe_b64encode(_SEALED[:-1] + bytes((_SEALED[-1] ^ 1,))).decode()

CLAUDE: Final[dict[str, Any]] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 3000,
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "tools": [{"name": "get_time", "input_schema": {"type": "object", "properties": {}}}],
    "messages": [
        {"role": "user", "content": "What time is it?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I should look.", "signature": FORGED_CLAUDE},
                {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}]},
    ],
}
GEMINI: Final[dict[str, Any]] = {
    "contents": [
        {"role": "user", "parts": [{"text": "What time is it?"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "get_time", "args": {}}, "thoughtSignature": FORGED_GEMINI}],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "get_time", "response": {"result": "noon"}}}],
        },
    ],
    "tools": [{"functionDeclarations": [{"name": "get_time"}]}],
}
RESPONSES: Final[dict[str, Any]] = {
    "model": "gpt-5.2",
    "store": False,
    "input": [
        {"type": "message", "role": "user", "content": "What time is it?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": FORGED_OPENAI},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
    ],
    "tools": [{"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {}}}],
}
GEMINI_MODEL: Final = "/v1beta/models/gemini-3-flash-preview"
REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any], str]]] = {
    "claude": ("claude", "/v1/messages", CLAUDE, FORGED_CLAUDE),
    "claude, streamed": ("claude", "/v1/messages", {**CLAUDE, "stream": True}, FORGED_CLAUDE),
    "gemini": ("gemini", f"{GEMINI_MODEL}:generateContent", GEMINI, FORGED_GEMINI),
    "gemini, streamed": ("gemini", f"{GEMINI_MODEL}:streamGenerateContent?alt=sse", GEMINI, FORGED_GEMINI),
    "responses": ("openai", "/v1/responses", RESPONSES, FORGED_OPENAI),
    "responses, streamed": ("openai", "/v1/responses", {**RESPONSES, "stream": True}, FORGED_OPENAI),
}
"""Name → upstream, address, body, the signature in it."""


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("signatures")) as started:
        yield started


@pytest.fixture
def emulators(running_world: World) -> Iterator[dict[str, Emulator]]:
    yield running_world.emulators
    for emulator in running_world.emulators.values():
        trio.run(emulator.reset)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_forged_signature_is_refused_once_and_left_out_then(
    name: str, running_world: World, emulators: dict[str, Emulator]
) -> None:
    upstream, address, body, signature = REQUESTS[name]
    answer = httpx.post(running_world.server.url + address, json=body, timeout=20)
    assert answer.status_code == 200, answer.text
    assert "noon" in answer.text
    refused, taken = trio.run(emulators[upstream].log)
    assert (refused.status, taken.status) == (400, 200)
    assert refused.refused is not None
    assert "signature" in refused.refused or "encrypted content" in refused.refused
    assert signature in str(refused.body)
    assert signature not in str(taken.body)
