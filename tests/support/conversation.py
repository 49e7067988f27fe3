"""A conversation with a model, whatever the dialect: what is wished, said, called and counted.

:class:`Talk` is held through one of the vendors' packages; ``support.talks`` has one for each.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2 as httpx
import openai
from attrs import define, field, frozen
from google import genai
from google.genai import types as g

from support.recording import Recorder


@frozen(kw_only=True)
class ToolSpec:
    """A function the model may call."""

    name: str
    schema: dict[str, Any]


@frozen
class Called:
    """A call as the package shows it."""

    id: str
    name: str
    arguments: dict[str, Any]


@frozen
class Given:
    """What the client's tool gave for a call."""

    call: Called
    output: str
    is_error: bool = False


@frozen(kw_only=True)
class Counts:
    """Token counts as the package shows them; ``None`` where the dialect has no such member."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    total: int | None = None


@frozen(kw_only=True)
class Said:
    """One answer."""

    text: str
    calls: tuple[Called, ...]
    stop: str
    counts: Counts | None
    thoughts: str = ""
    refusal: str = ""
    stop_sequence: str | None = None
    model: str = ""
    id: str = ""


@frozen(kw_only=True)
class Wish:
    """Settings of a conversation."""

    model: str
    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    force: str = ""
    """The tool that must be called."""
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    thinks: bool = False
    adaptive: bool = False
    """The model decides how much it thinks: what newer Claude models demand of their own clients."""
    leveled: bool = False
    """Thinking is asked for by level: what newer Gemini models prefer of their own clients."""
    schema: dict[str, Any] | None = None


@frozen
class Clients:
    """One client of each package for all talks: making one costs more than a request."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    genai: genai.Client
    http: httpx.Client
    recorder: Recorder
    """What was sent to them."""

    @classmethod
    def of(cls, url: str) -> "Clients":
        """Make clients that neither repeat a request nor look at the environment."""
        recorder = Recorder()
        http = httpx.Client(transport=recorder, timeout=20, headers={"Accept-Encoding": "identity"})
        options = g.HttpOptions(base_url=url, timeout=20_000, httpx_client=http)
        return cls(
            openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, http_client=http),
            anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, http_client=http),
            genai.Client(api_key="unused", vertexai=False, http_options=options),
            http,
            recorder,
        )

    def close(self) -> None:
        """Close their connections."""
        self.http.close()


@define
class Talk(ABC):
    """A conversation through one package."""

    clients: Clients
    wish: Wish
    history: list[Any] = field(factory=list)

    @abstractmethod
    def say(self, text: str, *, png: bytes | None = None, pdf: bytes | None = None) -> None:
        """Add a user message."""

    @abstractmethod
    def give(self, results: Iterable[Given]) -> None:
        """Add the results of calls."""

    @abstractmethod
    def call_in_pieces(self) -> tuple[str, list[str]]:
        """Ask for an answer that is one call; return its name, and its arguments as they came."""

    @abstractmethod
    def answer(self, *, stream: bool = False) -> Said:
        """Ask, and keep the answer in the history."""

    def ask(
        self, text: str, *, stream: bool = False, png: bytes | None = None, pdf: bytes | None = None
    ) -> Said:
        """Say something and return the answer."""
        self.say(text, png=png, pdf=pdf)
        return self.answer(stream=stream)
