"""All vendors whose accounts can be logged in to, behind one proxy: `python -m emulators.vendors`.

Each vendor is a module with a class that has `HOSTS`, the host names it plays, and is a `Family` for them;
`PARTS` lists the classes. Settings and state are kept below the part's name: `configure(qwen={"oauth": {}})`.

The printed `port` is a proxy server (see internet.py), `control_port` takes the control requests, and
`--authority FILE` names the file that the authority's certificate is written to.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from attrs import define, field

from emulators.claude_account import ClaudeAccount
from emulators.cli import main
from emulators.codex_account import CodexAccount
from emulators.copilot import Copilot
from emulators.google import Google
from emulators.iflow import IFlow
from emulators.kimi import Kimi
from emulators.qwen import Qwen
from emulators.values import (
    Answer,
    Clock,
    Family,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_object,
    json_answer,
)
from emulators.xai import Xai


class Part(Family, Protocol):
    """One vendor."""

    NAME: ClassVar[str]
    HOSTS: ClassVar[tuple[str, ...]]

    def __init__(self, clock: Clock) -> None: ...


PARTS: Sequence[type[Part]] = (ClaudeAccount, CodexAccount, Copilot, Google, IFlow, Kimi, Qwen, Xai)


@define(eq=False)
class Vendors:
    """Hands each request to the vendor whose host it names."""

    clock: Clock
    parts: dict[str, Part] = field(init=False)
    by_host: dict[str, Part] = field(init=False)
    _first: JsonObject | None = field(default=None, init=False)
    """The settings that it was started with."""

    def __attrs_post_init__(self) -> None:
        self._settle()

    def _settle(self) -> None:
        self.parts = {part.NAME: part(self.clock) for part in PARTS}
        self.by_host = {host: part for part in self.parts.values() for host in part.HOSTS}

    @property
    def hosts(self) -> frozenset[str]:
        """Every host that is played."""
        return frozenset(self.by_host)

    def receive(self, request: Request) -> Ready:
        """Let the vendor check the request."""
        return self._part(request).receive(request)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The vendor's error reply."""
        return self._part(request).failure(request, status, details)

    def _part(self, request: Request) -> Part:
        host = (request.header("host") or "").partition(":")[0].lower()
        part = self.by_host.get(host)
        if part is None:
            raise Refusal(json_answer({"error": "no such host"}, 502), f"nobody plays {host!r}")
        return part

    def configure(self, patch: JsonObject) -> None:
        """Change settings: vendor → its settings."""
        if self._first is None:
            self._first = patch
        for name, settings in patch.items():
            if name in ("port", "control_port"):
                continue
            if name not in self.parts:
                raise ValueError(f"unknown vendor: {name}")
            self.parts[name].configure(as_object(settings))

    def state(self) -> JsonObject:
        """Every vendor's state."""
        return {name: part.state() for name, part in self.parts.items()}

    def reset(self) -> None:
        """Back to the state after start-up."""
        self._settle()
        self.configure(self._first or {})


if __name__ == "__main__":
    main(Vendors)
