"""What translation itself costs: each event of a stream, and a long request; in process, without sockets.

Two tables, for every pair of client and upstream dialect:

* **events**: the pure carrier of a streamed answer gets the upstream's stream, one event at a time, as bytes.
  A pair of one dialect passes through; every other one is parsed, decoded, encoded and rendered. JSON texts
  parsed and built are counted.
* **requests**: a conversation of 500 messages in one megabyte, from the client's bytes to the upstream's:
  parse, plan (decode, all passes, encode) and build. ``whole`` compares that with parsing and building the
  same bytes and nothing else; ``added``, which has the budget, only what is done between the two.

This is the one command that imports the package under test; the conversations and streams are still its own.
"""

import gc
import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, cast
from unittest import mock

from attrs import frozen

from benchmarks import conversations
from benchmarks.dialects import DIALECTS, EVENTS
from benchmarks.report import OVER, print_overruns, print_table, show_progress, verdict
from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.registry import Candidate
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.dialects import by_id
from cliproxy.dialects.base import ClientRequest, Framing, PathFacts
from cliproxy.exchange.carry import carrier_for
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.plan import Plan, Planner
from cliproxy.providers.base import Contract, Provider
from cliproxy.routing.resolve import Resolution
from cliproxy.wire import jsontext
from cliproxy.wire.jsontext import Document, JsonValue, dumps, loads
from cliproxy.wire.secret import Secret
from cliproxy.wire.sse import MAX_FRAME_BYTES

REQUEST_BUDGET: Final = 1.5
MODEL: Final = "bench"
FEWEST_RUNS: Final = 3


@frozen
class UpstreamOf:
    """What a plan asks of a contract."""

    dialect: str
    framing: Framing = Framing.SSE
    streams_only: bool = False


PROVIDER: Final = Provider(
    key="bench", label="-", contracts_for=lambda *_: (), static_models=lambda _credential: ()
)
CANDIDATE: Final = Candidate(
    credential=Credential(
        id=CredentialId("bench"), provider="bench", kind=CredentialKind.KEY, api_key=Secret("-")
    ),
    model=MODEL,
    client_name=MODEL,
    info=ModelInfo(id=MODEL),
)
SNAPSHOT: Final = Snapshot(config=Config(), registry=build([]), providers={"bench": PROVIDER})
DEPS: Final = Deps(
    snapshot=lambda: SNAPSHOT,
    upstreams=cast("Any", None),
    tokens=cast("Any", None),
    runtime=cast("Any", None),
    record=lambda _record: None,
    wall=lambda: 1_700_000_000.0,
    monotonic=time.monotonic,
    rng=Random(1),  # noqa: S311 - ids of answers nobody sees
)


def read(raw: bytes, client: str) -> ClientRequest:
    """Read a request as the server does."""
    facts = PathFacts(args={"target": f"{MODEL}:streamGenerateContent"})
    return by_id(client).endpoints[0].read(Document.parse(raw), facts)


def planned(raw: bytes, client: str, upstream: str) -> Plan:
    """Carry a request to the upstream's bytes."""
    resolution = Resolution(MODEL, (CANDIDATE,), MODEL)
    planner = Planner(read(raw, client), resolution, DEPS, SNAPSHOT)
    return planner.plan(CANDIDATE, cast("Contract", UpstreamOf(upstream)))


# --- measuring --------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object], total_s: float) -> float:
    """Return the shortest processor time of a piece of work that is repeated for about this long.

    It always does the same: what is more was somebody else's. Garbage is collected before, never meanwhile.
    """
    times: list[float] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + total_s
        while len(times) < FEWEST_RUNS or time.perf_counter() < end:
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
    finally:
        gc.enable()
    return min(times)


@frozen
class Counted:
    """How many JSON texts were parsed and built."""

    parses: list[int]
    builds: list[int]


@contextmanager
def counting() -> Iterator[Counted]:
    """Count parses and builds, wherever in the package they happen."""
    counted = Counted([], [])
    decode, render = json.JSONDecoder.raw_decode, jsontext._render

    def counted_decode(self: json.JSONDecoder, text: str, idx: int = 0) -> tuple[Any, int]:
        counted.parses.append(len(text))
        return decode(self, text, idx)

    def counted_render(value: JsonValue) -> str:
        counted.builds.append(1)
        return render(value)

    with (
        mock.patch.object(json.JSONDecoder, "raw_decode", counted_decode),
        mock.patch.object(jsontext, "_render", counted_render),
    ):
        yield counted


# --- events -----------------------------------------------------------------------------------------------


def carry(plan: Plan, events: list[bytes]) -> None:
    """Carry a whole answer, one event for each read of the upstream."""
    carrier = carrier_for(plan, Framing.SSE, MAX_FRAME_BYTES)
    for event in events:
        carrier.feed(event)
    carrier.finish()


def counts_of_text(plan: Plan, events: list[bytes]) -> Counted:
    """Count what the text events of an answer cost, without what opens and closes it."""
    first, *texts, _last = events
    carrier = carrier_for(plan, Framing.SSE, MAX_FRAME_BYTES)
    carrier.feed(first)
    carrier.feed(texts[0])
    with counting() as counted:
        for event in texts[1:]:
            carrier.feed(event)
    return counted


def event_rows(total_s: float) -> list[list[str]]:
    """Measure the events of every pair."""
    rows: list[list[str]] = []
    for client, upstream in _pairs():
        show_progress(f"events {client} <- {upstream}")
        plan = planned(_short_request(client), client, upstream)
        events = DIALECTS[upstream].script.events()
        spent = seconds(lambda plan=plan, events=events: carry(plan, events), total_s)
        counted = counts_of_text(plan, events)
        texts = EVENTS - 1
        rows.append(
            [
                client,
                upstream,
                f"{spent / len(events) * 1e6:.1f}",
                f"{len(counted.parses) / texts:.2f}",
                f"{len(counted.builds) / texts:.2f}",
                "passed through" if plan.passes_through else "",
            ]
        )
    return rows


def _short_request(client: str) -> bytes:
    return DIALECTS[client].request(MODEL, stream=True)[1]


def _pairs() -> Iterator[tuple[str, str]]:
    for upstream in DIALECTS:
        for client in sorted(DIALECTS, key=lambda client, upstream=upstream: client != upstream):
            yield client, upstream


# --- requests ---------------------------------------------------------------------------------------------


def request_rows(total_s: float) -> list[list[str]]:
    """Measure the long request of every pair. The bare parse and build are measured right before each, so
    that a busy neighbour hurts both."""
    rows: list[list[str]] = []
    for upstream, client in _pairs():
        show_progress(f"requests {client} -> {upstream}")
        raw = conversations.request(client, MODEL)
        bare = seconds(lambda raw=raw: dumps(loads(raw)), total_s)
        whole = seconds(
            lambda raw=raw, client=client, upstream=upstream: planned(raw, client, upstream), total_s
        )
        passes = planned(raw, client, upstream).passes_through
        ratio = whole / bare
        rows.append(
            [
                client,
                upstream,
                f"{bare * 1e3:.2f}",
                f"{whole * 1e3:.2f}",
                f"{ratio:.2f}",
                f"{max(ratio - 1, 0.0):.2f}",
                verdict(ratio - 1, REQUEST_BUDGET),
                "passed through" if passes else "",
            ]
        )
    return rows


# --- the command ------------------------------------------------------------------------------------------


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--each", type=float, default=0.5, metavar="SECONDS", help="time for each measurement (default: 0.5)"
    )


async def main(options: Namespace) -> int:
    """Measure and print."""
    print(f"Events: microseconds for each of the {EVENTS + 2} reads of an answer, JSON texts of each text")
    rows = event_rows(options.each)
    show_progress("")
    print_table(("client", "upstream", "us", "parsed", "built", ""), rows)
    print()
    size = f"{conversations.MESSAGES} messages, {conversations.SIZE / 1e6:g} MB"
    print(f"Requests: {size}, milliseconds; budget of what is added to the JSON alone: {REQUEST_BUDGET:g}")
    rows = request_rows(options.each)
    show_progress("")
    print_table(("client", "upstream", "JSON alone", "carried", "whole", "added", "", " "), rows)
    print_overruns(sum(OVER in row for row in rows))
    return 0
