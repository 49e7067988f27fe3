"""Every client dialect against every upstream dialect: who they are, and the one server between them.

``UPSTREAMS`` are the ways of the product to an upstream, some of them twice because two generations of models
want to be asked differently. Each is an account in the configuration of one server, with a model name of its
own, and an emulator that refuses whatever the vendor would refuse.

A *cell* is one test with one client on one upstream. ``IMPOSSIBLE`` names the cells that cannot be, with the
reason; ``docs/compatibility.md`` tells the same to users.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from emulators.scenario import PIXEL
from support.conversation import Clients, Talk, ToolSpec, Wish
from support.emulator import Emulator, Seen, running_emulator
from support.server import Server, running
from support.talks import TALKS

CLIENTS: Final = tuple(TALKS)
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
}
EMULATORS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "compatible": ("openai", {"vendor": "compatible", "models": ["some-model"]}),
    "openai": ("openai", {}),
    "claude": ("claude", {}),
    "gemini": ("gemini", {}),
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
"""

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
    def is_native(self) -> bool:
        """Whether client and upstream speak the same dialect."""
        return self.client == self.upstream.dialect

    def talk(self, **wish: Any) -> Talk:
        """Begin a conversation."""
        own = self.upstream.wish if self.is_native else {}
        return TALKS[self.client](self.world.clients, Wish(model=self.upstream.model, **{**own, **wish}))

    def script(self, *entries: dict[str, Any]) -> None:
        """Say what the next requests get."""
        trio.run(self.emulator.script, entries)

    def turn(self, **turn: Any) -> None:
        """Say what the model says next."""
        self.script({"turn": turn})

    def log(self) -> list[Seen]:
        """What the upstream saw in this cell."""
        return trio.run(self.emulator.log)

    def body(self) -> dict[str, Any]:
        """The one request the upstream saw."""
        (seen,) = self.log()
        return seen.body

    def close(self) -> None:
        """Check that the upstream took whatever it was sent, and forget the cell."""
        refused = trio.run(self.emulator.refusals)
        trio.run(self.emulator.reset)
        assert refused == []


IMPOSSIBLE: Final[dict[tuple[str, str, str], str]] = {
    ("thinking", "*", "openai"): "OpenAI's chat API counts reasoning and never shows it",
    ("stop_sequence", "responses", "*"): "the Responses API has no stop sequences",
    ("stop_sequence", "*", "responses"): "the Responses API has no stop sequences",
    ("stop_sequence", "*", "openai"): "OpenAI's reasoning models take no stop sequences",
}
"""(cell, client, upstream) → reason; ``*`` stands for all."""


def is_possible(cell: str, client: str, upstream: str) -> bool:
    """Whether a cell can be."""
    keys = ((cell, c, u) for c in (client, "*") for u in (upstream, "*"))
    return not any(key in IMPOSSIBLE for key in keys)
