"""An upstream, a proxy and a login server in one, which repeats every secret it is told.

What it does with a request is in the name of the model, behind the last dash: a status to refuse with, or one
of :data:`FAULTS`. Whatever it answers, it quotes all header fields and all members of the body that could be
secrets, as they came and with Basic credentials undone, in the text, in codes, in header fields and in the
reason phrase. Such upstreams exist; the tests that use this one show that nobody hears of it.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

WANTED: Final = re.compile(r'-(\d{3}|[a-z]+)(?=["/:])')
SECRET: Final = re.compile(r"(?i)auth|cookie|key|secret|token|verifier|^code$")
FAULTS: Final = frozenset({"ok", "html", "odd", "event", "late", "cut", "silent", "gone"})
EVENT: Final = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}}]}
ANSWER: Final = {
    "id": "1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Parrot"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        quoted = self._quoted(body)
        self.server.heard.append(f"{self.command} {self.path}\n{quoted}")
        found = WANTED.search(f"{self.path}:{body.decode('utf-8', 'replace')}")
        wanted = found[1] if found else "403"
        act = getattr(self, f"_{wanted}", None)
        if act is not None:
            act(quoted)
        else:
            self._say(int(wanted), json.dumps(self._refusal(quoted)), quoted)

    do_GET = do_CONNECT = do_POST  # noqa: N815 - names that the library asks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    # --- what it does ----------------------------------------------------------------------------------

    def _ok(self, quoted: str) -> None:
        self._say(200, json.dumps(ANSWER), quoted)

    def _html(self, quoted: str) -> None:
        self._say(502, f"<html><title>{quoted}</title></html>", quoted, "text/html")

    def _odd(self, quoted: str) -> None:
        self._say(200, json.dumps(self._refusal(quoted)), quoted)

    def _event(self, quoted: str) -> None:
        self._stream([self._refusal(quoted)], quoted)

    def _late(self, quoted: str) -> None:
        self._stream([EVENT, self._refusal(quoted)], quoted)

    def _cut(self, quoted: str) -> None:
        self._stream([EVENT], quoted)

    def _silent(self, quoted: str) -> None:
        self._stream([], quoted)

    def _gone(self, _quoted: str) -> None:
        self.close_connection = True

    # --- what it says ----------------------------------------------------------------------------------

    def _quoted(self, body: bytes) -> str:
        said = [value for name, value in self.headers.items() if SECRET.search(name)]
        said += [
            base64.b64decode(value.partition(" ")[2]).decode()
            for value in said
            if value.lower().startswith("basic ")
        ]
        for pair in re.findall(r'([\w-]+)(?:=|"\s*:\s*")([^&"]+)', body.decode("utf-8", "replace")):
            said += [pair[1]] if SECRET.search(pair[0]) else []
        return " ".join(said)

    def _refusal(self, quoted: str) -> dict[str, Any]:
        error = {"message": f"no: {quoted}", "type": quoted, "code": quoted, "param": quoted}
        return {"error": error, "error_description": quoted}

    def _stream(self, events: Sequence[Any], quoted: str) -> None:
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        self._say(200, text, quoted, "text/event-stream")

    def _say(self, status: int, text: str, quoted: str, kind: str = "application/json") -> None:
        data = text.encode()
        self.send_response(status, quoted)
        fields = {
            "content-type": kind,
            "content-length": str(len(data)),
            "x-request-id": quoted,
            "www-authenticate": f'Bearer realm="{quoted}"',
            "set-cookie": f"session={self.server.cookie}; Path=/",
            "connection": "close",
        }
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True


class Parrot(ThreadingHTTPServer):
    """Listens on a port of its own."""

    daemon_threads = True

    def __init__(self, cookie: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cookie = cookie
        self.heard: list[str] = []
        """All requests, each with what could be secret of it."""

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"


@contextmanager
def parrot(cookie: str) -> Iterator[Parrot]:
    """Run one for the length of the block."""
    with Parrot(cookie) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
