"""Connections as the ASGI server really handles them: closing, leaving, not reading."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("connections"), "-demo") as started:
        yield started


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def post(prompt: str, *headers: str, **members: object) -> bytes:
    question = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    body = json.dumps(question | members).encode()
    fields = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return ("POST /v1/chat/completions HTTP/1.1\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode() + body


def read_to_the_end(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_is_closed_when_the_client_asks_for_it(server: Server, stream: bool) -> None:
    """Without the shield around the last message the server would never close: this would time out."""
    for _ in range(20):
        with connect(server) as sock:
            sock.sendall(post("hi", "Connection: close", stream=stream, max_tokens=8))
            assert read_to_the_end(sock).startswith(b"HTTP/1.1 200")


def test_a_connection_can_be_used_again(server: Server) -> None:
    with connect(server) as sock:
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while b'{"status":"ok"}' not in data:
                data += sock.recv(65536)


def test_a_client_that_leaves_is_noticed_while_the_answer_is_slow(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(post("slow, please"))
        assert b"200" in sock.recv(65536)
        sock.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 5
    while "exchange outcome=cancelled" not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)  # noqa: TID251 - waits for another process


def test_headers_over_the_limit_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, "-demo", config="limits:\n  header-kb: 8\n") as small, connect(small) as sock:
        sock.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n"
        )
        assert read_to_the_end(sock).startswith(b"HTTP/1.1 431")


def test_a_client_that_does_not_read_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    config = "timeouts:\n  drain-seconds: 1\n"
    with running(tmp_path, "-demo", config=config) as started, connect(started) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.sendall(post("long") * 50)
        time.sleep(0.5)  # noqa: TID251 - lets the other process fill the buffers
        begin = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - begin < 15


def test_open_streams_end_within_the_drain_time(tmp_path: Path) -> None:
    """The first signal lets a stream finish; new connections are refused at once."""
    with running(tmp_path, "-demo") as started, connect(started) as sock:
        sock.sendall(post("slow, please", "Connection: close"))
        first = sock.recv(65536)
        started.process.terminate()
        rest = read_to_the_end(sock)
        assert (first + rest).rstrip().endswith(b"0") or b"[DONE]" in first + rest
        assert started.process.wait(20) == 0
