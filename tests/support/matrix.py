"""Every client dialect against every upstream dialect: who they are, and the one server between them.

``UPSTREAMS`` are the ways of the product to an upstream, some of them twice because two generations of models
want to be asked differently. Each is an account in the configuration of one server, with a model name of its
own, and an emulator that refuses whatever the vendor would refuse.

A *cell* is one test with one client on one upstream. ``IMPOSSIBLE`` names the cells that cannot be, with the
reason; ``docs/translation.md`` tells the same to users.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from emulators.scenario import PIXEL
from support.conversation import Clients, Said, Talk, ToolSpec, Wish
from support.emulator import Emulator, Seen, running_emulator
from support.received import Received, is_question, read
from support.recording import check
from support.server import Server, running
from support.talks import TALKS

CLIENTS: Final = tuple(TALKS)
PDF: Final = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PNG: Final = base64.b64decode(PIXEL)


@frozen(kw_only=True)
class Upstream:
    """One account of the server."""

    emulator: str
    """Which of ``EMULATORS`` plays it."""
    dialect: str
    """The client dialect that speaks its language: the request is passed through."""
    model: str
    full_model: str = ""
    """What the vendor calls the model, where it is asked for by a shorter name."""
    questions: str = ""
    """What the paths of questions have in common, where the upstream is asked for other things as well."""
    wish: Mapping[str, Any] = {}
    """What clients of the upstream's own dialect must write for this model."""


UPSTREAMS: Final[dict[str, Upstream]] = {
    "compatible": Upstream(emulator="compatible", dialect="chat", model="some-model"),
    "openai": Upstream(emulator="openai", dialect="chat", model="gpt-5"),
    "claude": Upstream(
        emulator="claude", dialect="claude", model="claude-haiku-4-5", full_model="claude-haiku-4-5-20251001"
    ),
    "claude-new": Upstream(
        emulator="claude", dialect="claude", model="claude-opus-4-8", wish={"adaptive": True}
    ),
    "gemini": Upstream(emulator="gemini", dialect="gemini", model="gemini-2.5-flash"),
    "gemini-new": Upstream(
        emulator="gemini", dialect="gemini", model="gemini-3-flash-preview", wish={"leveled": True}
    ),
    "responses": Upstream(emulator="openai", dialect="responses", model="gpt-5.2"),
    **{
        name: Upstream(
            emulator="gitlab", dialect=dialect, model=name, full_model=full_model, questions="/v1/proxy/"
        )
        for name, dialect, full_model in (
            ("duo-claude", "claude", "claude-sonnet-4-5-20250929"),
            ("duo-chat", "chat", "gpt-5"),
            ("duo-responses", "responses", "gpt-5-codex"),
        )
    },
    "duo-text": Upstream(
        emulator="gitlab_text",
        dialect="gitlab",
        model="duo-text",
        full_model="claude-sonnet-4-5-20250929",
        questions="/completions",
    ),
}
EMULATORS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "compatible": ("openai", {"vendor": "compatible", "models": ["some-model"]}),
    "openai": ("openai", {}),
    "claude": ("claude", {}),
    "gemini": ("gemini", {}),
    "gitlab": ("gitlab", {}),
    "gitlab_text": ("gitlab", {"agent_platform": 404, "direct_connections": False}),
}

CONFIG: Final = """\
disable-cooling: true
request-retry: 0
openai-compatibility:
  - name: somebody
    base-url: http://127.0.0.1:{compatible}/v1
    api-key-entries: [{{api-key: any-key}}]
    models: [{{name: some-model}}]
  - name: openai
    base-url: http://127.0.0.1:{openai}/v1
    api-key-entries: [{{api-key: sk-chat}}]
    models: [{{name: gpt-5}}]
claude-api-key:
  - api-key: sk-ant-emulated
    base-url: http://127.0.0.1:{claude}
gemini-api-key:
  - api-key: AIza-emulated
    base-url: http://127.0.0.1:{gemini}
codex-api-key:
  - api-key: sk-responses
    base-url: http://127.0.0.1:{openai}/v1
    models: [{{name: gpt-5.2}}]
gitlab-api-key:
  - api-key: glpat-good
    base-url: http://127.0.0.1:{gitlab}
    ai-gateway-url: http://127.0.0.1:{gitlab}/ai
    models:
      - {{name: claude-sonnet-4-5-20250929, alias: duo-claude}}
      - {{name: gpt-5, alias: duo-chat}}
      - {{name: gpt-5-codex, alias: duo-responses}}
  - api-key: glpat-good
    base-url: http://127.0.0.1:{gitlab_text}
    models: [{{name: claude-sonnet-4-5-20250929, alias: duo-text}}]
"""

TOOL_CELLS: Final = (
    "tool_round_trip",
    "streamed_tool_call",
    "parallel_tools",
    "parallel_calls_of_one_tool",
    "tool_error",
    "forced_tool",
    "text_before_a_call",
    "thinking_and_a_tool",
)

WEATHER: Final = ToolSpec(
    name="get_weather",
    schema={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
CLOCK: Final = ToolSpec(
    name="get_time",
    schema={"type": "object", "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}}},
)
ANSWER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "stars": {"type": "integer"},
    },
    "required": ["title", "tags", "stars"],
    "additionalProperties": False,
}


STOPS: Final[Mapping[str, Mapping[str, str]]] = {
    "chat": {"stop": "stop", "length": "length", "tool_calls": "tool_calls"},
    "responses": {
        "stop": "completed",
        "length": "incomplete: max_output_tokens",
        "tool_calls": "completed",
    },
    "claude": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"},
}
"""Client → why an answer ended → its word for it."""


@frozen
class World:
    """The server, its clients and the upstreams behind it."""

    server: Server
    clients: Clients
    emulators: dict[str, Emulator]


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Start everything, once for a module."""
    with ExitStack() as stack:
        emulators = {
            key: stack.enter_context(running_emulator(name, **settings))
            for key, (name, settings) in EMULATORS.items()
        }
        ports = {key: emulator.port for key, emulator in emulators.items()}
        server = stack.enter_context(
            running(directory, config=CONFIG.format_map(ports), NO_PROXY="127.0.0.1")
        )
        clients = Clients.of(server.url)
        stack.callback(clients.close)
        yield World(server, clients, emulators)


@frozen
class Cell:
    """One client on one upstream."""

    world: World
    client: str
    upstream_id: str

    @property
    def upstream(self) -> Upstream:
        """The upstream's facts."""
        return UPSTREAMS[self.upstream_id]

    @property
    def emulator(self) -> Emulator:
        """The upstream itself."""
        return self.world.emulators[self.upstream.emulator]

    @property
    def asked_model(self) -> str:
        """What the upstream must be asked for."""
        return self.upstream.full_model or self.upstream.model

    @property
    def is_native(self) -> bool:
        """Whether client and upstream speak the same dialect."""
        return self.client == self.upstream.dialect

    def talk(self, **wish: Any) -> Talk:
        """Begin a conversation."""
        own = self.upstream.wish if self.is_native else {}
        return TALKS[self.client](self.world.clients, Wish(model=self.upstream.model, **{**own, **wish}))

    def script(self, *entries: dict[str, Any]) -> None:
        """Say what the next questions get; a renewal of a token that comes between is none."""
        when = {"when": {"path": self.upstream.questions}} if self.upstream.questions else {}
        trio.run(self.emulator.script, [{**when, **entry} for entry in entries])

    def turn(self, **turn: Any) -> None:
        """Say what the model says next."""
        self.script({"turn": turn})

    def log(self) -> list[Seen]:
        """The questions that the upstream saw in this cell; renewals of tokens are none."""
        return [seen for seen in trio.run(self.emulator.log) if is_question(seen.path)]

    def requests(self) -> list[Received]:
        """What the upstream was asked in this cell, in order."""
        return [read(seen.path, seen.body) for seen in self.log()]

    def request(self) -> Received:
        """The one request the upstream saw."""
        (only,) = self.requests()
        return only

    def ended(self, said: Said, reason: str) -> bool:
        """Whether an answer ended for a reason, in the client's word for it."""
        return said.stop == STOPS[self.client][reason]

    def close(self) -> None:
        """Check that the upstream took whatever it was sent, and forget the cell."""
        refused = [seen.refused for seen in self.log() if seen.refused is not None]
        trio.run(self.emulator.forget)
        recorded = self.world.clients.recorder.take()
        assert refused == []
        for record in recorded:
            check(record, is_ours=not self.is_native)


@frozen(kw_only=True)
class Impossible:
    """Cells that cannot be; ``*`` stands for all."""

    reason: str
    cells: tuple[str, ...]
    clients: tuple[str, ...] = ("*",)
    upstreams: tuple[str, ...] = ("*",)

    def covers(self, cell: str, client: str, upstream: str) -> bool:
        """Whether this is about a cell."""
        asked = ((cell, self.cells), (client, self.clients), (upstream, self.upstreams))
        return all(name in names or "*" in names for name, names in asked)


_STOPLESS: Final = ("stop_sequence",)
IMPOSSIBLE: Final = (
    Impossible(
        reason="the Responses API has no stop sequences",
        cells=_STOPLESS,
        clients=("responses",),
    ),
    Impossible(
        reason="the Responses API has no stop sequences",
        cells=_STOPLESS,
        upstreams=("responses", "duo-responses"),
    ),
    Impossible(
        reason="OpenAI's reasoning models take no stop sequences",
        cells=_STOPLESS,
        upstreams=("openai", "duo-chat"),
    ),
    Impossible(
        reason="OpenAI's chat API counts reasoning and never shows it",
        cells=("thinking",),
        upstreams=("openai", "duo-chat"),
    ),
    Impossible(
        reason="GitLab's text endpoints carry text only",
        cells=("image", "pdf", "json_schema", *TOOL_CELLS),
        upstreams=("duo-text",),
    ),
    Impossible(
        reason="GitLab's text endpoints tell the text alone: no thoughts, no counts, no reason for the end",
        cells=("thinking", "usage", "max_tokens", "stop_sequence", "refusal"),
        upstreams=("duo-text",),
    ),
    Impossible(
        reason="what one of GitLab's text endpoints fails at, the other one is asked",
        cells=("empty_answer", "rate_limit", "bad_request"),
        upstreams=("duo-text",),
    ),
)


def why_not(cell: str, client: str, upstream: str) -> str:
    """Why a cell cannot be; empty if it can."""
    return next((each.reason for each in IMPOSSIBLE if each.covers(cell, client, upstream)), "")
