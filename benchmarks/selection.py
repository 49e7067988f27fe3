"""What it costs to pick a credential, with one of them and with thousands.

Pure functions in this process, no sockets. A *pick* is what one request costs routing: who is next, counted
as under way and as ended again; with *failing* accounts one in ten picks sends its account to rest. Half of
the *resting* rows' accounts rest all the time. A *rebuild* is the first pick after the registry was built
anew.
"""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from statistics import median
from typing import Final

import trio
from attrs import frozen

from benchmarks.report import print_table
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.lineup import Rules
from cliproxy.routing.runtime import RuntimeTable, credential_place, model_place
from cliproxy.routing.select import Selector, Stay
from cliproxy.routing.strategies import STRATEGIES

COUNTS: Final = (1, 100, 4000)
RUNS: Final = 5
REBUILDS: Final = 10
FAILING: Final = 10
MODEL: Final = ModelInfo(id="m")
TALK: Final = Stay(mark=b"conversation", seconds=3600.0, providers=frozenset({"p"}))


@frozen(kw_only=True)
class Case:
    """One way of using the selector."""

    name: str
    rules: Rules
    stay: Stay | None = None
    fails: bool = False
    rests: bool = False


CASES: Final = (
    *(Case(name=name, rules=Rules(strategy=name)) for name in STRATEGIES),
    Case(name="a conversation that stays", rules=Rules(), stay=TALK),
    Case(name="at most 4 at once", rules=Rules(max_concurrent=4)),
    Case(name="one in ten fails", rules=Rules(), fails=True),
    Case(name="half of them rest", rules=Rules(), rests=True),
)


def everybody(count: int) -> tuple[Candidate, ...]:
    """Return some credentials that serve one model, with different weights."""
    return tuple(
        Candidate(
            credential=Credential(
                id=CredentialId(f"account-{number:05}"),
                provider="p",
                kind=CredentialKind.KEY,
                weight=1 + number % 5,
            ),
            model="m",
            client_name="m",
            info=MODEL,
        )
        for number in range(count)
    )


def pick_seconds(case: Case, count: int, picks: int) -> float:
    """Return the time of one pick, the best of some runs, each with a selector of its own."""
    return min(_run(case, everybody(count), picks) for _ in range(RUNS)) / picks


def _run(case: Case, candidates: tuple[Candidate, ...], picks: int) -> float:
    runtime = RuntimeTable()
    selector = Selector(runtime)
    if case.rests:
        for each in candidates[1::2]:
            runtime.put(
                credential_place(each.credential.id), RuntimeState(until=1e9, failures=1, kind=Kind.QUOTA)
            )
    selector.pick("m", candidates, 0.0, rules=case.rules, stay=case.stay)
    now = 0.0
    began = time.perf_counter()
    for number in range(picks):
        now += 0.01
        choice = selector.pick("m", candidates, now, rules=case.rules, stay=case.stay)
        if not isinstance(choice, Candidate):
            continue
        with runtime.working(choice.credential.account):
            pass
        if case.fails and number % FAILING == 0:
            rest = RuntimeState(until=now + 1.0, failures=1, kind=Kind.RATE_LIMIT)
            runtime.put(model_place(choice), rest)
    return time.perf_counter() - began


def rebuild_seconds(count: int) -> float:
    """Return the time of the first pick after a rebuild."""
    selector = Selector(RuntimeTable())
    times: list[float] = []
    for _ in range(REBUILDS):
        candidates = everybody(count)
        began = time.perf_counter()
        selector.pick("m", candidates, 0.0, rules=Rules())
        times.append(time.perf_counter() - began)
    return median(times)


def _row(name: str, seconds: Callable[[int], float]) -> list[str]:
    return [name, *(f"{seconds(count) * 1e6:.1f}" for count in COUNTS)]


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--picks", type=int, default=5000, help="picks in each run (default: 5000)")


async def main(options: Namespace) -> int:
    """Measure and print."""
    rows: list[list[str]] = []
    for case in CASES:
        rows.append(_row(case.name, lambda count, case=case: pick_seconds(case, count, options.picks)))
        await trio.lowlevel.checkpoint()
    rows.append(_row("a rebuild", rebuild_seconds))
    print("Selection: microseconds for each pick, by the number of accounts.")
    print_table(("case", *(f"{count} accounts" for count in COUNTS)), rows)
    return 0
