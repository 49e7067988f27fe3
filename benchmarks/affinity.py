"""How much of the prompts four accounts recognise, with conversations that stay and without.

Coding agents send a conversation again and again, longer each time. The upstream here keeps, for each
account on its own, every beginning of a prompt it has seen, as real ones do for some minutes, and counts
how much of each new prompt it recognises. Agents work at the same time through the real server; half of
them name their conversations, the others do not. On the way one account runs out of quota, so that its
conversations have to move. What is printed is the *share* recognised, in characters of all prompts.
"""

import hashlib
import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from benchmarks import processes
from benchmarks.load import CLIENT_KEY, Connection, WrongAnswer
from benchmarks.report import print_table
from benchmarks.upstream import read_request, whole

ACCOUNTS: Final = 4
INSTRUCTIONS: Final = 40_000
"""Characters of an agent's instructions and tools; each agent has its own project in there."""
STEP: Final = 2_000
"""Characters that a turn adds: a call of a tool, and what it returned."""
LIMITED: Final = 0
"""The account that runs out of quota."""
LIMITED_AFTER: Final = 50
"""Requests it answers before."""
WANTED: Final = 0.95
_ACCOUNT: Final = re.compile(rb"/account-(\d+)/")
_HEAD: Final = ("conversations", "requests", "recognised", "paid in full", "by account")

Message = dict[str, str]


@define(eq=False)
class CachingUpstream:
    """Answers chats and counts what each account recognises of them."""

    seen: dict[int, set[bytes]] = field(factory=dict)
    asked: Counter[int] = field(factory=Counter)
    sent: int = 0
    recognised: int = 0

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer requests until the peer leaves."""
        buffer = bytearray()
        try:
            async with stream:
                while (request := await read_request(stream, buffer)) is not None:
                    found = _ACCOUNT.search(request.path)
                    assert found is not None
                    await stream.send_all(self.answer(int(found[1]), json.loads(request.body)["messages"]))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the server may drop its connections at any time

    def answer(self, account: int, messages: list[Message]) -> bytes:
        """Return the answer to a prompt, and remember all its beginnings."""
        if account == LIMITED and self.asked[account] >= LIMITED_AFTER:
            refusal = {"error": {"message": "quota is used up", "code": "insufficient_quota"}}
            return whole(json.dumps(refusal).encode(), b"429 Too Many Requests")
        self.asked[account] += 1
        seen = self.seen.setdefault(account, set())
        digest, length, known = hashlib.sha256(), 0, 0
        for message in messages:
            digest.update(json.dumps(message, sort_keys=True).encode())
            length += len(message["content"])
            if digest.digest() in seen:
                known = length
            seen.add(digest.digest())
        self.sent += length
        self.recognised += known
        return whole(json.dumps(_completion(length, known)).encode())


def _completion(prompt: int, cached: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "x" * (STEP // 4)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": 1,
            "total_tokens": prompt + 1,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


async def converse(port: int, number: int, turns: int) -> None:
    """Be an agent: ask, do what is said, and ask again with all of it."""
    instructions = f"You work on project {number}. ".ljust(INSTRUCTIONS, "i")
    messages: list[Message] = [
        {"role": "system", "content": instructions},
        {"role": "user", "content": f"Task {number}"},
    ]
    name = f"session-id: conversation-{number}\r\n" if number % 2 else ""
    async with aclosing(await Connection.open(port)) as connection:
        for turn in range(turns):
            body = json.dumps({"model": "m", "messages": messages}).encode()
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{name}"
                f"Authorization: Bearer {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            answer = await connection.ask(head.encode() + body)
            if answer.status != HTTPStatus.OK:
                raise WrongAnswer(f"turn {turn} of agent {number}: {answer.status} {answer.body()[:300]!r}")
            said = json.loads(answer.body())["choices"][0]["message"]["content"]
            result = f"Result {turn}: ".ljust(STEP - len(said), "r")
            messages += [{"role": "assistant", "content": said}, {"role": "user", "content": result}]


def configuration(upstream_port: int, directory: Path, *, stays: bool) -> dict[str, Any]:
    """Return the server's configuration (JSON is YAML): accounts told apart by their addresses."""
    upstreams = [
        {
            "name": f"account-{number}",
            "base-url": f"http://127.0.0.1:{upstream_port}/account-{number}/v1",
            "api-key-entries": [{"api-key": "bench-upstream-key"}],
            "models": [{"name": "m"}],
        }
        for number in range(ACCOUNTS)
    ]
    return {
        "host": "127.0.0.1",
        "port": 0,
        "api-keys": [CLIENT_KEY],
        "auth-dir": str(directory / "auths"),
        "routing": {"session-affinity": stays},
        "openai-compatibility": upstreams,
    }


async def replayed(agents: int, turns: int, *, stays: bool) -> CachingUpstream:
    """Let agents work through a server of their own; return what the upstream saw."""
    upstream = CachingUpstream()
    with processes.workplace() as directory:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, host="127.0.0.1"), upstream.serve_connection, 0
            )
            port = listener.socket.getsockname()[1]
            config = directory / "config.yaml"
            config.write_text(json.dumps(configuration(port, directory, stays=stays)))
            command = [sys.executable, "-m", "cliproxy", "server", "-config", str(config)]
            async with processes.running(command, directory) as server, trio.open_nursery() as at_work:
                for number in range(agents):
                    at_work.start_soon(converse, server.port, number, turns)
            nursery.cancel_scope.cancel(reason="done")
    return upstream


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--agents", type=int, default=8, help="agents at work (default: 8)")
    parser.add_argument("--turns", type=int, default=50, help="turns of each conversation (default: 50)")


async def main(options: Namespace) -> int:
    """Replay, print, and return 1 when less is recognised than conversations that stay should bring."""
    rows: list[list[str]] = []
    shares: dict[bool, float] = {}
    for stays in (False, True):
        upstream = await replayed(options.agents, options.turns, stays=stays)
        share = shares[stays] = upstream.recognised / upstream.sent
        asked = " ".join(str(upstream.asked[number]) for number in range(ACCOUNTS))
        name = "stay" if stays else "wander"
        cells = [f"{upstream.asked.total()}", f"{share:.1%}", f"{1 - share:.1%}", asked]
        rows.append([name, *cells])
    print(f"Prompts of {options.agents} agents over {ACCOUNTS} accounts, one of which runs out of quota.")
    print_table(_HEAD, rows)
    return 0 if shares[True] >= WANTED else 1
