"""Who answers, with the real server: strategies, priorities, limits, and answers that an account keeps.

The accounts are keys of one emulated upstream, and told apart by them there.
"""

import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio
from attrs import define, frozen

from support.emulator import Emulator, running_emulator
from support.server import Server, running

LIMIT_S: Final = 15.0
RESTLESS: Final = "disable-cooling: true\nrequest-retry: 0\n"


def entry(name: str, **settings: object) -> str:
    """An upstream with one key, whose settings are those of the entry or of the key."""
    own = {key: settings.pop(key) for key in ("weight", "max-concurrent") if key in settings}
    said: dict[str, object] = {
        "name": name,
        "base-url": "BASE/v1",
        "api-key-entries": [{"api-key": f"{name}-key", **own}],
        "models": [{"name": "m"}],
        **settings,
    }
    return f"  - {json.dumps(said)}\n"


@frozen
class World:
    """The server, and the upstream of all accounts."""

    server: Server
    upstream: Emulator
    directory: Path

    def ask(self, said: str = "Hello") -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": said}]}
        url = f"{self.server.url}/v1/chat/completions"
        return httpx.post(url, json=body, trust_env=False, timeout=LIMIT_S)

    def order(self, *said: str) -> str:
        """Who was asked for some requests one after the other, by first letters."""
        trio.run(self.upstream.forget)
        for each in said:
            assert self.ask(each).status_code == 200
        return self.asked()

    def asked(self) -> str:
        """Who was asked since then."""
        log = trio.run(self.upstream.log)
        return "".join((seen.header("authorization") or "").removeprefix("Bearer ")[0] for seen in log)

    def script(self, *entries: dict[str, Any]) -> None:
        trio.run(self.upstream.script, list(entries))

    def figures(self) -> str:
        return httpx.get(f"{self.server.url}/metrics", trust_env=False).text


@contextmanager
def world_of(directory: Path, *entries: str, config: str = RESTLESS, **routing: object) -> Iterator[World]:
    with ExitStack() as stack:
        upstream = stack.enter_context(running_emulator("openai", vendor="compatible"))
        listed = "".join(entries).replace("BASE", upstream.base_url)
        said = {"session-affinity": False, **routing}
        text = f"{config}routing: {json.dumps(said)}\nopenai-compatibility:\n{listed}"
        yield World(stack.enter_context(running(directory, config=text)), upstream, directory)
        assert trio.run(upstream.refusals) == []


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"this did not come: {what}"
        time.sleep(0.05)  # noqa: TID251 - waits for another process


@contextmanager
def under_way(world: World, said: Sequence[str]) -> Iterator[list[int]]:
    """Some requests at the same time; gives the statuses of those that are done."""
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda text: done.append(world.ask(text).status_code), args=(each,))
        for each in said
    ]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        for thread in threads:
            thread.join()


# --- strategies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("round-robin", "abcabcab"),
        ("rr", "abcabcab"),
        ("fill-first", "aaaaaaaa"),
        ("weighted-round-robin", "babbbabb"),
        ("least-busy", "abcabcab"),
    ],
)
def test_the_strategy_says_whose_turn_it_is(tmp_path: Path, strategy: str, order: str) -> None:
    entries = (entry("a"), entry("b", weight=3), entry("c", weight=0))
    with world_of(tmp_path, *entries, strategy=strategy) as world:
        seen = world.order(*["Hello"] * 8)
    assert (Counter(seen) if strategy.startswith("weighted") else seen) == (
        Counter(order) if strategy.startswith("weighted") else order
    )


def test_the_least_busy_is_asked(tmp_path: Path) -> None:
    with world_of(tmp_path, entry("a"), entry("b"), strategy="least-busy") as world:
        world.script({"when": {"contains": "Wait"}, "hold_head": True})
        with under_way(world, ["Wait"]) as done:
            trio.run(lambda: world.upstream.wait(holding=1))
            assert [world.ask().status_code for _ in range(3)] == [200] * 3
            trio.run(world.upstream.release)
        assert world.asked() == "abbb"
    assert done == [200]


def test_turns_go_on_where_they_were_after_a_reload(tmp_path: Path) -> None:
    with world_of(tmp_path, entry("a"), entry("b"), entry("c")) as world:
        assert world.order("Hello") == "a"
        path = world.directory / "config.yaml"
        path.write_text(path.read_text() + entry("d").replace("BASE", world.upstream.base_url))
        world.server.process.send_signal(signal.SIGHUP)
        until(lambda: "configuration taken over" in world.server.log(), "the reload")
        assert Counter(world.order(*["Hello"] * 3)) == Counter("bcd")


# --- priorities ---------------------------------------------------------------------------------------------


def test_a_lower_tier_answers_while_the_higher_one_rests(tmp_path: Path) -> None:
    entries = (entry("a", priority=2), entry("b", priority=2), entry("c"), entry("d", priority=-1))
    with world_of(tmp_path, *entries, config="request-retry: 0\n") as world:
        assert world.order(*["Hello"] * 4) == "abab"
        limited = {"status": 429, "retry_after": 2}
        world.script(*({"when": {"key": f"{name}-key"}, **limited} for name in "abc"))
        assert world.ask().status_code == 200
        assert world.asked()[4:] == "abcd"
        assert world.order("Hello", "Hello") == "dd"
        until(lambda: world.order("Hello") != "d", "the higher tier")
        until(lambda: Counter(world.order(*["Hello"] * 4)) == Counter("aabb"), "both of the higher tier")


def test_only_so_many_accounts_are_tried_each_with_its_whole_pool(tmp_path: Path) -> None:
    pool = [{"name": "m1", "alias": "m"}, {"name": "m2", "alias": "m"}]
    entries = [entry(name, models=pool) for name in "abc"]
    with world_of(tmp_path, *entries, config=f"{RESTLESS}max-retry-credentials: 2\n") as world:
        world.script({"status": 500, "times": 0})
        assert world.ask().status_code == 500
        assert Counter(world.asked()) == Counter("aabb")


def test_only_so_many_accounts_are_in_use(tmp_path: Path) -> None:
    config = "request-retry: 0\nmax-active-auths: 2\n"
    with world_of(tmp_path, *map(entry, "abc"), config=config) as world:
        assert world.order(*["Hello"] * 4) == "abab"
        world.script({"when": {"key": "b-key"}, "status": 429, "retry_after": 300})
        while "b" not in world.asked()[4:]:
            assert world.ask().status_code == 200
        assert Counter(world.order(*["Hello"] * 4)) == Counter("aacc")


# --- places -------------------------------------------------------------------------------------------------


def test_an_account_has_no_more_under_way_than_it_may(tmp_path: Path) -> None:
    """Six requests, three places: three wait, nobody is refused, and no account ever has too many."""
    entries = (entry("a", **{"max-concurrent": 2}), entry("b"))
    with world_of(tmp_path, *entries, **{"max-concurrent": 1}) as world:
        world.script({"hold_head": True, "times": 0})
        with under_way(world, [f"Wait {number}" for number in range(6)]) as done:
            trio.run(lambda: world.upstream.wait(holding=3))
            assert Counter(world.asked()) == Counter("aab")
            for holding in (3, 3, 3):
                trio.run(world.upstream.release)
                trio.run(lambda count=holding: world.upstream.wait(holding=count))
            assert Counter(world.asked()).total() == 6
            trio.run(lambda: world.upstream.release(3))
        assert done == [200] * 6


def test_who_waits_in_vain_for_a_place_is_told_so(tmp_path: Path) -> None:
    entries = (entry("a", **{"max-concurrent": 1}),)
    with world_of(tmp_path, *entries, config="request-retry: 0\nmax-retry-interval: 1\n") as world:
        world.script({"hold_head": True})
        with under_way(world, ["Wait"]):
            trio.run(lambda: world.upstream.wait(holding=1))
            answer = world.ask()
            trio.run(world.upstream.release)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "accounts_busy")
        assert int(answer.headers["retry-after"]) >= 1


# --- conversations ------------------------------------------------------------------------------------------


def test_a_conversation_stays_where_prompts_are_cached(tmp_path: Path) -> None:
    """And how much of the prompts was read from a cache is among the figures."""
    with ExitStack() as stack:
        upstream = stack.enter_context(running_emulator("claude"))
        keys = "".join(f"  - {{api-key: sk-ant-{name}, base-url: '{upstream.base_url}'}}\n" for name in "abc")
        server = stack.enter_context(running(tmp_path, config=f"claude-api-key:\n{keys}"))
        used = {"input": 100, "cache_read": 80, "output": 5}
        trio.run(upstream.script, [{"turn": {"blocks": [{"text": "Yes."}], "usage": used}, "times": 0}])
        model = "claude-sonnet-4-5-20250929"
        for _ in range(3):
            for said in ("one", "two", "three"):
                body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
                answer = httpx.post(f"{server.url}/v1/messages", json=body, trust_env=False)
                assert answer.status_code == 200
        homes: dict[str, set[str | None]] = {}
        for seen in trio.run(upstream.log):
            homes.setdefault(seen.body["messages"][0]["content"], set()).add(seen.header("authorization"))
        assert {len(home) for home in homes.values()} == {1}
        assert len(set.union(*homes.values())) == 3
        figures = httpx.get(f"{server.url}/metrics", trust_env=False).text
    tokens = dict(re.findall(r'cliproxy_tokens_total\{.*class="(\w+)".*\} (\d+)', figures))
    prompts = sum(int(tokens.get(name, 0)) for name in ("input", "cache_read", "cache_write"))
    assert int(tokens["cache_read"]) / prompts == 0.8


# --- answers that are kept ----------------------------------------------------------------------------------

USERS: Final = {
    str(number): {"username": f"u{number}", "name": "N", "email": "n@example.com", "seat": True}
    for number in (1, 2, 3)
}
TOKENS: Final = {f"glpat-{each}": {"user": int(each), "scopes": ["api", "read_user"]} for each in USERS}


@define
class Keepers:
    """A server with three accounts whose upstream keeps answers."""

    server: Server
    upstream: Emulator
    config: Path
    _seen: int = 0

    def ask(self, stream: bool, **members: object) -> httpx.Response:
        body = {"model": "gpt-5-codex", "stream": stream, **members}
        return httpx.post(f"{self.server.url}/v1/responses", json=body, trust_env=False, timeout=LIMIT_S)

    def answer(self, stream: bool, **members: object) -> str:
        """The id of an answer."""
        answer = self.ask(stream, **members)
        assert answer.status_code == 200, answer.text
        if not stream:
            return answer.json()["id"]
        lines = [
            line for line in answer.text.splitlines() if line.startswith('data: {"type":"response.compl')
        ]
        return json.loads(lines[-1].removeprefix("data: "))["response"]["id"]

    def asked(self) -> list[str]:
        """Which users were asked since the last look."""
        log = [seen for seen in trio.run(self.upstream.log) if seen.path.endswith("/responses")]
        fresh, self._seen = log[self._seen :], len(log)
        return [(seen.header("x-gitlab-global-user-id") or "")[-1] for seen in fresh]

    def remove(self, user: str) -> None:
        """Take an account out of the configuration."""
        lines = self.config.read_text().splitlines(keepends=True)
        self.config.write_text("".join(line for line in lines if f"glpat-{user}" not in line))
        self.server.process.send_signal(signal.SIGHUP)


@pytest.fixture
def keepers(tmp_path: Path) -> Iterator[Keepers]:
    with running_emulator("gitlab", agent_base_url=True, users=USERS, tokens=TOKENS) as upstream:
        entries = [f"  - {{api-key: {token}, base-url: '{upstream.base_url}'}}\n" for token in TOKENS]
        config = "routing: {session-affinity: false}\ngitlab-api-key:\n" + "".join(entries)
        with running(tmp_path, config=config, NO_PROXY="127.0.0.1") as server:
            keepers = Keepers(server, upstream, tmp_path / "config.yaml")
            until(lambda: keepers.ask(False, input="hi").status_code == 200, "the models")
            keepers.asked()
            yield keepers


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_account_keeps_is_gone_on_from_there(keepers: Keepers, stream: bool) -> None:
    last = {number: keepers.answer(stream, input=f"Say {number}") for number in range(3)}
    homes = keepers.asked()
    assert sorted(homes) == ["1", "2", "3"]
    for _ in range(2):
        last = {
            number: keepers.answer(stream, input="And then?", previous_response_id=answer)
            for number, answer in last.items()
        }
        assert keepers.asked() == homes


def test_without_the_account_it_is_refused_by_name(keepers: Keepers) -> None:
    """Whoever else serves the model is not asked."""
    answers = [keepers.answer(False, input="Hello") for _ in range(3)]
    homes = keepers.asked()
    keepers.remove(homes[0])
    until(
        lambda: keepers.ask(False, input="Hello", previous_response_id=answers[0]).status_code != 200,
        "the refusal",
    )
    keepers.asked()
    for stream in (False, True):
        refusal = keepers.ask(stream, input="Hello", previous_response_id=answers[0])
        error = refusal.json()["error"]
        assert (refusal.status_code, error["code"]) == (400, "previous_response_not_found")
        assert error["param"] == "previous_response_id"
        assert answers[0] in error["message"]
    assert keepers.asked() == []
    keepers.answer(False, input="Hello", previous_response_id=answers[1])
    assert keepers.asked() == homes[1:2]
