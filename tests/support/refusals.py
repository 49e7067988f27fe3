"""Ask an emulated service in this process, without sockets, whether it would take a request."""

import json
from typing import Any

from emulators.values import Family, Refusal, Request


def refusal(
    family: Family, path: str, body: Any, headers: dict[str, str], method: str = "POST"
) -> tuple[int, str] | None:
    """Status and reason if the request is turned down, else None."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(method, path, tuple(headers.items()), data)
    try:
        family.receive(request)(None)
    except Refusal as refused:
        return refused.answer.status, str(refused)
    return None
