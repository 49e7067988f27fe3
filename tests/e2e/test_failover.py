"""Two accounts, and everything the first one's upstream can do wrong: who answers, and what the client sees.

The first account has priority, and every request is tried there first: conversations do not stay. What fails
before the client has received anything costs the client nothing: the second account answers. After that an
answer can only end with an error. A fault of the request is nobody's fault but the client's, and is answered
as it is.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx2 as httpx
import openai
import pytest
import trio
from attrs import frozen

from emulators.faults import FAULTS
from support.conversation import Clients, Said, Wish
from support.emulator import Emulator, Seen, running_emulator
from support.server import Server, running
from support.talks import TALKS

SECOND: Final = "from the second"
FIRST_TEXT: Final = "one two three four five six seven eight"
FIRST: Final[dict[str, Any]] = {"blocks": [{"text": FIRST_TEXT}]}

CONFIG: Final = """\
disable-cooling: true
request-retry: 0
routing: {session-affinity: false}
limits: {answer-mb: 8, event-mb: 8}
"""
SHORT: Final = "timeouts: {connect-seconds: 1, first-byte-seconds: 1, idle-seconds: 1}\n"


def accounts(**bases: str) -> str:
    """The accounts, in the order of their priority. One model is everywhere but at the odd places; each of
    those has a model that is else only at the second upstream."""
    models = {name: ["m"] if name == "first" else [name] for name in bases}
    models["second"] = ["m", *(name for name in bases if name not in {"first", "second"})]
    lines = ["openai-compatibility:"]
    for number, (name, base) in enumerate(bases.items()):
        served = ", ".join(f"{{name: {model}}}" for model in models[name])
        lines += [
            f"  - name: {name}",
            f"    priority: {len(bases) - number}",
            f'    base-url: "{base}/v1"',
            "    api-key-entries: [{api-key: any-key}]",
            f"    models: [{served}]",
        ]
    return "\n".join(lines)


@frozen
class Pair:
    """The server and the two upstreams behind it."""

    server: Server
    clients: Clients
    first: Emulator
    second: Emulator

    def script(self, *entries: dict[str, Any]) -> None:
        """Say what the first upstream does."""
        trio.run(self.first.script, [_speaking(entry) for entry in entries])

    def ask(self, client: str = "chat", *, stream: bool = True, model: str = "m") -> Said:
        """Ask through one of the packages."""
        return TALKS[client](self.clients, Wish(model=model)).ask("Hello", stream=stream)

    def asked(self) -> tuple[int, int]:
        """How many requests each upstream saw."""
        return len(trio.run(self.first.log)), len(trio.run(self.second.log))

    def wait(self, **figures: int) -> list[Seen]:
        """Wait for the first upstream's log."""
        return trio.run(lambda: self.first.wait(**figures))

    def reset(self) -> None:
        """Forget everything that happened at the upstreams."""
        refused = [trio.run(emulator.refusals) for emulator in (self.first, self.second)]
        for emulator in (self.first, self.second):
            trio.run(emulator.reset)
        trio.run(self.second.script, [{"turn": {"blocks": [{"text": SECOND}]}, "times": 0}])
        assert refused == [[], []]


def _speaking(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry that says :data:`FIRST`, if it leaves open what is said."""
    whole = {**FAULTS.get(entry.get("fault", ""), {}), **entry}
    return entry if {"status", "raw", "turn"} & whole.keys() else {"turn": FIRST, **entry}


@contextmanager
def pair_of(directory: Path, config: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_emulator("openai", vendor="compatible")) for _ in range(2)
        )
        with socket.create_server(("127.0.0.1", 0)) as taken:
            closed = taken.getsockname()[1]
        listed = accounts(
            first=first.base_url,
            closed=f"http://127.0.0.1:{closed}",
            tls=f"https://127.0.0.1:{first.port}",
            lost="http://lost.invalid",
            second=second.base_url,
        )
        server = stack.enter_context(
            running(directory, config=config + listed, NO_PROXY="127.0.0.1,lost.invalid")
        )
        clients = Clients.of(server.url)
        stack.callback(clients.close)
        pair = Pair(server, clients, first, second)
        pair.reset()
        yield pair


@pytest.fixture(scope="module")
def running_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A server that never rests an account, so that every test finds both of them ready."""
    with pair_of(tmp_path_factory.mktemp("pair"), CONFIG + SHORT) as pair:
        yield pair


@pytest.fixture
def pair(running_pair: Pair) -> Iterator[Pair]:
    yield running_pair
    running_pair.reset()


@pytest.fixture(params=[("chat", True), ("chat", False), ("claude", True), ("claude", False)], ids=str)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Passed through or translated, streamed or not."""
    client, stream = request.param
    return {"client": client, "stream": stream}


# --- nothing has reached the client -------------------------------------------------------------------------

BEFORE: Final[Mapping[str, dict[str, Any]]] = {
    "silence": {"fault": "silence"},
    "close before the head": {"fault": "close_before_head"},
    "reset before the head": {"fault": "reset_before_head"},
    "head, then silence": {"fault": "head_then_silence"},
    "head, then reset": {"fault": "head_then_reset"},
    "half an event, then the end of the connection": {"fault": "half_event_fin", "cut_after": 0},
    "half an event, then the end of the body": {"fault": "half_event_end", "cut_after": 0},
    "half a character, then reset": {"fault": "half_utf8_rst"},
    "an error with status 200": {"fault": "json_error_200"},
    "nothing with status 200": {"fault": "empty_200"},
    "a page with status 200": {"fault": "html_200"},
    "no HTTP": {"fault": "not_http"},
    "a wrong chunk": {"fault": "bad_chunk", "bad_chunk_after": 0},
    "a redirect": {"fault": "redirect"},
    "more than can be": {"fault": "huge_body"},
    "401": {"status": 401},
    "402": {"status": 402},
    "403": {"status": 403},
    "404": {"status": 404},
    "408": {"status": 408},
    "429": {"status": 429},
    "429 with a time": {"status": 429, "retry_after": 30},
    "500": {"status": 500},
    "502": {"status": 502},
    "503 with a date": {"status": 503, "retry_after_date": 30},
    "529": {"status": 529},
}


@pytest.mark.parametrize("fault", BEFORE)
def test_the_second_account_answers(pair: Pair, way: dict[str, Any], fault: str) -> None:
    pair.script(BEFORE[fault])
    assert pair.ask(**way).text == SECOND
    assert pair.asked() == (1, 1)


@pytest.mark.parametrize("model", ["closed", "tls", "lost"])
def test_an_upstream_that_cannot_be_reached(pair: Pair, way: dict[str, Any], model: str) -> None:
    """And not only the first time: the second upstream is at the same host, at another port."""
    for _ in range(2):
        assert pair.ask(**way, model=model).text == SECOND


@pytest.mark.parametrize("client", ["chat", "claude"])
@pytest.mark.parametrize(
    "script",
    [
        {"fault": "half_event_fin"},
        {"fault": "error_event", "error_after": 1},
        {"fault": "stall", "silence_after": 1},
        {"cut": "end", "cut_after": 1},
    ],
    ids=json.dumps,
)
def test_an_opening_without_content_is_held_back(pair: Pair, client: str, script: dict[str, Any]) -> None:
    pair.script(script)
    assert pair.ask(client).text == SECOND


def test_an_error_in_place_of_a_body_that_was_not_streamed(pair: Pair, way: dict[str, Any]) -> None:
    pair.script({"raw": {"json": {"error": {"message": "quota", "code": "insufficient_quota"}}}})
    assert pair.ask(**way).text == SECOND


# --- something has reached the client -----------------------------------------------------------------------

AFTER: Final[Mapping[str, dict[str, Any]]] = {
    name: {**script, "pace": 0.02}
    for name, script in {
        "half an event": {"fault": "half_event_fin", "cut_after": 3},
        "the end of the body": {"cut": "end", "cut_after": 3},
        "reset": {"cut": "rst", "cut_after": 3},
        "silence": {"fault": "stall", "silence_after": 3},
        "an error event": {"fault": "error_event", "error_after": 3},
        "a wrong chunk": {"fault": "bad_chunk", "bad_chunk_after": 3},
    }.items()
}
"""One event at a time: an error in the same packet as the first word is one before the first word."""


@pytest.mark.parametrize("fault", AFTER)
@pytest.mark.parametrize("client", ["chat", "claude"])
def test_an_answer_that_breaks_off_ends_with_an_error(pair: Pair, client: str, fault: str) -> None:
    pair.script(AFTER[fault])
    error = {"chat": openai.APIError, "claude": anthropic.APIStatusError}[client]
    with pytest.raises(error):
        pair.ask(client)
    assert pair.asked() == (1, 0)


@pytest.mark.parametrize(("at", "asked"), [(1, (1, 1)), (3, (1, 0))])
def test_an_event_of_broken_json_is_an_error_where_it_must_be_read(
    pair: Pair, at: int, asked: tuple[int, int]
) -> None:
    """What is passed through is passed through: such a client would see the same without a proxy."""
    pair.script({"broken_event": at, "pace": 0.02})
    if asked == (1, 1):
        assert pair.ask("claude").text == SECOND
    else:
        with pytest.raises(anthropic.APIStatusError, match="not JSON"):
            pair.ask("claude")
    assert pair.asked() == asked


def raw_stream(pair: Pair, path: str, body: dict[str, Any]) -> str:
    """The bytes of a stream as they come to a client without a package."""
    with httpx.Client(base_url=pair.server.url, trust_env=False, timeout=20) as client:
        return client.post(path, json={"model": "m", "stream": True, "max_tokens": 100, **body}).text


HELLO: Final = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("fault", AFTER)
def test_nothing_follows_the_error(pair: Pair, fault: str) -> None:
    pair.script(AFTER[fault], AFTER[fault])
    chat = raw_stream(pair, "/v1/chat/completions", HELLO).rstrip().split("\n\n")
    assert "error" in json.loads(chat[-1].removeprefix("data: "))
    claude = raw_stream(pair, "/v1/messages", HELLO).rstrip().split("\n\n")
    assert claude[-1].startswith("event: error\n")
    assert sum("error" in event for event in claude) == 1


# --- faults that are none -----------------------------------------------------------------------------------

HARMLESS: Final[Mapping[str, dict[str, Any]]] = {
    "no terminal event": {"fault": "no_terminal"},
    "two terminal events": {"fault": "two_terminals"},
    "compression": {"fault": "gzip"},
    "another content type": {"fault": "wrong_content_type"},
    "a byte at a time": {"drip": 0.0002},
    "cut anywhere": {"split": 7},
    "all at once": {"coalesce": True},
}


@pytest.mark.parametrize("oddity", HARMLESS)
def test_the_first_account_answers_all_the_same(pair: Pair, way: dict[str, Any], oddity: str) -> None:
    pair.script(HARMLESS[oddity])
    assert pair.ask(**way).text == FIRST_TEXT
    assert pair.asked() == (1, 0)


def test_one_event_of_a_megabyte(pair: Pair, way: dict[str, Any]) -> None:
    trio.run(pair.first.script, [{"fault": "huge_event"}])
    assert pair.ask(**way).text == "x" * 1024 * 1024


@pytest.mark.parametrize("fault", ["no_terminal", "two_terminals"])
def test_a_stream_has_exactly_one_end(pair: Pair, fault: str) -> None:
    pair.script({"fault": fault}, {"fault": fault})
    assert raw_stream(pair, "/v1/chat/completions", HELLO).count("[DONE]") == 1
    assert raw_stream(pair, "/v1/messages", HELLO).count("event: message_stop") == 1


# --- faults of the request ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_fault_of_the_request_is_answered_as_it_is(pair: Pair, way: dict[str, Any], status: int) -> None:
    pair.script({"status": status, "message": "Not like that."})
    error = {"chat": openai.APIStatusError, "claude": anthropic.APIStatusError}[way["client"]]
    with pytest.raises(error, match="Not like that") as caught:
        pair.ask(**way)
    assert caught.value.status_code == status
    assert pair.asked() == (1, 0)


# --- both fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [
        ({"status": 429, "retry_after": 7}, {"status": 429, "retry_after": 90}, (429, "7")),
        ({"status": 429, "retry_after": 7}, {"status": 401}, (429, "7")),
        ({"status": 401}, {"status": 503}, (401, None)),
        ({"status": 503}, {"fault": "close_before_head"}, (503, None)),
        ({"fault": "close_before_head"}, {"fault": "empty_200"}, (502, None)),
    ],
    ids=str,
)
def test_of_two_failures_the_client_sees_the_one_it_learns_most_from(
    pair: Pair,
    way: dict[str, Any],
    first: dict[str, Any],
    second: dict[str, Any],
    seen: tuple[int, str | None],
) -> None:
    pair.script(first)
    trio.run(pair.second.script, [second])
    error = {"chat": openai.APIStatusError, "claude": anthropic.APIStatusError}[way["client"]]
    with pytest.raises(error) as caught:
        pair.ask(**way)
    assert (caught.value.status_code, caught.value.response.headers.get("retry-after")) == seen
    assert pair.asked() == (1, 1)


@pytest.mark.parametrize("faults", [({"status": 429, "retry_after": 60}, {"status": 500})], ids=str)
@pytest.mark.parametrize("order", [1, -1])
def test_who_is_away_for_a_moment_is_sooner_back_than_who_is_out_of_quota(
    pair: Pair, way: dict[str, Any], faults: tuple[dict[str, Any], dict[str, Any]], order: int
) -> None:
    """The client is not told to stay away for as long as the quota lasts."""
    first, second = faults[::order]
    pair.script(first)
    trio.run(pair.second.script, [second])
    error = {"chat": openai.APIStatusError, "claude": anthropic.APIStatusError}[way["client"]]
    with pytest.raises(error) as caught:
        pair.ask(**way)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) <= 2
    assert pair.asked() == (1, 1)


# --- accounts that rest -------------------------------------------------------------------------------------

RESTING: Final = "request-retry: 0\n"


def test_an_account_that_must_wait_is_left_alone(tmp_path: Path) -> None:
    with pair_of(tmp_path, RESTING) as pair:
        pair.script({"status": 429, "retry_after": 60})
        assert [pair.ask(stream=stream).text for stream in (True, False, True)] == [SECOND] * 3
        assert pair.asked() == (1, 3)


def test_a_fault_of_the_request_rests_nobody(tmp_path: Path) -> None:
    with pair_of(tmp_path, RESTING) as pair:
        pair.script({"status": 400})
        with pytest.raises(openai.BadRequestError):
            pair.ask()
        pair.script({})
        assert pair.ask().text == FIRST_TEXT


def test_when_all_accounts_wait_the_client_is_told_how_long(tmp_path: Path) -> None:
    with pair_of(tmp_path, RESTING) as pair:
        pair.script({"status": 429, "retry_after": 60})
        trio.run(pair.second.script, [{"status": 429, "retry_after": 40}])
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as caught:
                pair.ask()
            assert 30 < int(caught.value.response.headers["retry-after"]) <= 66
        assert pair.asked() == (1, 1)


# --- the client leaves --------------------------------------------------------------------------------------


def leave_after_content(pair: Pair) -> float:
    """Read the first content of a stream and go; returns the time of going."""
    with httpx.Client(base_url=pair.server.url, trust_env=False, timeout=20) as client:
        wanted = {"model": "m", "stream": True, **HELLO}
        with client.stream("POST", "/v1/chat/completions", json=wanted) as answer:
            next(answer.iter_raw())
            return time.monotonic()


def leave_before_the_head(stream: bool) -> Callable[[Pair], float]:
    """Send a request and go before anything has come; returns the way to do it."""

    def leave(pair: Pair) -> float:
        body = json.dumps({"model": "m", "stream": stream, **HELLO}).encode()
        host, _, port = pair.server.url.removeprefix("http://").partition(":")
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            pair.wait(requests=1)
            return time.monotonic()

    return leave


@pytest.mark.parametrize(
    ("script", "leave"),
    [
        ({"fault": "stall"}, leave_after_content),
        ({"hold_head": True}, leave_before_the_head(stream=True)),
        ({"hold_head": True}, leave_before_the_head(stream=False)),
        ({"hold_after": 1}, leave_before_the_head(stream=True)),
    ],
    ids=["in the middle", "before the head of a stream", "before the head", "in the opening"],
)
def test_the_upstream_is_let_go_when_the_client_leaves(
    patient: Pair,
    script: dict[str, Any],
    leave: Callable[[Pair], float],
) -> None:
    """Within a second, although the upstream is silent and nothing is left to write."""
    patient.script(script)
    left_at = leave(patient)
    (seen,) = patient.wait(disconnected=1)
    assert seen.disconnected_at is not None
    assert seen.disconnected_at - left_at < 1
    assert patient.asked() == (1, 0)
    patient.reset()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A server whose own limits are far away."""
    with pair_of(tmp_path_factory.mktemp("patient"), CONFIG) as started:
        yield started
