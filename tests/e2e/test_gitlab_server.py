"""From the login on the command line to a client's answer: real server, real clients, strict GitLab."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anthropic
import openai
import pytest

from support.emulator import Emulator, start_emulator
from support.server import ROOT, Server, running

TOOL = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
WEATHER = "What is the weather in Paris? Use the tool."


def log_in(
    directory: Path, emulator: Emulator, token: str = "glpat-good"
) -> "subprocess.CompletedProcess[str]":
    """Run the login as an owner would, with what it needs in the environment."""
    (directory / "config.yaml").write_text(f"port: 0\nauth-dir: {directory / 'auth'}\n", encoding="utf-8")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "HOME": str(directory),
        "PYTHONPATH": str(ROOT),
        "GITLAB_BASE_URL": emulator.base_url,
        "GITLAB_PERSONAL_ACCESS_TOKEN": token,
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-m", "cliproxy", "--gitlab-token-login"],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@asynccontextmanager
async def at_work(directory: Path, **settings: object):
    """A GitLab and a server that is logged in to it."""
    async with start_emulator("gitlab", **settings) as emulator:
        login = log_in(directory, emulator)
        assert login.returncode == 0, login.stderr
        with running(directory, NO_PROXY="127.0.0.1") as server:
            yield emulator, server


@contextmanager
def openai_client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=30) as client:
        yield client


@contextmanager
def claude_client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=30) as client:
        yield client


async def model_paths(emulator: Emulator) -> list[str]:
    """The paths of the requests for answers, in order."""
    ends = ("/messages", "/chat/completions", "/responses", "/code_suggestions/completions")
    return [seen.path for seen in await emulator.log() if seen.path.endswith(ends)]


# --- the login on the command line -------------------------------------------------------------------------


async def test_the_login_writes_a_private_file_and_tells_where(tmp_path: Path) -> None:
    async with start_emulator("gitlab") as emulator:
        done = log_in(tmp_path, emulator)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "auth").glob("gitlab-*-pat.json")
    assert file.stat().st_mode & 0o077 == 0
    assert str(file) in done.stdout
    assert "glpat-good" not in done.stdout + done.stderr


@pytest.mark.parametrize(("token", "words"), [("glpat-expired", "expired"), ("glpat-features", "scope api")])
async def test_a_login_that_fails_says_why_and_writes_nothing(tmp_path: Path, token: str, words: str) -> None:
    async with start_emulator("gitlab") as emulator:
        done = log_in(tmp_path, emulator, token)
    assert done.returncode == 1
    assert words in done.stderr
    assert not list((tmp_path / "auth").glob("*.json"))


# --- answers over each way ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "/ai/v1/proxy/anthropic/v1/messages"),
        ({"agent_platform": 404}, "/ai/v1/proxy/anthropic/v1/messages"),
    ],
)
async def test_a_chat_client_uses_a_tool_over_the_gateways(tmp_path: Path, settings: dict, path: str) -> None:
    async with at_work(tmp_path, **settings) as (emulator, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": WEATHER}]
            tools = [{"type": "function", "function": TOOL}]
            with client.chat.completions.stream(model="gitlab-duo", messages=messages, tools=tools) as stream:
                first = stream.get_final_completion().choices[0]
            (call,) = first.message.tool_calls
            messages += [
                {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
                {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
            ]
            second = client.chat.completions.create(model="gitlab-duo", messages=messages, tools=tools)
        assert second.choices[0].message.content
        assert await model_paths(emulator) == [path, path]
        assert set(await emulator.refusals()) <= {"404 Not Found"}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("duo-chat-opus-4-8", "/ai/v1/proxy/anthropic/v1/messages"),
        ("gpt-5", "/ai/v1/proxy/openai/v1/chat/completions"),
        ("gpt-5-codex", "/ai/v1/proxy/openai/v1/responses"),
    ],
)
async def test_the_model_decides_the_way_for_a_claude_client(tmp_path: Path, model: str, path: str) -> None:
    async with at_work(tmp_path) as (emulator, server):
        with claude_client(server) as client:
            messages = [{"role": "user", "content": "Say hello."}]
            whole = client.messages.create(model=model, max_tokens=200, messages=messages)
            with client.messages.stream(model=model, max_tokens=200, messages=messages) as stream:
                streamed = stream.get_final_message()
        assert any(block.type == "text" and block.text for block in whole.content)
        assert any(block.type == "text" and block.text for block in streamed.content)
        assert await model_paths(emulator) == [path, path]
        assert await emulator.refusals() == []


async def test_the_code_suggestions_gateway_serves_openai_models_by_responses(tmp_path: Path) -> None:
    async with at_work(tmp_path, agent_platform=403) as (emulator, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            answer = client.chat.completions.create(model="gpt-5", messages=messages)
        assert answer.choices[0].message.content
        assert await model_paths(emulator) == ["/ai/v1/proxy/openai/v1/responses"]


REST_ONLY = {"agent_platform": 404, "direct_connections": False}


async def test_the_text_endpoints_answer_when_nothing_else_is_there(tmp_path: Path) -> None:
    async with at_work(tmp_path, **REST_ONLY) as (emulator, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            whole = client.chat.completions.create(model="gitlab-duo", messages=messages)
            pieces = client.chat.completions.create(model="gitlab-duo", messages=messages, stream=True)
            text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
            with pytest.raises(openai.BadRequestError, match="tools"):
                client.chat.completions.create(
                    model="gitlab-duo", messages=messages, tools=[{"type": "function", "function": TOOL}]
                )
        assert whole.choices[0].message.content
        assert text
        paths = await model_paths(emulator)
    assert paths[-2:] == ["/api/v4/chat/completions", "/api/v4/code_suggestions/completions"]


async def test_chat_in_one_piece_serves_a_client_that_streams(tmp_path: Path) -> None:
    async with at_work(tmp_path, **REST_ONLY, code_suggestions=404) as (_, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            pieces = client.chat.completions.create(model="gitlab-duo", messages=messages, stream=True)
            assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


# --- tokens that end under way -----------------------------------------------------------------------------


async def test_a_gateway_token_that_died_is_replaced_within_the_request(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (emulator, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            client.chat.completions.create(model="gitlab-duo", messages=messages)
            await emulator.configure(revoke="gateway")
            again = client.chat.completions.create(model="gitlab-duo", messages=messages)
        assert again.choices[0].message.content
        statuses = [seen.status for seen in await emulator.log() if seen.path.endswith("/messages")]
    assert statuses == [200, 401, 200]


async def test_a_prompt_that_is_too_long_costs_no_token(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (emulator, server):
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            client.chat.completions.create(model="gitlab-duo", messages=messages)
            # The login asked six times, discovery three times, the request above twice.
            before = await emulator.wait(finished=11)
            await emulator.script([{"status": 400, "message": "prompt is too long: 210000 tokens"}])
            with pytest.raises(openai.BadRequestError, match="too long"):
                client.chat.completions.create(model="gitlab-duo", messages=messages)
        after = (await emulator.log())[len(before) :]
    assert [(seen.path.rsplit("/", 1)[1], seen.status) for seen in after] == [("messages", 400)]


# --- what clients see --------------------------------------------------------------------------------------


async def test_the_models_of_the_account_are_listed_with_the_alias(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (_, server):
        with openai_client(server) as client:
            names = {model.id for model in client.models.list()}
    assert {"gitlab-duo", "claude-sonnet-4-5", "duo-chat-opus-4-8", "gpt-5-codex"} <= names


@pytest.mark.parametrize("stream", [False, True])
async def test_an_editor_fills_in_the_middle(tmp_path: Path, stream: bool) -> None:
    async with at_work(tmp_path) as (emulator, server):
        with openai_client(server) as client:
            wish = {"model": "gitlab-duo", "prompt": "def hello():\n    ", "suffix": "\n"}
            answer = client.completions.create(**wish, stream=stream, extra_body={"file_name": "hello.py"})
            pieces = list(answer) if stream else [answer]
            text = "".join(choice.text for piece in pieces for choice in piece.choices)
        assert text
        (seen,) = [
            seen for seen in await emulator.log() if seen.path.endswith("/code_suggestions/completions")
        ]
        assert seen.body["current_file"]["file_name"] == "hello.py"
        assert seen.body["current_file"]["content_below_cursor"] == "\n"
        assert await emulator.refusals() == []


EDITOR = {"model": "gitlab-duo", "prompt": "def f(", "suffix": "):\n    pass"}


async def test_what_an_editor_knows_reaches_gitlab_by_body_or_header(tmp_path: Path) -> None:
    known = {
        "intent": "generation",
        "generation_type": "comment",
        "user_instruction": "be brief",
        "project_path": "emulated/project",
    }
    context = [{"type": "file", "name": "b.py", "content": "x = 1"}]
    headers = {f"X-{name.replace('_', '-')}": value for name, value in known.items()}
    async with at_work(tmp_path) as (emulator, server):
        with openai_client(server) as client:
            client.completions.create(**EDITOR, extra_body={**known, "context": context})
            client.completions.create(**EDITOR, extra_headers=headers)
            with pytest.raises(openai.BadRequestError) as caught:
                client.completions.create(**EDITOR, extra_body={"intent": "guess"})
        assert caught.value.param == "intent"
        by_body, by_header = [seen.body for seen in await emulator.log() if "current_file" in str(seen.body)]
        assert {name: by_body[name] for name in known} == known
        assert by_body["context"] == context
        assert {name: by_header[name] for name in known} == known
        assert await emulator.refusals() == []


async def test_gitlabs_limit_on_code_suggestions_is_kept_for_the_account(tmp_path: Path) -> None:
    """The sixty-first request within a minute is not sent; talking to the model goes on."""
    async with at_work(tmp_path) as (emulator, server):
        with openai_client(server) as client:
            for _ in range(60):
                client.completions.create(**EDITOR)
            with pytest.raises(openai.RateLimitError, match="60 times in 60 s") as caught:
                client.completions.create(**EDITOR)
            messages: list = [{"role": "user", "content": "Say hello."}]
            assert client.chat.completions.create(model="gitlab-duo", messages=messages).choices
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 70
        statuses = [seen.status for seen in await emulator.log() if "code_suggestions/compl" in seen.path]
        assert statuses == [200] * 60


async def test_a_model_that_cannot_fill_in_the_middle_is_a_mistake_in_the_request(tmp_path: Path) -> None:
    wish = {**EDITOR, "model": "demo"}
    with (
        running(tmp_path, "-demo") as server,
        openai_client(server) as client,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        client.completions.create(**wish)
    assert caught.value.param == "suffix"


# --- what an owner configures ------------------------------------------------------------------------------


async def test_a_key_in_the_configuration_with_its_settings(tmp_path: Path) -> None:
    async with start_emulator("gitlab") as emulator:
        config = f"""
gitlab-api-key:
  - api-key: glpat-good
    base-url: {emulator.base_url}
    ai-gateway-url: {emulator.base_url}/ai
    default-model: duo-chat-gpt-5-codex
    project-path: emulated/project
"""
        with (
            running(tmp_path, config=config, NO_PROXY="127.0.0.1") as server,
            openai_client(server) as client,
        ):
            messages: list = [{"role": "user", "content": "Say hello."}]
            answer = client.chat.completions.create(model="gitlab-duo", messages=messages)
            client.completions.create(**EDITOR)
        assert answer.model == "gpt-5-codex"
        assert await model_paths(emulator) == [
            "/ai/v1/proxy/openai/v1/responses",
            "/api/v4/code_suggestions/completions",
        ]
        assert (await emulator.log())[-1].body["project_path"] == "emulated/project"
        assert await emulator.refusals() == []


# --- what clients are told when an account lacks something --------------------------------------------------


def said_by(call) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    return caught.value


async def test_an_account_that_loses_its_seat_is_told_so(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (emulator, server):
        await emulator.configure(seat=False, revoke="gateway")
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            first = said_by(lambda: client.chat.completions.create(model="gpt-5", messages=messages))
            later = said_by(lambda: client.chat.completions.create(model="gpt-5", messages=messages))
    assert (first.status_code, first.code) == (403, "no_seat")
    assert first.message.count("needs a GitLab Duo seat") == 1
    assert (later.status_code, later.code) == (503, "model_cooldown")
    assert int(later.response.headers["retry-after"]) > 1000


async def test_tools_without_a_gateway_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with at_work(tmp_path, **REST_ONLY) as (_, server):
        with openai_client(server) as client:
            wish: dict = {
                "model": "gitlab-duo",
                "messages": [{"role": "user", "content": WEATHER}],
                "tools": [{"type": "function", "function": TOOL}],
            }
            errors = [said_by(lambda: client.chat.completions.create(**wish)) for _ in range(2)]
            models = [model.id for model in client.models.list()]
    assert [(error.status_code, error.param) for error in errors] == [(400, "tools")] * 2
    assert all("direct connections are switched off" in error.message for error in errors)
    assert models == ["gitlab-duo"]


async def test_a_token_that_was_revoked_is_named_with_the_place_to_make_a_new_one(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (emulator, server):
        await emulator.configure(revoke="glpat-good")
        await emulator.configure(revoke="gateway")
        with openai_client(server) as client:
            messages: list = [{"role": "user", "content": "Say hello."}]
            error = said_by(lambda: client.chat.completions.create(model="gitlab-duo", messages=messages))
    assert (error.status_code, error.code) == (401, "expired")
    assert "/-/user_settings/personal_access_tokens" in error.message
    assert "glpat-good" not in error.message
