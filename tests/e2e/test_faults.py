"""Everything that can go wrong, played against the real server: what clients see, who rests, what is kept.

The rows are data (``support.faultrows``), and the page for users shows the same ones. The server runs in this
process, on real sockets, with limits of fractions of a second; the upstreams are emulators. Every row is
played to all client APIs at the same time, streamed and not; each has an account of its own, so that none
rests for another.
"""

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio
from attrs import frozen

from cliproxy.exchange.record import ExchangeRecord, Outcome
from emulators.faults import FAULTS
from support.emulator import Emulator, running_emulator
from support.faultrows import (
    AFTER,
    ANSWER,
    BEFORE,
    CLIENTS,
    ERROR_EVENT,
    LATE,
    LATE_AFTER,
    MACHINE,
    NEXT,
    NOBODY,
    ODD,
    SAID,
    TEXT,
    Case,
    Upstream,
    page,
)
from support.faults_table import PLAYED, name_of
from support.inside import Inside, inside, yaml_of
from support.plainly import WAYS, Way

SECOND: Final = "from the second"
CONFIG: Final = """\
request-retry: 0
routing: {session-affinity: false}
limits: {answer-mb: 2, event-mb: 2}
"""
WORLDS: Final = {
    "patient": {"connect_seconds": 5.0, "first_byte_seconds": 5.0, "idle_seconds": 5.0},
    "impatient": {"connect_seconds": 5.0, "first_byte_seconds": 0.8, "idle_seconds": 0.8},
    "hurried": {"connect_seconds": 5.0, "first_byte_seconds": 5.0, "idle_seconds": 5.0, "total_seconds": 1.0},
}
"""Limits. Only what is silent or late is played with short ones: on a busy machine anything may be."""
WITHIN_S: Final = 8.0
"""Nothing takes longer, on the slowest machine."""
UNKNOWN: Final = {("gemini", 529): 503}
"""Statuses that an API does not have, and what stands for them there."""
LOST: Final = ("closed", "lost", "tls")

Got = tuple[Way, httpx.Response, float]
"""Who has asked, the answer, and how long it took."""
Tell = Callable[[str, object], None]
"""Takes a property of a test for the table at the end of the run."""


@frozen
class World:
    """The server, and who is behind it."""

    server: Inside
    emulator: Emulator
    second: Emulator
    client: httpx.Client

    def play(self, row: Upstream) -> None:
        """Let the first upstream do what a row says, to everybody."""
        if row.play is None:
            return
        whole = {**FAULTS.get(row.play.get("fault", ""), {}), **row.play}
        says = {} if {"status", "raw", "turn"} & whole.keys() else {"turn": SAID}
        trio.run(self.emulator.script, [{**says, **row.play, "times": 0}])

    def ask(self, way: Way, model: str) -> httpx.Response:
        """Ask as one kind of client."""
        name = {"x-request-id": f"{way}"}
        return self.client.post(way.path(model), json=way.body(model), headers=name)


def accounts(first: str, second: str, closed: str, port: int) -> str:
    """One account for each way; those that lead nowhere; and two behind one model."""
    lists: dict[str, Any] = {str(way): (first, [str(way)], 1) for way in WAYS}
    bases = dict(zip(LOST, (closed, "http://lost.invalid", f"https://127.0.0.1:{port}"), strict=True))
    lists |= {f"{name}-{way}": (base, [f"{name}-{way}"], 1) for name, base in bases.items() for way in WAYS}
    lists |= {f"pair-{name}": (base, [f"{name}-pair"], 2) for name, base in bases.items()}
    lists["pair"] = (first, ["pair"], 2)
    lists["second"] = (second, ["pair", *(f"{name}-pair" for name in LOST)], 1)
    return yaml_of(**lists)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    """Servers for the same upstreams, with different limits."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_emulator("openai", vendor="compatible")) for _ in range(2)
        )
        with socket.create_server(("127.0.0.1", 0)) as taken:
            closed = taken.getsockname()[1]
        trio.run(second.script, [{"turn": {"blocks": [{"text": SECOND}]}, "times": 0}])
        config = CONFIG + accounts(first.base_url, second.base_url, f"http://127.0.0.1:{closed}", first.port)
        made = {}
        for name, times in WORLDS.items():
            server = stack.enter_context(inside(tmp_path_factory.mktemp(name), config, **times))
            client = httpx.Client(base_url=server.url, trust_env=False, timeout=WITHIN_S)
            made[name] = World(server, first, second, stack.enter_context(client))
        yield made


def place_of(row: Upstream) -> str:
    """Where a row is played."""
    if row is LATE or row is LATE_AFTER:
        return "hurried"
    return "impatient" if "silence" in row.what.lower() else "patient"


def played(world: World, row: Upstream) -> list[Got]:
    """Play a row to everybody at the same time; what each of them got, and how long it took."""

    def ask(way: Way) -> Got:
        begin = time.monotonic()
        model = f"{row.account}-{way}" if row.account else str(way)
        return way, world.ask(way, model), time.monotonic() - begin

    world.play(row)
    ways = [way for way in WAYS if way.stream or row.whole]
    with ThreadPoolExecutor(len(ways)) as pool:
        return list(pool.map(ask, ways))


def check(world: World, row: Upstream, tell: Tell) -> None:
    """Play a row and compare everything with what it says; ``tell`` what was seen, right or wrong."""
    tell(PLAYED, name_of(row))
    try:
        got = played(world, row)
        records = world.server.wait_records(len(got))
        tell_all(tell, world, got, records)
        for way, answer, took in got:
            expected = row.stream if way.stream else row.whole
            assert took < WITHIN_S, way
            check_answer(way, answer, expected, row)
            check_record(records[str(way)], expected, row)
            check_rest(world, records, records[str(way)], row)
        assert world.server.do(world.server.service.runtime.statistics)["busy"] == 0
    finally:
        world.server.settle()
        trio.run(world.emulator.reset)


def tell_all(tell: Tell, world: World, got: list[Got], records: dict[str, ExchangeRecord]) -> None:
    """Tell what was seen of a row."""
    for column, stream in (("stream", True), ("whole", False)):
        seen = {seen_by(way, answer) for way, answer, _ in got if way.stream is stream}
        if seen:
            tell(column, " ".join(sorted(seen)))
    rests = [
        rest
        for record in records.values()
        for rest in world.server.pauses(record.attempts[0].credential, record).items()
    ]
    kinds = " ".join(sorted({who for who, _ in rests}))
    tell(
        "rests", f"{kinds} {statistics.median(seconds for _, seconds in rests):.1f} s" if rests else "nothing"
    )
    tell("slowest", f"{max(took for _, _, took in got):.2f} s")


def seen_by(way: Way, answer: httpx.Response) -> str:
    """What one client has seen, in a word."""
    if answer.status_code != 200:
        return str(answer.status_code)
    return ERROR_EVENT if way.stream and any(way.errors(answer.text)) else ANSWER


def check_answer(way: Way, answer: httpx.Response, expected: str, row: Upstream) -> None:
    """What the client sees."""
    text = answer.text
    if expected == ANSWER:
        assert answer.status_code == 200, (way, text)
        assert way.said(text).rstrip() == TEXT, way
        assert not way.stream or (way.is_complete(text) and not any(way.errors(text))), (way, text)
    elif expected == ERROR_EVENT:
        assert answer.status_code == 200, (way, text)
        assert TEXT.startswith(way.said(text).rstrip()[:12]), way
        assert way.errors(text)[-1], (way, text)
        assert way.errors(text).count(True) == 1, (way, text)
        assert not way.is_complete(text), (way, text)
    else:
        assert answer.status_code == UNKNOWN.get((way.client, int(expected)), int(expected)), (way, text)
        assert way.is_refusal(answer.status_code, text), (way, text)
        may_pass = row.rests is not None and row.rests.may_pass
        assert ("retry-after" in answer.headers) is may_pass, (way, answer.headers)


def check_record(record: ExchangeRecord, expected: str, row: Upstream) -> None:
    """What is kept."""
    [note] = record.attempts
    if expected == ANSWER:
        assert (record.outcome, record.status) == (Outcome.OK, 200)
        assert record.usage.output, record
        return
    assert (record.outcome, note.outcome) == (Outcome.ERROR, Outcome.ERROR)
    assert note.failure is not None
    assert record.kind is note.failure.kind
    assert record.status == int(row.recorded or expected)


def check_rest(
    world: World, records: dict[str, ExchangeRecord], record: ExchangeRecord, row: Upstream
) -> None:
    """Who rests. A host is that of all who asked at the same time, and rests from the last failure on."""
    last = max(records.values(), key=lambda each: each.started + each.duration)
    paused = world.server.pauses(record.attempts[0].credential, last if row.account else record)
    if row.rests is None:
        assert paused == {}
        return
    [(who, seconds)] = paused.items()
    assert who == row.rests.who
    assert row.rests.seconds * 0.95 - 0.3 <= seconds <= row.rests.seconds * 1.1 + 0.3


def row_ids(rows: tuple[Upstream, ...]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.what)


@row_ids(BEFORE)
def test_before_the_first_word(worlds: dict[str, World], row: Upstream, record_property: Tell) -> None:
    check(worlds[place_of(row)], row, record_property)


@row_ids(AFTER)
def test_after_the_first_word(worlds: dict[str, World], row: Upstream, record_property: Tell) -> None:
    check(worlds[place_of(row)], row, record_property)


@row_ids(ODD)
def test_odd_but_an_answer(worlds: dict[str, World], row: Upstream, record_property: Tell) -> None:
    check(worlds[place_of(row)], row, record_property)


@row_ids((LATE, LATE_AFTER))
def test_later_than_it_may_be(worlds: dict[str, World], row: Upstream, record_property: Tell) -> None:
    check(worlds[place_of(row)], row, record_property)


@row_ids((*BEFORE, *AFTER, LATE, LATE_AFTER))
def test_who_is_asked_next(worlds: dict[str, World], row: Upstream, record_property: Tell) -> None:
    """With two accounts, the other answers what the first did not begin to."""
    world = worlds[place_of(row)]
    record_property(PLAYED, name_of(row))
    world.play(row)
    try:
        way = Way("chat", stream=True)
        answer = world.ask(way, f"{row.account}-pair" if row.account else "pair")
        [record] = world.server.wait_records(1).values()
        record_property("asked", NEXT if len(record.attempts) == 2 else NOBODY)
        assert (way.said(answer.text) == SECOND if answer.status_code == 200 else False) is (
            row.asked == NEXT
        )
        assert len(record.attempts) == (2 if row.asked == NEXT else 1)
    finally:
        world.server.settle()
        trio.run(world.emulator.reset)


PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_for_users_shows_these_rows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("case", [*CLIENTS, *MACHINE], ids=lambda case: case.what)
def test_every_case_is_played(case: Case) -> None:
    file, _, name = case.test.partition("::")
    assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
