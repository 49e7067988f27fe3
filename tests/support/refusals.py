"""Ask an emulated service in this process, without sockets."""

import json
from typing import Any

from emulators.values import Answer, Family, Refusal, Request


def answered(
    family: Family, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    """The answer to a request; a refused one is an answer like every other."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    request = Request(method, path, tuple((headers or {}).items()), data)
    try:
        return family.receive(request)(None)
    except Refusal as refused:
        return refused.answer


def refusal(
    family: Family, path: str, body: Any, headers: dict[str, str], method: str = "POST"
) -> tuple[int, str] | None:
    """Status and reason if the request is turned down, else None."""
    answer = answered(family, method, path, body, headers)
    return None if answer.refused is None else (answer.status, answer.refused)


def json_of(answer: Answer) -> Any:
    """The body of a plain answer."""
    return json.loads(b"".join(answer.pieces))
