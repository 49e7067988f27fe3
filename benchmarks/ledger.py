"""The state database with a million requests: questions, pages, writing, size.

No server and no sockets: the writer and the queries of the package work in this process on a temporary
database, whose rows lie over ninety days as a team of clients would have left them. Some clients, models and
accounts are used a lot and others seldom, at any hour, which is the hardest case for hourly sums: there are
about as many of them as there can be. Every question opens a connection of its own, as in the server, and is
asked five times; the slowest counts.
"""

import random
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import Final

import trio
from attrs import evolve, frozen

from benchmarks.processes import workplace
from benchmarks.report import OVER, VALUE_HEAD, Value, print_overruns, print_table, show_progress
from cliproxy.config.model import Config
from cliproxy.exchange.record import AttemptNote, ExchangeRecord, Outcome
from cliproxy.ir.response import Usage
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.service.ledger import BATCH, WAITING, Ledger
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.retention import Limits
from cliproxy.stores.rows import DAY_S, ERROR, HOUR_S, NS_PER_S, AttemptRow, Batch, RequestRow, Tokens
from cliproxy.stores.snapshot import document
from cliproxy.stores.state import StateFile, reading
from cliproxy.stores.usage import Wanted, newest, recent, roll_up

MB: Final = 1e6
MS: Final = 1e3
DAYS: Final = 90
CLIENTS: Final = 20
MODELS: Final = 24
PROVIDERS: Final = 6
ACCOUNTS: Final = 4
"""Of each provider."""
FAILING: Final = 0.08
"""Share of requests whose first attempt fails."""
QUESTION_BUDGET_MS: Final = 200.0
PAGE_BUDGET_MS: Final = 50.0
TIMES: Final = 5
HANDED_OVER: Final = 20_000
RARE: Final = f"client-{CLIENTS - 1:02}"
END: Final = 1_900_000_000 // DAY_S * DAY_S
"""Unix seconds."""

Question = Callable[[Connection], object]


@frozen
class Written:
    """How fast the rows were written."""

    seconds: float
    longest: float
    """Of one batch."""


def requests(count: int, rng: random.Random) -> Iterator[RequestRow]:
    """Yield requests in the order of time; the n-th client, model is used in proportion to 1/n."""
    clients, models = range(CLIENTS), range(MODELS)
    often_c, often_m = ([1 / (1 + place) for place in each] for each in (clients, models))
    for number in range(count):
        started_ns = END * NS_PER_S - (count - number) * DAYS * DAY_S * NS_PER_S // count
        [client], [model] = rng.choices(clients, often_c), rng.choices(models, often_m)
        yield _request(number, started_ns, client, model, rng)


def _request(number: int, started_ns: int, client: int, model: int, rng: random.Random) -> RequestRow:
    provider = f"provider-{model % PROVIDERS}"
    account = f"{provider}-owner-{rng.randrange(ACCOUNTS)}@example.org.json"
    tokens = Tokens(
        fresh_input=rng.randrange(5000), cache_read=rng.randrange(50_000), output=rng.randrange(2000)
    )
    answered = AttemptRow(
        started_ns=started_ns,
        duration_us=rng.randrange(30_000_000),
        first_byte_us=rng.randrange(2_000_000),
        provider=provider,
        credential=account,
        auth_index=f"{model:016x}",
        source="owner@example.org",
        contract="messages",
        model=f"model-{model:02}-20260101",
        status=200,
        tokens=tokens,
        cost_micros=tokens.total,
    )
    failed = evolve(answered, outcome=ERROR, status=429, kind="rate_limit", tokens=Tokens(), cost_micros=0)
    return RequestRow(
        request_id=f"{number:032x}",
        started_ns=started_ns,
        duration_us=answered.duration_us,
        first_byte_us=answered.first_byte_us,
        client=f"client-{client:02}",
        client_id=f"{client:016x}",
        dialect="claude",
        action="generate",
        stream=True,
        model=f"model-{model:02}",
        status=200,
        tokens=tokens,
        attempts=(failed, answered) if rng.random() < FAILING else (answered,),
    )


def fill(file: StateFile, count: int) -> Written:
    """Write the rows in batches of the size that a busy server writes."""
    rows = requests(count, random.Random(1))  # noqa: S311 - a distribution
    seconds = longest = 0.0
    for done in range(0, count, BATCH):
        batch = Batch(requests=tuple(islice(rows, BATCH)))
        began = time.perf_counter()
        file.write(batch)
        took = time.perf_counter() - began
        seconds, longest = seconds + took, max(longest, took)
        if not done % (BATCH * 100):
            show_progress(f"{done:,} requests written")
    show_progress("")
    return Written(seconds, longest)


async def handed_over(file: StateFile) -> float:
    """Hand exchanges over to a ledger and return how many a second it writes."""
    snapshots = Snapshots({}, Config())
    ledger = Ledger(
        file=file,
        snapshots=snapshots,
        runtime=RuntimeTable(),
        wall=lambda: float(END),
        monotonic=trio.current_time,
    )
    await ledger.open()
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ledger.run)
        for number in range(HANDED_OVER):
            while ledger.statistics().waiting >= WAITING // 2:  # noqa: ASYNC110 - a thread decides
                await trio.sleep(0.001)
            ledger.record(_exchange(number))
        while ledger.statistics().written < HANDED_OVER:  # noqa: ASYNC110 - a thread decides
            await trio.sleep(0.001)
        seconds = time.perf_counter() - began
        nursery.cancel_scope.cancel(reason="measured")
    await ledger.close()
    return HANDED_OVER / seconds


def _exchange(number: int) -> ExchangeRecord:
    usage = Usage(fresh_input=100, cache_read=1000, output=50)
    note = AttemptNote(
        provider="claude",
        credential="claude-owner@example.org.json",
        contract="messages",
        model="claude-sonnet-4-5-20250929",
        outcome=Outcome.OK,
        status=200,
        started=float(END),
        duration=1.5,
        first_byte=0.5,
        usage=usage,
    )
    return ExchangeRecord(
        request_id=f"late-{number:027}",
        client="***abcd",
        client_id="0123456789abcdef",
        dialect="claude",
        action="generate",
        model="claude-sonnet-4-5",
        stream=True,
        outcome=Outcome.OK,
        status=200,
        kind=None,
        started=float(END),
        duration=1.6,
        first_byte=0.6,
        usage=usage,
        attempts=(note,),
    )


def questions() -> Iterator[tuple[str, Question, float | None]]:
    """Yield what is asked, with its budget in milliseconds."""
    day, month = Wanted(since=END - DAY_S), Wanted(since=END - 30 * DAY_S)
    for name, wanted in (("24 hours", day), ("30 days", month)):
        for by in ("model", "client", "provider", "credential"):
            yield f"{name} by {by}", partial(roll_up, wanted=wanted, by=[by]), QUESTION_BUDGET_MS
    yield "30 days by day", partial(roll_up, wanted=month, step=DAY_S), QUESTION_BUDGET_MS
    yield "24 hours by hour", partial(roll_up, wanted=day, step=HOUR_S), QUESTION_BUDGET_MS
    yield f"{DAYS} days by client", partial(roll_up, wanted=Wanted(), by=["client"]), None
    yield "accounts of late", partial(recent, now=END), PAGE_BUDGET_MS
    middle = ((END - DAYS * DAY_S // 2) * NS_PER_S, 0)
    yield "newest page", partial(newest, wanted=Wanted()), PAGE_BUDGET_MS
    yield "page in the middle", partial(newest, wanted=Wanted(), before=middle), PAGE_BUDGET_MS
    yield "page of a rare client", partial(newest, wanted=Wanted(client=RARE)), PAGE_BUDGET_MS
    yield "page of nobody", partial(newest, wanted=Wanted(credential="nobody")), PAGE_BUDGET_MS
    yield "snapshot in the old shape", partial(document, now=END), None


def slowest_ms(path: Path, question: Question) -> float:
    """Ask a question some times and return how long the slowest answer took."""
    times: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        with reading(path) as connection:
            question(connection)
        times.append(time.perf_counter() - began)
    return max(times) * MS


def pruned_ms(file: StateFile) -> float:
    """Delete one portion of old requests and return how long writing had to wait for it."""
    began = time.perf_counter()
    file.prune(Limits(oldest_ns=(END - (DAYS - 10) * DAY_S) * NS_PER_S, rows=0))
    return (time.perf_counter() - began) * MS


def filled(file: StateFile) -> tuple[int, int]:
    """Close a file and return its size, and how many hourly sums it has."""
    file.close()
    with reading(file.path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM usage_hour").fetchone()
    return file.path.stat().st_size, int(count)


async def measured(path: Path, count: int) -> list[Value]:
    """Fill a database and measure it."""
    file = StateFile(path)
    written = fill(file, count)
    size, hours = filled(file)
    asked = [Value(f"{name}, ms", slowest_ms(path, ask), budget, 1) for name, ask, budget in questions()]
    return [
        *asked,
        Value(f"written in batches of {BATCH}, requests/s", count / written.seconds, None, 0),
        Value("longest batch, ms", written.longest * MS, None, 1),
        Value("handed over and written, requests/s", await handed_over(file), None, 0),
        Value("a portion of retention, ms", pruned_ms(file), None, 1),
        Value("hourly sums", hours, None, 0),
        Value("file, MB", size / MB, None, 1),
        Value("file, bytes for each request", size / count, None, 0),
    ]


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests (default: 1000000)")


async def main(options: Namespace) -> int:
    """Measure, print, and return 0."""
    with workplace() as directory:
        values = await measured(directory / "state" / "cliproxy.db", options.rows)
    print(
        f"The state database with {options.rows:,} requests over {DAYS} days; the slowest of {TIMES} answers."
    )
    print_table(VALUE_HEAD, [value.row() for value in values])
    print_overruns(sum(value.row()[-1] == OVER for value in values))
    return 0
