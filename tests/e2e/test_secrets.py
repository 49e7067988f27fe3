"""Canaries: unique secrets are planted wherever secrets go, and must appear nowhere else.

The upstream of these tests quotes everything it was sent in confidence in everything it says that is not an
answer. The server runs with its most talkative log.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from support.server import ROOT, Server, running

CANARY: Final = "canary-"
CLIENT_KEY: Final = "canary-client-key"
CONFIDENTIAL: Final = ("Authorization", "X-Api-Key", "X-Goog-Api-Key", "Private-Token", "X-Team-Token")
FAULTS: Final = ("400", "401", "403", "429", "500", "text", "page", "inside", "first", "later")
UPSTREAMS: Final = {"o": "openai", "c": "claude", "x": "responses", "g": "gemini"}
CLIENTS: Final = ("openai", "claude", "responses", "gemini")


# --- the upstream -----------------------------------------------------------------------------------------


def error_of(dialect: str, status: int, message: str) -> dict[str, object]:
    """Word an error as the vendor of a dialect does."""
    if dialect == "claude":
        return {"type": "error", "error": {"type": "api_error", "message": message}}
    if dialect == "gemini":
        return {"error": {"code": status, "message": message, "status": "INTERNAL"}}
    return {"error": {"message": message, "type": "server_error", "param": None, "code": message}}


def opening_of(dialect: str) -> list[dict[str, object]]:
    """Begin a stream with content."""
    if dialect == "claude":
        message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return [
            {"type": "message_start", "message": message | {"usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "hello"},
            },
        ]
    if dialect == "gemini":
        return [{"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "index": 0}]}]
    if dialect == "responses":
        response = {"id": "r", "object": "response", "status": "in_progress", "model": "m", "output": []}
        item = {"id": "i", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        at = {"item_id": "i", "output_index": 0, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": []}
        return [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", **at, "part": part},
            {"type": "response.output_text.delta", **at, "delta": "hello"},
        ]
    choice = {"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}
    return [{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}]


def frames_of(values: list[dict[str, object]]) -> bytes:
    """Write server-sent events."""
    return b"".join(
        (f"event: {value['type']}\n" if "type" in value else "").encode()
        + f"data: {json.dumps(value)}\n\n".encode()
        for value in values
    )


class Gossip(BaseHTTPRequestHandler):
    """Plays the fault that the model's name asks for, and quotes the caller's secrets in it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        found = re.search(r"fault-(\w+)", self.path + body)
        quoted = " ".join(self.headers[name] for name in CONFIDENTIAL if name in self.headers)
        self._play(found[1] if found else "401", self._dialect(), f"you sent {quoted}")

    def do_GET(self) -> None:
        self.do_POST()

    def _dialect(self) -> str:
        words = {"/messages": "claude", "/responses": "responses", "/v1beta/": "gemini"}
        return next((dialect for word, dialect in words.items() if word in self.path), "openai")

    def _play(self, fault: str, dialect: str, said: str) -> None:
        status = int(fault) if fault.isdigit() else 500
        failing = error_of(dialect, status, said)
        match fault:
            case "text":
                self._answer(403, "text/plain", said.encode())
            case "page":
                self._answer(403, "text/html", f"<html>{said}</html>".encode())
            case "inside":
                self._answer(200, "application/json", json.dumps(failing).encode())
            case "first":
                self._answer(200, "text/event-stream", self._failing_frame(dialect, failing, said))
            case "later":
                self._answer(200, "text/event-stream", frames_of(opening_of(dialect)), ends=False)
                # A read of its own at the other side, so that the answer has begun by then.
                threading.Event().wait(0.1)
                self.wfile.write(self._failing_frame(dialect, failing, said))
            case _:
                self._answer(status, "application/json", json.dumps(failing).encode())

    @staticmethod
    def _failing_frame(dialect: str, failing: dict[str, object], said: str) -> bytes:
        if dialect == "responses":
            failing = {"type": "error", "code": "x", "message": said, "param": None, "sequence_number": 9}
        return frames_of([failing])

    def _answer(self, status: int, kind: str, body: bytes, *, ends: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if ends:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""


# --- the server -------------------------------------------------------------------------------------------


def config_of(port: int) -> str:
    """Plant a canary in every place of a configuration that holds a secret."""

    def models(upstream: str) -> str:
        names = [f"{{name: fault-{fault}, alias: {upstream}-{fault}}}" for fault in FAULTS]
        return f"[{', '.join(names)}]"

    here = f"http://127.0.0.1:{port}"
    return f"""
debug: true
request-retry: 0
disable-cooling: true
api-keys: [{CLIENT_KEY}]
openai-compatibility:
  - name: compatible
    base-url: {here}/v1
    api-key-entries: [{{api-key: canary-compatible}}]
    headers: {{X-Team-Token: canary-own-header}}
    models: {models("o")}
claude-api-key:
  - {{api-key: canary-claude, base-url: "{here}", models: {models("c")}}}
codex-api-key:
  - {{api-key: canary-codex, base-url: "{here}/v1", models: {models("x")}}}
gemini-api-key:
  - {{api-key: canary-gemini, base-url: "{here}", models: {models("g")}}}
  - api-key: canary-proxied
    proxy-url: "http://owner:canary-password@127.0.0.1:9"
    models: [{{name: fault-400, alias: proxied}}]
  - {{api-key: "canary-two\\nlines", base-url: "{here}", models: [{{name: fault-400, alias: unsendable}}]}}
gitlab-api-key:
  - {{api-key: canary-gitlab, base-url: "{here}"}}
"""


def plant_files(auth: Path, port: int) -> None:
    """Write credential files, good and bad."""
    auth.mkdir(mode=0o700)
    good = {
        "type": "gitlab",
        "base_url": f"http://127.0.0.1:{port}",
        "auth_method": "oauth",
        "access_token": "canary-access",
        "refresh_token": "canary-refresh",
        "oauth_client_id": "app",
        "oauth_client_secret": "canary-secret",
        "oauth_expires_at": "2020-01-01T00:00:00Z",
    }
    files = {
        "good.json": json.dumps(good),
        "broken.json": '{"type": "gitlab", "access_token": "canary-broken" oops',
        "strange.json": '{"type": "nobody", "access_token": "canary-strange"}',
        "list.json": '["canary-list"]',
    }
    for name, content in files.items():
        (auth / name).touch(mode=0o600)
        (auth / name).write_text(content)


@pytest.fixture(scope="module")
def upstream_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def server(upstream_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("secrets")
    plant_files(directory / "auth", upstream_port)
    with running(directory, config=config_of(upstream_port)) as started:
        yield started


def path_and_body(client: str, model: str, *, stream: bool) -> tuple[str, dict[str, object]]:
    """Word a request in a dialect."""
    said = [{"role": "user", "content": "hi"}]
    if client == "gemini":
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        contents = [{"role": "user", "parts": [{"text": "hi"}]}]
        return f"/v1beta/models/{model}:{action}", {"contents": contents}
    if client == "claude":
        return "/v1/messages", {"model": model, "max_tokens": 9, "messages": said, "stream": stream}
    if client == "responses":
        return "/v1/responses", {"model": model, "input": "hi", "stream": stream}
    return "/v1/chat/completions", {"model": model, "messages": said, "stream": stream}


def ask(server: Server, client: str, model: str, *, stream: bool, key: str = CLIENT_KEY) -> tuple[int, str]:
    """Send a request; return the status and everything else that came."""
    path, body = path_and_body(client, model, stream=stream)
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    try:
        data = response.read()
    except IncompleteRead as exc:
        data = exc.partial
    connection.close()
    return response.status, f"{response.headers}{data.decode()}"


def lines_with_canaries(text: str) -> list[str]:
    return [line for line in text.splitlines() if CANARY in line]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_no_error_shows_what_the_upstream_was_sent(server: Server, client: str, fault: str) -> None:
    """In any combination of dialects: passed through, translated, in one piece, before and after the first
    byte."""
    for upstream, stream in product(UPSTREAMS, (True, False)):
        status, answer = ask(server, client, f"{upstream}-{fault}", stream=stream)
        assert lines_with_canaries(answer) == []
        begins = stream and fault == "later"
        assert (status == 200) is begins, f"{upstream} {stream} {answer}"
        assert "***" in answer or fault == "page", f"{upstream} {stream} {answer}"


@pytest.mark.parametrize(("model", "expected"), [("proxied", 503), ("unsendable", 500)])
def test_no_error_shows_what_could_not_be_sent(server: Server, model: str, expected: int) -> None:
    """Neither the password of a proxy nor a key that no header can carry."""
    status, answer = ask(server, "openai", model, stream=False)
    assert (status, lines_with_canaries(answer)) == (expected, [])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_key_is_not_repeated(server: Server, client: str) -> None:
    status, answer = ask(server, client, "o-400", stream=False, key="canary-wrong")
    assert status == 401
    assert lines_with_canaries(answer) == []


def test_the_log_shows_no_secret(server: Server) -> None:
    """The last test of the module with the server: the log has all of the above."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("GET", f"/v1/models?%6Bey={CLIENT_KEY}&auth_token=canary-in-query")
    assert connection.getresponse().status == 200
    connection.close()
    log = server.log()
    assert "/v1/models?%6Bey=***" in log
    assert "cause=you sent" in log
    assert lines_with_canaries(log + "\n".join(server.greeting)) == []


@pytest.mark.parametrize("command", ["check", "models"])
def test_commands_show_no_secret(command: str, upstream_port: int, tmp_path: Path) -> None:
    """Neither do they write one anywhere."""
    plant_files(tmp_path / "auth", upstream_port)
    text = f"auth-dir: {tmp_path / 'auth'}\n{config_of(upstream_port)}"
    (tmp_path / "config.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "cliproxy", command],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout
    assert lines_with_canaries(done.stdout + done.stderr) == []


@pytest.mark.parametrize(
    "broken", ["api-keys: [canary-a, {b: canary-b}]", "claude-api-key: canary-c", "a: ]canary-d"]
)
def test_a_complaint_about_the_configuration_shows_no_secret(broken: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"port: 0\n{broken}\n")
    done = subprocess.run(
        [sys.executable, "-m", "cliproxy", "server"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert lines_with_canaries(done.stdout + done.stderr) == []
