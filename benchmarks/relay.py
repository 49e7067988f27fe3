"""The price of the server: each kind of traffic through the bare relay and through the server, in turns.

Two runs one after the other differ by what the machine did meanwhile; therefore both sides are measured in
short runs A B A B …, and medians are compared. Each row is a case of one pair of dialects, client and
upstream. The bare relay cannot translate: a pair's yardstick is the relay of the *upstream's* dialect, the
same upstream answer with the same events.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

from attrs import evolve, field, frozen

from benchmarks import processes
from benchmarks.dialects import DIALECTS, EVENTS
from benchmarks.load import Load, Sample, Target, WrongAnswer, judge, percentile, run
from benchmarks.report import OVER, print_overruns, print_table, show_progress, verdict

FIRST_BYTE_BUDGET_MS: Final = 2.0
WARM_UP_S: Final = 0.3
HEAD: Final = (
    "client -> upstream, case",
    "unit",
    "bare",
    "server",
    "ratio",
    "budget",
    "",
    "p50 ms",
    "p99 ms",
    "CPU us",
    "ratio",
    "first +ms",
)


@frozen(kw_only=True)
class Case:
    """A kind of traffic, and how far the server may be behind the bare relay."""

    name: str
    load: Load
    unit: str
    budget_same: float | None = None
    """For the same dialect on both sides."""
    budget_translated: float | None = None

    @property
    def is_paced(self) -> bool:
        """Whether the upstream sets the pace, so that cost is measured in place of speed."""
        return self.load.mode == "paced"


CASES: Final = (
    Case(
        name="unary, 1 connection",
        load=Load(mode="unary", connections=1),
        unit="req/s",
        budget_same=1.5,
        budget_translated=1.5,
    ),
    Case(
        name="unary, 32 connections",
        load=Load(mode="unary", connections=32),
        unit="req/s",
        budget_same=1.5,
        budget_translated=1.5,
    ),
    Case(name="unary, 128 KB request", load=Load(mode="unary", connections=1, turns=128), unit="req/s"),
    Case(
        name="stream, coalesced",
        load=Load(mode="coalesced", connections=1),
        unit="streams/s",
        budget_same=1.2,
    ),
    Case(name="stream, burst", load=Load(mode="burst", connections=1), unit="streams/s", budget_same=1.2),
    Case(
        name="stream, paced, 8 at once",
        load=Load(mode="paced", connections=8),
        unit="us/event",
        budget_same=1.2,
        budget_translated=1.2,
    ),
)

Pair = tuple[str, str]
"""Ids of the client's and of the upstream's dialect."""

SAME: Final[tuple[Pair, ...]] = tuple((name, name) for name in DIALECTS)
SOME: Final[tuple[Pair, ...]] = (
    *SAME,
    ("openai", "claude"),
    ("claude", "openai"),
    ("openai-response", "gemini"),
    ("gemini", "openai-response"),
)
ALL: Final[tuple[Pair, ...]] = tuple((client, upstream) for client in DIALECTS for upstream in DIALECTS)
PAIR_SETS: Final = {"same": SAME, "some": SOME, "all": ALL}


@frozen(kw_only=True)
class Side:
    """One of the two that are compared."""

    target: Target
    process: processes.Running = field(repr=False)

    async def measure(self, load: Load, seconds: float) -> Sample:
        """Do one run and note what it cost the process."""
        before = self.process.cpu_seconds()
        sample = await run(self.target, load, seconds)
        sample.cpu = self.process.cpu_seconds() - before
        return sample


@frozen(kw_only=True)
class Figures:
    """The medians of one side's runs."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """For each event of a stream, for each answer otherwise."""
    first_byte_ms: float

    @staticmethod
    def of(samples: Sequence[Sample], *, delays: bool) -> "Figures":
        """Condense runs; a paced stream's times are the delays of its events."""

        def middle(value: Callable[[Sample], float]) -> float:
            return median(value(sample) for sample in samples)

        def times(sample: Sample) -> list[float]:
            return sample.delays if delays else sample.times

        return Figures(
            per_second=middle(lambda sample: sample.answers / sample.duration),
            p50_ms=middle(lambda sample: percentile(times(sample), 0.5) * 1e3),
            p99_ms=middle(lambda sample: percentile(times(sample), 0.99) * 1e3),
            cpu_us=middle(lambda sample: sample.cpu / sample.events * 1e6),
            first_byte_ms=middle(lambda sample: percentile(sample.first_bytes, 0.5) * 1e3),
        )


@frozen(kw_only=True)
class Row:
    """The comparison of one case."""

    pair: Pair
    case: Case
    bare: Figures
    server: Figures

    @property
    def ratio(self) -> float:
        """How many times more the server takes: time where the client sets the pace, processor time where the
        upstream does."""
        if self.case.is_paced:
            return self.server.cpu_us / self.bare.cpu_us
        return self.bare.per_second / self.server.per_second

    @property
    def budget(self) -> float | None:
        """The allowed ratio."""
        client, upstream = self.pair
        if self.case.load.mode == "unary" and DIALECTS[upstream].is_always_streamed:
            # The bare relay is asked for one body, the server collects a stream of a hundred events.
            return None
        is_same = client == upstream
        return self.case.budget_same if is_same else self.case.budget_translated

    @property
    def verdict(self) -> str:
        """The ratio against its budget."""
        return verdict(self.ratio, self.budget)

    def cells(self) -> list[str]:
        """Render the row."""
        bare, server = self.bare, self.server
        values = (bare.cpu_us, server.cpu_us) if self.case.is_paced else (bare.per_second, server.per_second)
        added = server.first_byte_ms - bare.first_byte_ms
        is_first_telling = self.case.load.is_stream and not self.case.is_paced
        return [
            f"{' -> '.join(self.pair)}, {self.case.name}",
            self.case.unit,
            *(f"{value:.0f}" for value in values),
            f"{self.ratio:.2f}",
            f"{self.budget:.1f}" if self.budget else "-",
            self.verdict,
            f"{bare.p50_ms:.2f} / {server.p50_ms:.2f}",
            f"{bare.p99_ms:.2f} / {server.p99_ms:.2f}",
            f"{bare.cpu_us:.0f} / {server.cpu_us:.0f}",
            f"{server.cpu_us / bare.cpu_us:.2f}",
            f"{added:+.2f}" if is_first_telling else "",
        ]


@frozen(kw_only=True)
class Comparison:
    """The two processes and how long they are compared."""

    bare: processes.Running
    server: processes.Running
    seconds: float
    rounds: int

    async def compare(self, pair: Pair, case: Case) -> Row:
        """Measure a case in turns. Raises :class:`~benchmarks.load.WrongAnswer`."""
        client, upstream = pair
        sides = (
            Side(
                target=Target(
                    name="bare", port=self.bare.port, dialect=DIALECTS[upstream], upstream=upstream
                ),
                process=self.bare,
            ),
            Side(
                target=Target(
                    name="server", port=self.server.port, dialect=DIALECTS[client], upstream=upstream
                ),
                process=self.server,
            ),
        )
        warm = evolve(case.load, mode="coalesced") if case.is_paced else case.load
        for side in sides:
            await judge(side.target, case.load)
            await run(side.target, warm, WARM_UP_S)
        samples: tuple[list[Sample], list[Sample]] = ([], [])
        for _ in range(self.rounds):
            for side, taken in zip(sides, samples, strict=True):
                taken.append(await side.measure(case.load, self.seconds))
        bare, server = (Figures.of(taken, delays=case.is_paced) for taken in samples)
        return Row(pair=pair, case=case, bare=bare, server=server)


def pairs_in(text: str) -> tuple[Pair, ...]:
    """Read ``--pairs``: the name of a set, or ``client:upstream`` separated by commas."""
    if text in PAIR_SETS:
        return PAIR_SETS[text]
    pairs = tuple(_pair(part) for part in text.split(","))
    unknown = {name for pair in pairs for name in pair} - DIALECTS.keys()
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DIALECTS)}")
    return pairs


def _pair(text: str) -> Pair:
    client, _, upstream = text.partition(":")
    return client, upstream or client


def cases_in(text: str) -> tuple[Case, ...]:
    """Read ``--cases``: words that occur in the names of cases, separated by commas; empty: all cases."""
    words = text.split(",")
    chosen = tuple(case for case in CASES if any(word in case.name for word in words))
    if not chosen:
        raise ValueError(f"there are: {'; '.join(case.name for case in CASES)}")
    return chosen


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--pairs",
        type=pairs_in,
        default=SOME,
        help="same, some, all, or client:upstream,… (default: some) of " + ", ".join(DIALECTS),
    )
    parser.add_argument(
        "--cases", type=cases_in, default=CASES, help="words of the names of cases, such as unary,paced"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side and case (default: 3)")
    parser.add_argument("--quick", action="store_true", help="runs of 0.4 s; more noise")


async def main(options: Namespace) -> int:
    """Compare, print, and return 1 if an answer was wrong."""
    rows: list[Row] = []
    faults: list[str] = []
    neighbours = processes.Neighbours()
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(processes.workplace())
        upstream = await stack.enter_async_context(processes.upstream(directory))
        comparison = Comparison(
            bare=await stack.enter_async_context(processes.bare_relay(directory, upstream.port)),
            server=await stack.enter_async_context(processes.server(directory, upstream.port)),
            seconds=0.4 if options.quick else options.seconds,
            rounds=options.rounds,
        )
        for pair, case in _planned(options):
            show_progress(f"{' -> '.join(pair)}, {case.name}")
            try:
                rows.append(await comparison.compare(pair, case))
            except WrongAnswer as exc:
                faults.append(f"{' -> '.join(pair)}, {case.name}: {exc}")
        show_progress("")
    _show(rows, faults)
    print(f"other processes kept {neighbours.cores_used():.1f} of {processes.cores()} cores busy meanwhile")
    return 1 if faults else 0


def _planned(options: Namespace) -> Iterator[tuple[Pair, Case]]:
    for pair in options.pairs:
        for case in options.cases:
            yield pair, case


def _show(rows: Sequence[Row], faults: Sequence[str]) -> None:
    print(
        f"Relay: bare relay / server. {EVENTS} text events in a stream; "
        "p50 and p99 of paced streams are the delays of events."
    )
    if rows:
        print_table(HEAD, [row.cells() for row in rows])
    added = [
        row.server.first_byte_ms - row.bare.first_byte_ms for row in rows if row.case.load.mode == "coalesced"
    ]
    overruns = sum(row.verdict == OVER for row in rows)
    if added:
        judged = verdict(median(added), FIRST_BYTE_BUDGET_MS)
        overruns += judged == OVER
        text = f"{median(added):.2f} ms (budget {FIRST_BYTE_BUDGET_MS:g}) {judged}"
        print(f"added before the first byte of a stream: {text}")
    if rows:
        print_overruns(overruns)
    for fault in faults:
        print(f"WRONG ANSWER {fault}")
