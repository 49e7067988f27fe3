"""What clients can do wrong, and too much of: each is refused in its API's own words, and at once.

The server runs in this process, on real sockets, with limits that are reached easily.
"""

import gzip
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio
from attrs import field, frozen

from cliproxy.errors import Kind
from cliproxy.exchange.record import Outcome
from support.emulator import Emulator, running_emulator
from support.inside import Inside, inside, yaml_of
from support.plainly import HELLO, Way

KEYS: Final = ("first-key-of-the-owner", "second-key-of-the-owner")
EACH, TOTAL, CONNECTIONS = 2, 3, 8
CONFIG: Final = f"""\
api-keys: [{", ".join(KEYS)}]
request-retry: 0
limits:
  body-mb: 1
  header-kb: 8
  header-count: 20
  connections: {CONNECTIONS}
  concurrent-requests: {TOTAL}
  concurrent-requests-per-key: {EACH}
"""
TIMES: Final = {"header_seconds": 0.5, "body_seconds": 0.5}
RESET: Final = struct.pack("ii", 1, 0)
SOON_S: Final = 1.0
CLIENTS: Final = ("chat", "responses", "claude", "gemini")


@frozen
class World:
    """The server and the upstream behind it."""

    server: Inside
    emulator: Emulator
    client: httpx.Client

    def script(self, **entry: Any) -> None:
        """Say what the upstream does from now on."""
        trio.run(self.emulator.script, [{**entry, "times": 0}])

    @contextmanager
    def connected(self) -> Iterator["Raw"]:
        """Connect without any package."""
        with Raw(socket.create_connection(self.server.address, timeout=10)) as raw:
            yield raw

    def post(self, way: Way, key: str = KEYS[0], **changes: Any) -> httpx.Response:
        """Ask, or send something else."""
        sent = {"json": way.body("m")} | changes
        headers = {"x-goog-api-key": key, **sent.pop("headers", {})}
        return self.client.post(way.path("m"), headers=headers, **sent)

    def is_quiet(self) -> bool:
        """Whether nothing is under way any more."""
        return self.server.do(self.server.service.runtime.statistics)["busy"] == 0


@frozen
class Raw:
    """A connection, byte by byte."""

    socket: socket.socket
    sent: list[bytes] = field(factory=list)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self.socket.sendall(data)

    def ask(self, *, stream: bool = True, more: bytes = b"", key: str = KEYS[0]) -> None:
        """Send a request, and what follows it."""
        body = json.dumps({"model": "m", "stream": stream, "messages": HELLO}).encode()
        self.send(head(len(body), key) + body + more)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer to its end."""
        with HTTPResponse(self.socket) as response:
            response.begin()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def is_closed(self) -> bool:
        """Wait until the server closes."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


def head(length: int, key: str = KEYS[0], *fields: bytes) -> bytes:
    return b"\r\n".join(
        (
            b"POST /v1/chat/completions HTTP/1.1",
            b"Host: x",
            b"Content-Type: application/json",
            b"Authorization: Bearer " + key.encode(),
            b"Content-Length: %d" % length,
            *fields,
            b"\r\n",
        )
    )


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        emulator = stack.enter_context(running_emulator("openai", vendor="compatible"))
        config = CONFIG + yaml_of(a=(emulator.base_url, ["m"], 1))
        server = stack.enter_context(inside(tmp_path_factory.mktemp("clients"), config, **TIMES))
        client = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False, timeout=10))
        yield World(server, emulator, client)


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    yield running_world
    until(running_world.is_quiet)
    running_world.server.settle()
    trio.run(running_world.emulator.reset)


def until(is_so: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)  # noqa: TID251 - waits for another thread


# --- leaving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closes", "resets", "half-closes"])
@pytest.mark.parametrize("more", [b"", b"\r\n"], ids=["", "with something sent ahead"])
@pytest.mark.parametrize(
    ("stream", "script"),
    [(True, {"hold_after": 3}), (True, {"hold_head": True}), (False, {"hold_head": True})],
    ids=["in the middle", "before the head of a stream", "before a whole answer"],
)
def test_a_client_that_leaves(
    world: World, how: str, more: bytes, stream: bool, script: dict[str, Any]
) -> None:
    """The upstream is silent all the time; nobody would notice by writing."""
    world.script(**script)
    with world.connected() as raw:
        raw.ask(stream=stream, more=more)
        trio.run(lambda: world.emulator.wait(holding=1))
        if how == "resets":
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        left_at = time.monotonic()
        if how == "half-closes":
            raw.socket.shutdown(socket.SHUT_WR)
        else:
            raw.socket.close()
        [seen] = trio.run(lambda: world.emulator.wait(disconnected=1))
    assert seen.disconnected_at is not None
    assert seen.disconnected_at - left_at < SOON_S
    [record] = world.server.wait_records(1).values()
    assert (record.outcome, record.status, record.kind) == (Outcome.CANCELLED, 499, Kind.CANCELLED)
    [note] = record.attempts
    assert (note.outcome, note.failure) == (Outcome.CANCELLED, None)
    assert world.server.pauses(note.credential, record) == {}
    until(lambda: world.server.do(lambda: world.server.service._http.door.open) <= 1)


# --- too slow -----------------------------------------------------------------------------------------------


def test_headers_that_trickle_in(world: World) -> None:
    begin = time.monotonic()
    with world.connected() as raw:
        raw.send(b"POST /v1/chat/completions HTTP/1.1\r\n")
        for _ in range(4):
            time.sleep(0.1)  # noqa: TID251 - what is slow here is the client
            raw.send(b"X-A: b\r\n")
        status, fields, _ = raw.answer()
    assert (status, fields["connection"]) == (408, "close")
    assert time.monotonic() - begin < TIMES["header_seconds"] + SOON_S


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_body_that_trickles_in(world: World, path: str) -> None:
    begin = time.monotonic()
    with world.connected() as raw:
        raw.send(head(1000).replace(b"/v1/chat/completions", path.encode()))
        for _ in range(4):
            time.sleep(0.1)  # noqa: TID251 - what is slow here is the client
            raw.send(b"x")
        status, _, body = raw.answer()
    assert status == 408
    assert Way("claude" if "messages" in path else "chat", stream=False).is_refusal(408, body.decode())
    assert time.monotonic() - begin < TIMES["body_seconds"] + SOON_S


# --- too much -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [[b"X-A: b"] * 30, [b"X-A: " + b"b" * 9000]], ids=["many", "long"])
def test_too_many_headers(world: World, fields: list[bytes]) -> None:
    with world.connected() as raw:
        raw.send(head(0, KEYS[0], *fields))
        assert raw.answer()[0] == 431


DEEP: Final = b'{"model": "m", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}"
BOMB: Final = gzip.compress(bytes(64 * 1024 * 1024))
LARGE: Final = b'{"model": "m", "messages": "' + b"x" * 1_100_000 + b'"}'


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (413, LARGE, {}),
        (413, gzip.compress(LARGE), {"content-encoding": "gzip"}),
        (413, BOMB, {"content-encoding": "gzip"}),
        (400, DEEP, {}),
        (400, gzip.compress(DEEP)[:-9], {"content-encoding": "gzip"}),
        (415, b"{}", {"content-encoding": "br"}),
        (415, b"{}", {"content-type": "text/plain"}),
        (400, b"{}[", {}),
    ],
    ids=[
        "large",
        "large when unpacked",
        "a bomb",
        "deep",
        "cut off",
        "unknown coding",
        "other type",
        "no JSON",
    ],
)
def test_a_body_that_cannot_be_taken(
    world: World, client: str, status: int, body: bytes, headers: dict[str, str]
) -> None:
    way = Way(client, stream=False)
    fields = {"content-type": "application/json", **headers}
    answer = world.post(way, json=None, content=body, headers=fields)
    assert answer.status_code == status
    assert way.is_refusal(status, answer.text)
    assert trio.run(world.emulator.log) == []


def test_a_refusal_can_be_read_by_who_is_still_sending(world: World) -> None:
    """Who has no key is not listened to, and is told so."""
    with world.connected() as raw:
        raw.send(head(900_000, "no-key") + b"x" * 500_000)
        status, _, body = raw.answer()
    assert status == 401
    assert b"key" in body


def test_what_is_no_http(world: World) -> None:
    with world.connected() as raw:
        raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert raw.answer()[0] == 400


def test_a_wish_for_http2_without_tls(world: World) -> None:
    with world.connected() as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert raw.answer()[0] == 200
    with world.connected() as raw:
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert raw.answer()[0] == 505


def test_a_websocket(world: World) -> None:
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with world.connected() as raw:
        raw.send(b"GET /v1/responses HTTP/1.1\r\nHost: x\r\n" + fields + b"Sec-WebSocket-Key: " + b"A" * 22)
        raw.send(b"==\r\n\r\n")
        assert raw.answer()[0] == 426


# --- too many -----------------------------------------------------------------------------------------------


@contextmanager
def held(world: World, *keys: str) -> Iterator[None]:
    """Keep requests under way with some keys."""
    world.script(hold_head=True)
    with ExitStack() as stack:
        for count, key in enumerate(keys, 1):
            stack.enter_context(world.connected()).ask(stream=count % 2 == 0, key=key)
            trio.run(lambda count=count: world.emulator.wait(holding=count))
        yield


def refused(world: World, way: Way, key: str) -> tuple[int, str | None]:
    """Ask and be refused: the status, and when to come back."""
    begin = time.monotonic()
    answer = world.post(way, key)
    assert time.monotonic() - begin < SOON_S
    assert way.is_refusal(answer.status_code, answer.text)
    return answer.status_code, answer.headers.get("retry-after")


def test_too_many_requests_of_one_key(world: World) -> None:
    with held(world, KEYS[0], KEYS[0]):
        for client in CLIENTS:
            for stream in (True, False):
                assert refused(world, Way(client, stream), KEYS[0]) == (429, "1")
    until(world.is_quiet)
    world.script()
    assert world.post(Way("chat", stream=False), KEYS[0]).status_code == 200


def test_too_many_requests_of_all(world: World) -> None:
    with held(world, KEYS[0], KEYS[1], KEYS[0]):
        for client in CLIENTS:
            for stream in (True, False):
                assert refused(world, Way(client, stream), KEYS[1]) == (503, "1")
    until(world.is_quiet)
    world.script()
    assert world.post(Way("chat", stream=False), KEYS[1]).status_code == 200


@pytest.mark.parametrize(
    ("client", "path", "body"),
    [
        ("claude", "/v1/messages/count_tokens", Way("claude", stream=False).body("m")),
        ("gemini", "/v1beta/models/m:countTokens", Way("gemini", stream=False).body("m")),
        ("chat", "/v1/embeddings", {"model": "m", "input": "Hello"}),
        ("responses", "/v1/responses/compact", Way("responses", stream=False).body("m")),
    ],
)
def test_side_matters_are_requests_too(world: World, client: str, path: str, body: dict[str, Any]) -> None:
    with held(world, KEYS[0], KEYS[0]):
        answer = world.client.post(path, json=body, headers={"x-goog-api-key": KEYS[0]})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert Way(client, stream=False).is_refusal(429, answer.text)


def test_too_many_connections(world: World) -> None:
    """Who is in goes on."""
    assert world.client.get("/healthz").status_code == 200
    with ExitStack() as stack:
        others = [stack.enter_context(world.connected()) for _ in range(CONNECTIONS - 1)]
        door = world.server.service._http.door
        until(lambda: world.server.do(lambda: door.open) == CONNECTIONS)
        with world.connected() as raw:
            raw.ask()
            status, fields, body = raw.answer()
        assert (status, fields["retry-after"], fields["connection"]) == (503, "1", "close")
        assert json.loads(body)["error"]["code"] == "too_many_connections"
        assert world.client.get("/healthz").status_code == 200
        assert others
    until(lambda: world.server.do(lambda: door.open) <= 1)
    with world.connected() as raw:
        raw.ask()
        assert raw.answer()[0] == 200
