"""Duo at the emulated GitLab: gateway tokens, text endpoints, limits, and what happens without Duo."""

from typing import Any

import anthropic
import httpx2
import openai
import pytest
import trio
from attrs import define

from emulators.gitlab import GitLab
from support.emulator import start_emulator
from support.refusals import answered, json_of

PAT = {"authorization": "Bearer glpat-good", "content-type": "application/json"}
DIRECT = "/api/v4/code_suggestions/direct_access"
AGENT = "/api/v4/ai/third_party_agents/direct_access"
COMPLETIONS = "/api/v4/code_suggestions/completions"
CHAT = "/api/v4/chat/completions"
FILE = {"file_name": "a.py", "content_above_cursor": "def add(a, b):"}
NOTE = {"category": "snippet", "id": "1", "content": "x"}
MESSAGE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}


@define
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gitlab(clock):
    return GitLab(clock)


def post(gitlab, path, body=None, headers=PAT):
    return answered(gitlab, "POST", path, body, headers)


def gateway_headers(access):
    handed = {name: value for name, value in access["headers"].items() if name != "x-api-key"}
    return {
        **handed,
        "authorization": f"Bearer {access['token']}",
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
    }


def message(gitlab, headers, path="/ai/v1/proxy/anthropic/v1/messages", **changes):
    answer = post(gitlab, path, {**MESSAGE, **changes}, headers)
    return answer.status, json_of(answer)


def test_direct_access_hands_out_everything_the_gateway_wants(gitlab):
    answer = post(gitlab, DIRECT)
    access = json_of(answer)
    assert answer.status == 201
    assert access["expires_at"] == 1_003_600
    assert access["model_details"]["model_provider"] == "anthropic"
    assert message(gitlab, gateway_headers(access))[1]["content"][0]["text"] == "You said: hello"


def test_the_agent_tier_names_no_gateway_and_lives_half_an_hour(gitlab, clock):
    access = json_of(post(gitlab, AGENT, {"feature_flags": {"duo_agent_platform": True}}))
    assert set(access) == {"token", "headers"}
    headers = gateway_headers(access)
    clock.now += 1799
    assert message(gitlab, headers)[0] == 200
    clock.now += 1
    assert message(gitlab, headers) == (401, {"error": "Token expired"})


def test_the_gateway_compares_headers_and_refuses_a_vendor_key(gitlab):
    access = json_of(post(gitlab, AGENT))
    headers = gateway_headers(access)
    assert message(gitlab, {**headers, "x-api-key": "k"})[0] == 400
    for name in access["headers"]:
        short = {key: value for key, value in headers.items() if key != name}
        needed = access["headers"][name] != "" and name != "x-api-key"
        assert message(gitlab, short)[0] == (401 if needed else 200)


def test_a_revoked_token_and_a_refused_model(gitlab):
    headers = gateway_headers(json_of(post(gitlab, DIRECT)))
    gitlab.configure({"refused_models": ["claude-opus-4-8"]})
    assert message(gitlab, headers, model="claude-opus-4-8")[0] == 403
    assert message(gitlab, headers)[0] == 200
    gitlab.configure({"revoke": "code_suggestions"})
    assert message(gitlab, headers) == (401, {"error": "Token revoked"})
    again = gateway_headers(json_of(post(gitlab, DIRECT)))
    assert message(gitlab, again)[0] == 200


def test_the_vendors_rules_hold_behind_the_gateway(gitlab):
    headers = gateway_headers(json_of(post(gitlab, DIRECT)))
    status, body = message(gitlab, headers, messages=[])
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    path = "/v1/proxy/openai/v1/responses"
    good = post(gitlab, path, {"model": "gpt-5-codex", "input": "hello"}, headers)
    assert json_of(good)["output"][0]["content"][0]["text"] == "You said: hello"
    assert post(gitlab, path, {"model": "gpt-5-codex"}, headers).status == 400


@pytest.mark.parametrize(
    ("settings", "path", "status"),
    [
        ({"direct_connections": False}, DIRECT, 403),
        ({"code_suggestions": 404}, DIRECT, 404),
        ({"seat": False}, DIRECT, 403),
        ({"seat": False, "no_seat_status": 401}, DIRECT, 401),
        ({"agent_platform": 403}, AGENT, 403),
        ({"agent_platform": 404}, AGENT, 404),
        ({"chat": 404}, CHAT, 404),
    ],
)
def test_things_switched_off(gitlab, settings, path, status):
    gitlab.configure(settings)
    assert post(gitlab, path, {}).status == status


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("glpat-seatless", DIRECT, 403),
        ("glpat-seatless", AGENT, 403),
        ("glpat-noscope", DIRECT, 403),
        ("glpat-features", DIRECT, 201),
        ("glpat-features", AGENT, 401),
        ("glpat-expired", DIRECT, 401),
    ],
)
def test_who_may_use_duo(gitlab, token, path, status):
    assert post(gitlab, path, {}, {**PAT, "authorization": f"Bearer {token}"}).status == status


@pytest.mark.parametrize(
    ("path", "calls", "window"),
    [(DIRECT, 10, 300), (COMPLETIONS, 60, 60), ("/api/v4/code_suggestions/connection_details", 10, 60)],
)
def test_rate_limits(gitlab, clock, path, calls, window):
    body = {"current_file": FILE} if path == COMPLETIONS else None
    assert all(post(gitlab, path, body).status < 300 for _ in range(calls))
    limited = post(gitlab, path, body)
    assert limited.status == 429
    headers = dict(limited.headers)
    assert headers["retry-after"] == str(window)
    assert headers["ratelimit-limit"] == str(calls)
    clock.now += window
    assert post(gitlab, path, body).status < 300


def test_completions_as_text_and_as_events(gitlab):
    body = {"current_file": FILE, "intent": "generation", "user_instruction": "say hello twice please"}
    whole = json_of(post(gitlab, COMPLETIONS, body))
    assert whole["choices"][0]["text"] == "You said: say hello twice please"
    plain = post(gitlab, COMPLETIONS, {**body, "stream": True})
    assert b"".join(plain.pieces) == b"You said: say hello twice please"
    sse = {**PAT, "x-supports-sse-streaming": "true"}
    events = post(gitlab, COMPLETIONS, {**body, "stream": True}, sse).pieces
    assert events[0].startswith(b"event: stream_start\r\ndata: ")
    assert b'"delta":{"content":"You said: "}' in events[1]
    assert events[-1] == b"event: stream_end\r\ndata: null\r\n\r\n"
    gitlab.configure({"completions_stream": "cumulative"})
    events = post(gitlab, COMPLETIONS, {**body, "stream": True}, sse).pieces
    assert b"You said: say hello twice please" in events[-2]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (COMPLETIONS, {}, "current_file is missing"),
        (COMPLETIONS, {"current_file": {"file_name": "a"}}, "content_above_cursor is missing"),
        (COMPLETIONS, {"current_file": FILE, "intent": "chat"}, "intent does not have a valid value"),
        (COMPLETIONS, {"current_file": FILE, "context": []}, "context is empty"),
        (CHAT, {}, "content is missing"),
        (
            CHAT,
            {"content": "hi", "additional_context": [{"category": "note", "id": "1", "content": "x"}]},
            "value",
        ),
    ],
)
def test_bad_text_requests(gitlab, path, body, words):
    answer = post(gitlab, path, body)
    assert answer.status == 400
    assert words in json_of(answer)["error"]


def test_chat_answers_with_a_json_string(gitlab):
    assert json_of(post(gitlab, CHAT, {"content": "hi", "with_clean_history": True})) == "You said: hi"


def test_available_models_over_graphql(gitlab):
    query = "query($rootNamespaceId: GroupID!) { aiChatAvailableModels(rootNamespaceId: $rootNamespaceId)"
    query += " { defaultModel { name ref } selectableModels { name ref } pinnedModel { name ref } }"
    query += " metadata { version featureFlags(names: []) { name enabled } } }"
    body = {"query": query, "variables": {"rootNamespaceId": "gid://gitlab/Group/9970"}}
    data = json_of(post(gitlab, "/api/graphql", body))["data"]
    assert data["aiChatAvailableModels"]["defaultModel"]["ref"].startswith("claude_")
    assert data["metadata"]["version"] == "18.5.0-ee"
    assert "errors" in json_of(post(gitlab, "/api/graphql", {"query": query, "variables": {}}))


def test_version_metadata_projects_and_groups(gitlab):
    assert json_of(answered(gitlab, "GET", "/api/v4/metadata", None, PAT))["enterprise"] is True
    assert json_of(answered(gitlab, "GET", "/api/v4/version", None, PAT))["version"] == "18.5.0-ee"
    assert json_of(answered(gitlab, "GET", "/api/v4/groups", None, PAT))[0]["id"] == 9970
    enabled = "/api/v4/code_suggestions/enabled"
    statuses = [
        post(gitlab, enabled, {"project_path": path}).status
        for path in ("emulated/project", "emulated/dark", "none")
    ]
    assert statuses == [200, 403, 404]


async def test_the_vendors_clients_work_through_the_gateway():
    async with start_emulator("gitlab") as emulator:
        access = await _access(emulator)
        handed = {name: value for name, value in access["headers"].items() if value}
        gateway = f"{access['base_url']}/v1/proxy"

        def work() -> tuple[Any, Any]:
            claude = anthropic.Anthropic(
                base_url=f"{gateway}/anthropic", auth_token=access["token"], default_headers=handed
            )
            gpt = openai.OpenAI(
                base_url=f"{gateway}/openai/v1", api_key=access["token"], default_headers=handed
            )
            with claude, gpt:
                said = claude.messages.create(**{**MESSAGE, "model": "claude-haiku-4-5"})
                stream = gpt.responses.create(model="gpt-5", input="hello", stream=True)
                return said, [event.type for event in stream]

        said, kinds = await trio.to_thread.run_sync(work)
        assert said.content[0].text == "You said: hello"
        assert kinds[-1] == "response.completed"
        assert await emulator.refusals() == []


async def _access(emulator):
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{emulator.base_url}{DIRECT}", headers=PAT)
        return answer.json()
