"""Facts about models from an address of the owner's, with the real server."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio

from support.emulator import Emulator, running_emulator
from support.server import Server, running

LIMIT_S: Final = 15.0
NEW: Final = "claude-of-tomorrow"
DOCUMENT: Final = {
    "claude": [
        {"id": NEW, "display_name": "Claude of Tomorrow", "context_length": 777, "owned_by": "anthropic"}
    ]
}
PUBLISHED: Final[dict[str, Any]] = {
    "when": {"path": "/published.json"},
    "unchecked": True,
    "raw": {"json": DOCUMENT},
    "times": 0,
}


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"this did not come: {what}"
        time.sleep(0.05)  # noqa: TID251 - waits for another process


def listed(server: Server) -> dict[str, Any]:
    headers = {"anthropic-version": "2023-06-01"}
    answer = httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False).json()
    return {entry["id"]: entry for entry in answer["data"]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Emulator]:
    """Both the upstream and the publisher."""
    with running_emulator("claude", models=[NEW, "claude-sonnet-4-5-20250929"]) as started:
        yield started


def config(upstream: Emulator) -> str:
    return (
        f"model-catalog-url: {upstream.base_url}/published.json\n"
        f"claude-api-key: [{{api-key: sk-ant-x, base-url: '{upstream.base_url}'}}]\n"
    )


def asked_for_facts(upstream: Emulator) -> int:
    return sum(seen.path == "/published.json" for seen in trio.run(upstream.log))


def test_a_model_too_new_for_the_release_is_served(upstream: Emulator, tmp_path: Path) -> None:
    trio.run(upstream.script, [PUBLISHED])
    with running(tmp_path, config=config(upstream)) as server:
        until(lambda: NEW in listed(server), "the new model")
        entry = listed(server)[NEW]
        assert (entry["display_name"], entry["max_input_tokens"]) == ("Claude of Tomorrow", 777)
        assert "claude-sonnet-4-5-20250929" in listed(server)
        body = {"model": NEW, "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
        answer = httpx.post(f"{server.url}/v1/messages", json=body, trust_env=False)
        assert (answer.status_code, answer.json()["model"]) == (200, NEW)
        assert "model facts taken over" in server.log()


@pytest.mark.parametrize("raw", [{"text": "<html>"}, {"status": 503, "json": {}}])
def test_a_publisher_that_fails_harms_nobody(upstream: Emulator, tmp_path: Path, raw: dict[str, Any]) -> None:
    trio.run(upstream.forget)
    trio.run(upstream.script, [{**PUBLISHED, "raw": raw}])
    with running(tmp_path, config=config(upstream)) as server:
        until(lambda: "model facts not taken over" in server.log(), "the complaint")
        assert "claude-sonnet-4-5-20250929" in listed(server)
        assert NEW not in listed(server)


def test_a_flag_keeps_to_the_facts_of_the_release(upstream: Emulator, tmp_path: Path) -> None:
    trio.run(upstream.forget)
    trio.run(upstream.script, [PUBLISHED])
    with running(tmp_path, "-local-model", config=config(upstream)) as server:
        until(lambda: listed(server), "the models")
        assert NEW not in listed(server)
    assert asked_for_facts(upstream) == 0
