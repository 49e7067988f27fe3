"""The owner's payload rules, from the file to the request that the upstream sees."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio

from support.emulator import Emulator, running_emulator
from support.server import Server, running

CONFIG: Final = """\
openai-compatibility:
  - name: upstream
    base-url: "{base}/v1"
    api-key-entries: [{{api-key: any-key}}]
    models: [{{name: vendor-model, alias: m}}]
payload:
  default:
    - models: [{{name: m}}]
      params: {{temperature: 0.5}}
  default-raw:
    - models: [{{name: "vendor-*"}}]
      params: {{stop: '["END"]'}}
  override:
    - models: [{{name: "*", headers: {{X-Team: blue}}}}]
      params: {{'messages.#(role=="user")#.name': blue}}
    - models: [{{name: "*", from-protocol: claude}}]
      params: {{reasoning_effort: low}}
  filter:
    - models: [{{name: "*", protocol: openai}}]
      params: [user, "response_format.json_schema.strict"]
    - models: [{{name: "*", protocol: claude}}]
      params: [messages]
"""
CHAT: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
    "temperature": 0.1,
    "user": "me",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False},
    },
}
CLAUDE: Final[dict[str, Any]] = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
    "metadata": {"user_id": "me"},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Emulator]]:
    with ExitStack() as stack:
        emulator = stack.enter_context(running_emulator("openai", vendor="compatible"))
        config = CONFIG.format(base=emulator.base_url)
        yield stack.enter_context(running(tmp_path_factory.mktemp("rules"), config=config)), emulator


def seen(pair: tuple[Server, Emulator], path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Ask, and return the body that the upstream saw."""
    server, emulator = pair
    answer = httpx.post(server.url + path, json=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    [request] = trio.run(emulator.log)
    trio.run(emulator.reset)
    return dict(request.body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_passes_through(pair: tuple[Server, Emulator], stream: bool) -> None:
    body = seen(pair, "/v1/chat/completions", {**CHAT, "stream": stream}, **{"X-Team": "blue"})
    assert body["messages"] == [CHAT["messages"][0], {**CHAT["messages"][1], "name": "blue"}]
    assert (body["model"], body["temperature"], body["stop"]) == ("vendor-model", 0.1, ["END"])
    assert body["response_format"]["json_schema"] == {"name": "n", "schema": {"type": "object"}}
    assert body["stream"] is stream
    assert not {"user", "reasoning_effort"} & body.keys()


def test_a_request_that_is_translated(pair: tuple[Server, Emulator]) -> None:
    body = seen(pair, "/v1/messages", CLAUDE)
    assert (body["temperature"], body["stop"], body["reasoning_effort"]) == (0.5, ["END"], "low")
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert "name" not in body["messages"][0]
    assert "user" not in body
