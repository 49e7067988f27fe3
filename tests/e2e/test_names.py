"""From the name a client writes to the account and the model that answer; and the lists of these names.

One server with accounts of several kinds: two OpenAI-compatible upstreams, a key of the Claude API, and a
login to Qwen whose API is elsewhere. What a request became is read at the upstreams: by its key, and by the
model it names.
"""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio
from attrs import frozen

from cliproxy.config.clientkeys import hash_of
from support.emulator import Emulator, running_emulator
from support.server import Server, running

LIMIT_S: Final = 15.0
CLAUDE: Final = "claude-sonnet-4-5-20250929"
ONE_KEY: Final = "sk-of-a-client-with-one-model"
ELSEWHERE_KEY: Final = "sk-of-a-client-of-one-upstream"

CONFIG: Final = f"""\
request-retry: 0
host: 127.0.0.1
api-keys: [sk-of-the-owner-himself]
client-keys:
  - {{name: one, hash: '{hash_of(ONE_KEY)}', models: ["team/*", "pool"]}}
  - {{name: elsewhere, hash: '{hash_of(ELSEWHERE_KEY)}', providers: [mirror]}}
routing: {{session-affinity: false}}
oauth-model-alias:
  qwen:
    - {{name: qwen3-coder-plus, alias: coder, fork: true}}
    - {{name: qwen3-coder-plus, alias: coder-two}}
    - {{name: qwen3-coder-flash, alias: quick, force-mapping: true}}
    - {{name: coder-model, alias: vision-model}}
oauth-excluded-models: {{qwen: ["nothing-like-this*"]}}
claude-api-key:
  - {{api-key: sk-ant-of-the-test, base-url: "%(claude)s", models: [{{name: {CLAUDE}, alias: shared}}]}}
openai-compatibility:
  - name: house
    base-url: "%(chat)s/v1"
    api-key-entries: [{{api-key: house-key}}]
    prefix: team
    priority: 1
    excluded-models: ["hidden-*", "*-preview"]
    models:
      - {{name: big}}
      - {{name: gpt-9}}
      - {{name: "vendor/m1", alias: pool}}
      - {{name: "vendor/m2", alias: pool}}
      - {{name: real-name, alias: forced, force-mapping: true}}
      - {{name: "thinker(high)", alias: deep}}
      - {{name: "odd(name)"}}
      - {{name: hidden-one}}
      - {{name: old-preview, alias: seen}}
  - name: mirror
    base-url: "%(chat)s/v1"
    api-key-entries: [{{api-key: mirror-key}}]
    models: [{{name: m-shared, alias: shared}}, {{name: mine}}]
"""
HOUSE: Final = ["big", "deep", "forced", "gpt-9", "odd(name)", "pool"]
QWEN: Final = ["coder", "coder-two", "quick", "qwen3-coder-plus", "vision-model"]
ALL: Final = sorted([*HOUSE, *(f"team/{name}" for name in HOUSE), *QWEN, "mine", "shared"])


@frozen
class World:
    """The server and its upstreams."""

    server: Server
    chat: Emulator
    claude: Emulator
    directory: Path

    def post(self, path: str, body: dict[str, Any], key: str = "sk-of-the-owner-himself") -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(
            self.server.url + path, json=body, headers=headers, trust_env=False, timeout=LIMIT_S
        )

    def ask(self, model: str, key: str = "sk-of-the-owner-himself", **more: Any) -> httpx.Response:
        """Ask as a chat client."""
        messages = [{"role": "user", "content": "Hello"}]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **more}, key)

    def served(self, model: str, times: int = 1) -> Counter[tuple[str, str]]:
        """Who answered for a name: key and upstream model."""
        for emulator in (self.chat, self.claude):
            trio.run(emulator.forget)
        for _ in range(times):
            answer = self.ask(model)
            assert answer.status_code == 200, answer.text
        return Counter((key_of(seen), seen.body["model"]) for seen in self.seen())

    def seen(self) -> list[Any]:
        return [*trio.run(self.chat.log), *trio.run(self.claude.log)]

    def listed(self, shape: str = "openai", key: str = "sk-of-the-owner-himself") -> list[str]:
        """The names in a list."""
        path, headers, read = LISTS[shape]
        answer = httpx.get(
            self.server.url + path, headers={**headers, "x-api-key": key}, trust_env=False, timeout=LIMIT_S
        )
        assert answer.status_code == 200, answer.text
        return read(answer.json())


LISTS: Final[Mapping[str, tuple[str, dict[str, str], Callable[[Any], list[str]]]]] = {
    "openai": ("/v1/models", {}, lambda said: [each["id"] for each in said["data"]]),
    "claude": (
        "/v1/models",
        {"anthropic-version": "2023-06-01"},
        lambda said: [each["id"] for each in said["data"]],
    ),
    "gemini": (
        "/v1beta/models",
        {},
        lambda said: [each["name"].removeprefix("models/") for each in said["models"]],
    ),
}


def key_of(seen: Any) -> str:
    """The key a request came with, without what is the same for all."""
    said = (seen.header("authorization") or seen.header("x-api-key") or "").removeprefix("Bearer ")
    return said.removesuffix("-key").removesuffix("-of-the-test")


@contextmanager
def world_of(directory: Path, config: str = CONFIG) -> Iterator[World]:
    with ExitStack() as stack:
        chat = stack.enter_context(running_emulator("openai", vendor="compatible"))
        claude = stack.enter_context(running_emulator("claude"))
        (directory / "auth").mkdir()
        account = {
            "type": "qwen",
            "access_token": "qwen-key",
            "refresh_token": "r",
            "expired": "2099-01-01T00:00:00Z",
            "base_url": f"{chat.base_url}/v1",
        }
        (directory / "auth" / "qwen-me.json").write_text(json.dumps(account))
        text = config % {"chat": chat.base_url, "claude": claude.base_url}
        server = stack.enter_context(running(directory, config=text))
        yield World(server, chat, claude, directory)
        assert trio.run(chat.refusals) == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_of(tmp_path_factory.mktemp("names")) as started:
        yield started


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"this did not come: {what}"
        time.sleep(0.05)  # noqa: TID251 - waits for another process


# --- lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", LISTS)
def test_a_list_is_sorted_and_the_same_in_every_shape(world: World, shape: str) -> None:
    assert world.listed(shape) == ALL
    assert world.listed(shape) == ALL


def test_whatever_is_listed_can_be_asked_for(world: World) -> None:
    for name in ALL:
        assert world.ask(name).status_code == 200, name


@pytest.mark.parametrize(
    "name",
    [
        *("hidden-one", "team/hidden-one", "old-preview", "seen", "real-name", "vendor/m1"),
        *(
            "qwen3-coder-flash",
            "coder-model",
            "Big",
            "other/big",
            "team/coder",
            "mirror://big",
            "nobody://big",
        ),
        *("", "gpt-9-huge", "big("),
    ],
)
def test_what_is_not_listed_does_not_exist(world: World, name: str) -> None:
    answer = world.ask(name)
    assert answer.status_code in {400, 404} if not name else answer.status_code == 404
    if name:
        assert answer.json()["error"]["code"] == "model_not_found"
        assert (
            httpx.get(
                f"{world.server.url}/v1beta/models/{name}",
                headers={"x-goog-api-key": "sk-of-the-owner-himself"},
                trust_env=False,
            ).status_code
            == 404
        )


def test_one_model_of_the_list(world: World) -> None:
    for path in ("/v1/models/team/big", "/v1beta/models/team/big", "/v1beta/models/models/team/big"):
        headers = {"x-api-key": "sk-of-the-owner-himself"}
        answer = httpx.get(world.server.url + path, headers=headers, trust_env=False)
        assert answer.status_code == 200
        assert "team/big" in answer.text


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "account", "model"),
    [
        ("big", "house", "big"),
        ("team/big", "house", "big"),
        ("house://big", "house", "big"),
        ("HOUSE://big", "house", "big"),
        ("openai-compatibility://mine", "mirror", "mine"),
        ("mirror://shared", "mirror", "m-shared"),
        ("claude://shared", "sk-ant", CLAUDE),
        ("coder", "qwen", "qwen3-coder-plus"),
        ("coder-two", "qwen", "qwen3-coder-plus"),
        ("qwen3-coder-plus", "qwen", "qwen3-coder-plus"),
        ("qwen://quick", "qwen", "qwen3-coder-flash"),
        ("vision-model", "qwen", "coder-model"),
        ("odd(name)", "house", "odd(name)"),
        ("deep", "house", "thinker"),
    ],
)
def test_a_name_leads_to_an_account_and_a_model(world: World, name: str, account: str, model: str) -> None:
    assert world.served(name, 2) == {(account, model): 2}


@pytest.mark.parametrize(
    ("name", "model", "effort"),
    [
        ("big(high)", "big", "high"),
        ("team/big(low)", "big", "low"),
        ("house://big(medium)", "big", "medium"),
        ("gpt-9-high", "gpt-9", "high"),
        ("forced(low)", "real-name", "low"),
        ("deep(low)", "thinker", "high"),
        ("odd(name)", "odd(name)", None),
        ("big", "big", None),
    ],
)
def test_a_suffix_is_a_wish_for_reasoning(world: World, name: str, model: str, effort: str | None) -> None:
    """The owner's wish, which is part of the name he gave, goes before the client's."""
    world.served(name)
    (seen,) = world.seen()
    assert (seen.body["model"], seen.body.get("reasoning_effort")) == (model, effort)


def test_several_models_behind_one_alias_take_turns(world: World) -> None:
    assert world.served("pool", 4) == {("house", "vendor/m1"): 2, ("house", "vendor/m2"): 2}
    assert world.served("team/pool", 4) == {("house", "vendor/m1"): 2, ("house", "vendor/m2"): 2}


def test_a_pool_goes_on_with_its_other_models(tmp_path: Path) -> None:
    """In a world of its own: the model rests for a long time."""
    with world_of(tmp_path) as world:
        trio.run(world.chat.script, [{"when": {"contains": "vendor/m1"}, "status": 404, "times": 0}])
        assert world.ask("pool").status_code == world.ask("pool").status_code == 200
        assert world.ask("house://team/pool").status_code == 200
        trio.run(world.chat.forget)


def test_models_of_two_providers_behind_one_name_take_turns(world: World) -> None:
    assert world.served("shared", 6) == {("mirror", "m-shared"): 3, ("sk-ant", CLAUDE): 3}


def test_auto_is_a_model_that_can_be_used(world: World) -> None:
    """Of the account with the highest priority; suffixes are kept."""
    ((account, _model),) = world.served("auto")
    assert account == "house"
    assert world.served("auto(low)").total() == 1


ASKED: Final[dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50},
    "/v1/responses": {"input": "Hello"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("name", ["forced", "team/forced", "quick"])
def test_a_forced_mapping_shows_the_clients_name(world: World, path: str, name: str, stream: bool) -> None:
    answer = world.post(path, {"model": name, "stream": stream, **ASKED[path]})
    assert answer.status_code == 200
    assert f'"model":"{name}"' in answer.text.replace('": "', '":"')
    assert "real-name" not in answer.text
    assert "qwen3-coder-flash" not in answer.text


# --- who may see what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (ONE_KEY, ["pool", *(f"team/{name}" for name in HOUSE)]),
        (ELSEWHERE_KEY, ["mine", "shared"]),
    ],
    ids=["models", "providers"],
)
def test_a_client_sees_and_reaches_what_its_key_may_use(world: World, key: str, names: list[str]) -> None:
    for shape in LISTS:
        assert world.listed(shape, key) == names
    for name in ALL:
        assert world.ask(name, key).status_code == (200 if name in names else 404), name
    for name in ("house://big", "claude://shared", "qwen://coder"):
        assert world.ask(name, key).status_code == 404, name
    assert world.ask("auto", key).status_code == 200


def test_a_name_that_two_providers_serve_stays_with_the_one_a_key_may_use(world: World) -> None:
    for emulator in (world.chat, world.claude):
        trio.run(emulator.forget)
    for _ in range(4):
        assert world.ask("shared", ELSEWHERE_KEY).status_code == 200
    assert {key_of(seen) for seen in world.seen()} == {"mirror"}


# --- prefixes that are forced, and accounts that come and go ------------------------------------------------


def test_a_forced_prefix_is_the_only_name(tmp_path: Path) -> None:
    with world_of(tmp_path, "force-model-prefix: true\n" + CONFIG) as world:
        names = sorted([*(f"team/{name}" for name in HOUSE), *QWEN, "mine", "shared"])
        for shape in LISTS:
            assert world.listed(shape) == names
        assert world.ask("big").status_code == 404
        assert world.served("team/big") == {("house", "big"): 1}


def test_lists_follow_the_accounts(tmp_path: Path) -> None:
    """Out of quota: listed, and said when to come back. Away for long, switched off, removed: not listed."""
    with world_of(tmp_path) as world:
        scripts = [
            {"when": {"key": "qwen-key"}, "status": 429, "retry_after": 300},
            {"when": {"key": "mirror-key"}, "status": 503, "retry_after": 300},
        ]
        trio.run(world.chat.script, scripts)
        assert world.ask("coder").status_code == 429
        assert world.ask("coder").headers["retry-after"]
        assert "coder" in world.listed()
        assert world.ask("mine").status_code == 503
        assert world.ask("mine").status_code == 503
        for shape in LISTS:
            assert world.listed(shape) == [name for name in ALL if name != "mine"]
        assert world.served("shared", 4) == {("mirror", "m-shared"): 2, ("sk-ant", CLAUDE): 2}

        file = world.directory / "auth" / "qwen-me.json"
        account = json.loads(file.read_text())
        file.write_text(json.dumps({**account, "disabled": True}))
        until(lambda: "coder" not in world.listed(), "the account switched off")
        gone = [name for name in ALL if name not in {*QWEN, "mine"}]
        for shape in LISTS:
            assert world.listed(shape) == gone
        assert world.ask("coder").status_code == 404
        file.write_text(json.dumps({**account, "excluded_models": ["*flash"]}))
        until(lambda: "coder" in world.listed(), "the account switched on")
        assert "quick" not in world.listed()
        assert world.ask("quick").status_code == 404
        file.unlink()
        until(lambda: "coder" not in world.listed(), "the removed account")
        assert world.ask("coder").status_code == 404

        path = world.directory / "config.yaml"
        path.write_text(path.read_text().replace("alias: pool", "alias: renamed"))
        world.server.process.send_signal(signal.SIGHUP)
        until(lambda: "renamed" in world.listed(), "the new alias")
        assert world.ask("pool").status_code == 404
        assert world.served("renamed", 2) == {("house", "vendor/m1"): 1, ("house", "vendor/m2"): 1}
