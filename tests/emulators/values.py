"""Plain values the emulators pass around: JSON, requests, answers, refusals.

An `Answer` is a whole reply cut into the pieces that are written one by one (the events of a stream, or the
single body of a plain answer), so that a fault can be described as a change of the list: drop the terminal
piece, stop after the third, send half of the fourth.
"""

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Protocol, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import evolve, field, frozen

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
JsonObject: TypeAlias = dict[str, Json]
HeaderList: TypeAlias = tuple[tuple[str, str], ...]

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


def dumps(value: Json) -> bytes:
    """Compact UTF-8 JSON; separators such as U+2028 stay raw, as the real services send them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Json:
    """Parse JSON; raises ValueError for anything else, bad UTF-8 included."""
    return cast("Json", json.loads(data))


def as_object(value: Json) -> JsonObject:
    """The value if it is an object, else an empty one: for reading optional parts."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: Json) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def objects(value: Json) -> list[JsonObject]:
    """The objects of a list, other members left out."""
    return [item for item in as_list(value) if isinstance(item, dict)]


@frozen
class Request:
    """One request as it came, the body complete."""

    method: str
    target: str
    headers: HeaderList
    body: bytes

    @property
    def path(self) -> str:
        """The path without query, percent-decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters; a repeated one keeps its last value."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The first value of a header, names compared without case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def bearer(self) -> str | None:
        """The token of an `Authorization: Bearer` header."""
        scheme, _, token = (self.header("authorization") or "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def form(self) -> Mapping[str, str]:
        """The body read as `application/x-www-form-urlencoded`."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@frozen(kw_only=True)
class Answer:
    """A reply in the pieces it is written in."""

    status: int = 200
    headers: HeaderList = ()
    pieces: tuple[bytes, ...] = ()
    is_stream: bool = False
    terminal: int = 0
    """How many of the last pieces tell the client that the stream is complete (0: the end of the body)."""
    error_piece: bytes = b""
    """The vendor's own event for a failure after the stream has begun."""
    refused: str | None = field(default=None)
    """Why a strict check turned the request down; goes into the log."""

    def with_headers(self, *extra: tuple[str, str]) -> "Answer":
        """A copy with headers added."""
        return evolve(self, headers=(*self.headers, *extra))


class Refusal(Exception):
    """A strict check failed; carries the answer the vendor would give."""

    def __init__(self, answer: Answer, reason: str) -> None:
        super().__init__(reason)
        self.answer = evolve(answer, refused=reason)


def json_answer(value: Json, status: int = 200, headers: HeaderList = ()) -> Answer:
    """A plain JSON reply."""
    return Answer(status=status, headers=(("content-type", JSON_TYPE), *headers), pieces=(dumps(value),))


class Ready(Protocol):
    """A checked request, waiting to be carried out; `turn` replaces what the emulated model would say."""

    def __call__(self, turn: JsonObject | None) -> Answer: ...


class Family(Protocol):
    """What one emulated service provides to the engine."""

    def receive(self, request: Request) -> Ready:
        """Check a request, raising `Refusal`; nothing is changed or issued before the result is called."""
        ...

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The vendor's error reply for a status; `details` may name `message`, `code`, `type`."""
        ...

    def configure(self, patch: JsonObject) -> None:
        """Change settings; raises ValueError for an unknown one."""
        ...

    def state(self) -> JsonObject:
        """Settings and whatever else a test may want to look at."""
        ...

    def reset(self) -> None:
        """Back to the state after start-up."""
        ...


class Ids:
    """Numbered identifiers, so that the same conversation gets the same ones in every run."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self, prefix: str, width: int = 24) -> str:
        """The prefix followed by a number of fixed width."""
        return f"{prefix}{next(self._numbers):0{width}d}"


Clock: TypeAlias = Callable[[], float]
