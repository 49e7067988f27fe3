"""The fuzzer: random changes to realistic bodies, for as long as it is told to. ``scripts/fuzz.sh`` runs it.

Every target of :mod:`support.properties` gets the same share of the time. Its inputs begin with the corpus:
JSON bodies get some of their values replaced, removed, repeated or moved, streams also lose, repeat and
exchange frames, and one input in eight is arbitrary bytes. Hypothesis makes the choices, so that what fails
is made small before it is shown. An input that takes too long fails as well.

What fails is saved beside the corpus's own files, where :mod:`tests.test_corpus` tries it from then on.
"""

import sys
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final

import hypothesis
from attrs import define, field
from hypothesis import strategies as st

from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, dumps, loads
from cliproxy.wire.sse import FrameParser, render
from support.corpus import CORPUS, entries
from support.ir_strategies import json_values
from support.properties import TARGETS, Target

ROUND: Final = 200
"""Examples between two looks at the clock."""
SHRINKING_S: Final = 10.0
"""How long an input that fails is made smaller."""
LONGEST_S: Final = 1.0
"""What is longer than this for a few kilobytes is a bug, however busy the machine."""
MOST_CHANGES: Final = 4
SETTINGS: Final = hypothesis.settings(
    max_examples=ROUND,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    report_multiple_bugs=False,
)
ODD: Final[tuple[JsonValue, ...]] = (
    None,
    True,
    0,
    -1,
    1e300,
    2**70,
    "",
    "\ud800",
    "\x00",
    [],
    {},
    [[]],
    [None],
)
odd_values: Final = st.sampled_from(ODD) | json_values


# --- changing what there is -------------------------------------------------------------------------------


def places(value: JsonValue) -> list[tuple[JsonObject | list[JsonValue], str | int]]:
    """Return every place in a value that can hold something else."""
    found: list[tuple[JsonObject | list[JsonValue], str | int]] = []
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            found += [(node, key) for key in node]
            pending += node.values()
        elif isinstance(node, list):
            found += [(node, index) for index in range(len(node))]
            pending += node
    return found


def _change(draw: st.DrawFn, value: JsonValue) -> None:
    """Change a value in one place."""
    spots = places(value)
    if not spots:
        return
    node, key = spots[draw(st.integers(0, len(spots) - 1))]
    match draw(st.integers(0, 4)):
        case 0:
            del node[key]  # type: ignore[arg-type]
        case 1:
            node[key] = loads(dumps(_at(*spots[draw(st.integers(0, len(spots) - 1))])))  # type: ignore[index]
        case 2 if isinstance(node, list):
            node.append(loads(dumps(_at(node, key))))
        case 2 | 3 if isinstance(node, dict):
            node[draw(st.sampled_from([*node, "type", "id", "content"]))] = _at(node, key)
            loads(dumps(value))
        case _:
            node[key] = draw(odd_values)  # type: ignore[index]


def _at(node: JsonObject | list[JsonValue], key: str | int) -> JsonValue:
    return node[key]  # type: ignore[index]


@st.composite
def changed_json(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A JSON body with some changes."""
    value = loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, MOST_CHANGES))):
        _change(draw, value)
        value = loads(dumps(value))  # what was put in twice is two things from here on
    return dumps(value)


@st.composite
def changed_stream(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A stream with changes to its frames, and among them."""
    parser = FrameParser()
    seed = draw(st.sampled_from(seeds))
    frames = [*parser.feed(seed), *parser.finish()]
    pieces = [frame.raw for frame in frames]
    for _ in range(draw(st.integers(0, MOST_CHANGES))):
        at = draw(st.integers(0, len(frames) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                pieces[at] = b""
            case 1:
                pieces[at] *= 2
            case 2:
                other = draw(st.integers(0, len(frames) - 1))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                pieces[at] = _changed_frame(draw, frames[at].event, frames[at].data)
    end = draw(st.none() | st.integers(0, len(seed)))
    return b"".join(pieces)[:end]


def _changed_frame(draw: st.DrawFn, event: bytes | None, data: bytes) -> bytes:
    try:
        value = loads(data)
    except JsonError:
        return render(draw(st.binary(max_size=20)), event)
    _change(draw, value)
    return render(dumps(value), event)


@st.composite
def changed_text(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A text whose lines are lost, repeated, exchanged and cut."""
    lines = draw(st.sampled_from(seeds)).splitlines(keepends=True)
    for _ in range(draw(st.integers(0, MOST_CHANGES))):
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                lines[at] = b""
            case 1:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.binary(max_size=4)) + lines[at][cut:]
            case _:
                lines[at] = lines[at].replace(b":", draw(st.sampled_from([b"", b"::", b": !", b": &a"])), 1)
    return b"".join(lines)


_CHANGED: Final = {"json": changed_json, "sse": changed_stream, "yaml": changed_text}


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return what a target is tried with."""
    arbitrary = st.binary(max_size=200)
    if target.ending == "json":
        arbitrary |= json_values.map(dumps)
    seeds = [path.read_bytes() for path in entries(target)]
    if not seeds:
        return arbitrary
    changed = _CHANGED[target.ending](seeds)
    return st.integers(0, 7).flatmap(lambda number: arbitrary if number == 0 else changed)


# --- running ----------------------------------------------------------------------------------------------


@define
class Run:
    """What came of one target."""

    target: Target
    examples: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    failure: str = ""
    saved: Path | None = None
    _failing: list[bytes] = field(factory=list, init=False, repr=False)
    _shrunk_until: float = field(default=0.0, init=False, repr=False)

    def go_on(self, seconds: float, random: Random) -> None:
        """Try inputs until the time is over or one fails, which may take a little longer to be made small."""
        started = time.perf_counter()
        until = started + seconds
        strategy = inputs(self.target)
        while not self.failure and time.perf_counter() < until:
            attempt = hypothesis.given(strategy)(lambda data: self._try(data, until))
            try:
                hypothesis.seed(random.getrandbits(64))(SETTINGS(attempt))()
            except Exception:
                self.failure = traceback.format_exc()
                self.saved = save(self.target, self._failing[-1])
        self.seconds = time.perf_counter() - started

    def _try(self, data: bytes, until: float) -> None:
        if self._is_over(until) and data not in self._failing:
            return
        self.examples += 1
        started = time.thread_time()
        try:
            self.target.check(data)
            took_s = time.thread_time() - started
            self.slowest_s = max(self.slowest_s, took_s)
            assert took_s < LONGEST_S, f"{len(data)} bytes took {took_s:.1f} s"
        except BaseException:
            self._shrunk_until = self._shrunk_until or time.perf_counter() + SHRINKING_S
            self._failing.append(data)
            raise

    def _is_over(self, until: float) -> bool:
        """Tell whether there is no time for another input: neither for a new one nor for a smaller one."""
        return time.perf_counter() > max(until, self._shrunk_until)


def save(target: Target, data: bytes) -> Path:
    """Put an input into the corpus. Its name says nothing; a better one is welcome."""
    path = CORPUS / target.name / f"found-{sha256(data).hexdigest()[:12]}.{target.ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz every target whose name contains one of the words, and print what came of it."""
    parser = ArgumentParser(prog="scripts/fuzz.sh", description="Tries changed inputs; see the module.")
    parser.add_argument("seconds", nargs="?", type=float, default=60.0, help="for all together (default: 60)")
    parser.add_argument("words", nargs="*", help="parts of the names of targets (default: all)")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run")
    options = parser.parse_args(arguments)
    chosen = [
        each for each in TARGETS if not options.words or any(word in each.name for word in options.words)
    ]
    seed = options.seed if options.seed is not None else time.time_ns() % 10**6
    random = Random(seed)
    print(f"{len(chosen)} targets, {options.seconds:g} s, --seed {seed}")
    started = time.perf_counter()
    runs = [Run(target) for target in chosen]
    for number, run in enumerate(runs):
        rest_s = started + options.seconds - time.perf_counter()
        run.go_on(rest_s / (len(runs) - number), random)
        print(_line(run), flush=True)
    failed = [run for run in runs if run.failure]
    for run in failed:
        print(f"\n=== {run.target.name}, saved as {run.saved}\n{run.failure}")
    examples = sum(run.examples for run in runs)
    print(f"\n{examples} examples in {time.perf_counter() - started:.0f} s, {len(failed)} failures")
    return 1 if failed else 0


def _line(run: Run) -> str:
    verdict = "FAILED" if run.failure else "ok"
    numbers = f"{run.examples:7d} examples {run.seconds:6.1f} s  slowest {run.slowest_s * 1e3:5.0f} ms"
    return f"{run.target.name:28s} {numbers}  {verdict}"


if __name__ == "__main__":
    sys.exit(main())
