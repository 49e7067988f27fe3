"""Stopping a busy server, as a service manager does it."""

import signal
import socket
import time
from pathlib import Path

import pytest

from cliproxy.cli.exits import INTERRUPTED
from support.server import Server, running
from support.usage import rows_of

BODY = '{{"model":"demo","stream":{},"messages":[{{"role":"user","content":"slow, please"}}]}}'
STREAMS = 50


def asked(server: Server, stream: bool) -> socket.socket:
    """Send a request whose answer takes longer than the server will wait."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=20)
    body = BODY.format("true" if stream else "false").encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    sock.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def read_to_the_end(sock: socket.socket) -> bytes:
    data = b""
    with sock:
        while piece := sock.recv(65536):
            data += piece
    return data


def knock(server: Server) -> None:
    """Ask until the door is shut."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        asked(server, stream=False).close()
        time.sleep(0.02)  # noqa: TID251 - waits for another process


def test_streams_finish_or_are_told(tmp_path: Path) -> None:
    """Each ends by the dialect's error frame and a proper end of the body, not by a torn connection."""
    config = "timeouts:\n  drain-seconds: 1\n"
    with running(tmp_path, "-demo", config=config) as server:
        socks = [asked(server, stream=True) for _ in range(STREAMS)]
        for sock in socks:
            assert sock.recv(65536, socket.MSG_PEEK)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 5
        answers = [read_to_the_end(sock) for sock in socks]
        log = server.log()
    told = [answer for answer in answers if b'{"error":{"message":"the server is stopping"' in answer]
    done = [answer for answer in answers if b"data: [DONE]" in answer]
    assert told
    assert len(told) + len(done) == STREAMS
    assert all(answer.endswith(b"0\r\n\r\n") for answer in answers)
    assert "Traceback" not in log


def test_the_second_signal_ends_it_at_once_and_nothing_that_was_counted_is_lost(tmp_path: Path) -> None:
    """Between the signals the door is shut and who is inside may stay. Also a server in a hurry says to its
    clients that it ends, and writes down what they have used."""
    with running(tmp_path, "-demo", config="timeouts:\n  drain-seconds: 60\n") as server:
        socks = [asked(server, stream=True) for _ in range(3)]
        for sock in socks:
            assert sock.recv(65536, socket.MSG_PEEK)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            knock(server)
        assert server.process.poll() is None
        assert server.stop() == INTERRUPTED
        assert time.monotonic() - begin < 10
        assert all(b"[DONE]" not in read_to_the_end(sock) for sock in socks)
        assert "Traceback" not in server.log()
    path = tmp_path / "auth" / "state" / "cliproxy.db"
    rows = rows_of(path, "SELECT outcome FROM usage_request WHERE stream = 1")
    assert rows == [("cancelled",)] * 3
