"""Connections that clients close at the end of an answer are gone at once."""

import os
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.server import Server, running

REQUESTS = 40
BODY = '{"model":"demo","messages":[{"role":"user","content":"hi"}]}'


def open_files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def ask_and_close(server: Server) -> None:
    """Do what a command-line tool does: one request, the whole answer, goodbye."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    assert connection.getresponse().read()
    connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the files of another process")
def test_clients_that_close_after_the_answer_leave_nothing_behind(tmp_path: Path) -> None:
    """With the server's own connections most of them would stay until the keep-alive time is over."""
    with running(tmp_path, "-demo") as server:
        before = open_files(server)
        for _ in range(REQUESTS):
            ask_and_close(server)
        deadline = time.monotonic() + 5
        while open_files(server) > before + 2:
            assert time.monotonic() < deadline, open_files(server) - before
            time.sleep(0.05)  # noqa: TID251 - waits for another process
