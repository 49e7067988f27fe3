"""What is counted while the server works, and what is looked up when somebody asks.

:class:`Tally` is told of every finished exchange and adds up. :class:`Metrics` puts the sums beside what can
be seen of the service at the moment: who rests, which accounts can be used, how its jobs are. Others who have
something to show add a function to :attr:`cliproxy.service.service.Service.figures`.

Nothing here names a client: figures are for operators, and a key, even a masked one, is not a label.
"""

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import trio
from attrs import define, field

from cliproxy import __version__
from cliproxy.exchange.record import AttemptNote, ExchangeRecord
from cliproxy.ir.response import Usage
from cliproxy.observe.metrics import (
    OTHER,
    Counts,
    Family,
    Labels,
    Spreads,
    counter,
    gauge,
    gauges,
    histogram,
)
from cliproxy.routing.cooldown import Place
from cliproxy.routing.runtime import HOST_MARK
from cliproxy.service.readiness import conditions, obstacles
from cliproxy.service.service import Service
from cliproxy.service.supervise import Phase

SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
PACE: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
NOBODY: Final = ""
"""Label of what nobody was found for."""


def _tokens(usage: Usage) -> Iterator[tuple[str, int]]:
    """Yield the classes of tokens, which have nothing in common with one another."""
    yield "input", usage.fresh_input or 0
    yield "cache_read", usage.cache_read or 0
    yield "cache_write", usage.cache_write or 0
    yield "output", usage.output or 0
    yield "reasoning", usage.reasoning or 0


@define(eq=False)
class Tally:
    """Adds up what finished exchanges tell."""

    is_known: Callable[[str], bool]
    """Whether a name is one of a model that is served; clients may ask for any."""
    requests: Counts = field(factory=Counts, init=False)
    ends: Counts = field(factory=Counts, init=False)
    attempts: Counts = field(factory=Counts, init=False)
    tokens: Counts = field(factory=Counts, init=False)
    first_byte: Spreads = field(factory=lambda: Spreads(SECONDS), init=False)
    duration: Spreads = field(factory=lambda: Spreads(SECONDS), init=False)
    mean_wait: Spreads = field(factory=lambda: Spreads(PACE), init=False)
    longest_wait: Spreads = field(factory=lambda: Spreads(PACE), init=False)

    def take(self, record: ExchangeRecord) -> None:
        """Count a finished exchange."""
        last = record.attempts[-1] if record.attempts else None
        provider = last.provider if last is not None else NOBODY
        kind = record.kind.value if record.kind is not None else ""
        self.requests.add(
            (
                record.dialect,
                record.action,
                self._model(record, last),
                provider,
                record.outcome.value,
                str(record.status),
                kind,
            )
        )
        self.ends.add((record.ended_by.value, record.phase.value))
        self.duration.add((provider, "true" if record.stream else "false"), record.duration)
        if record.first_byte is not None:
            self.first_byte.add((provider,), record.first_byte)
        if record.pace.count:
            self.mean_wait.add((provider,), record.pace.mean)
            self.longest_wait.add((provider,), record.pace.longest)
        for note in record.attempts:
            self._take_attempt(note)

    def _take_attempt(self, note: AttemptNote) -> None:
        kind = note.failure.kind.value if note.failure is not None else ""
        self.attempts.add((note.provider, note.outcome.value, kind))
        for name, count in _tokens(note.usage):
            if count:
                self.tokens.add((note.provider, note.model, name), count)

    def _model(self, record: ExchangeRecord, last: AttemptNote | None) -> str:
        if self.is_known(record.model):
            return record.model
        return last.model if last is not None else OTHER

    def families(self) -> Iterator[Family]:
        """Return the sums as they are now."""
        labels: Labels = ("dialect", "action", "model", "provider", "outcome", "status", "kind")
        yield counter("cliproxy_requests", "Finished requests for a model.", labels, self.requests.values)
        what = "Finished requests by who ended them (- C U L S) and in which phase (- R Q H B D)."
        yield counter("cliproxy_ends", what, ("ended_by", "phase"), self.ends.values)
        labels = ("provider", "outcome", "kind")
        yield counter("cliproxy_attempts", "Requests to upstreams.", labels, self.attempts.values)
        labels = ("provider", "model", "class")
        yield counter("cliproxy_tokens", "Tokens of all requests to upstreams.", labels, self.tokens.values)
        one: Labels = ("provider",)
        what = "From a request to the first byte for its client."
        yield histogram("cliproxy_first_byte_seconds", what, one, self.first_byte)
        what = "From a request to its end."
        yield histogram("cliproxy_request_duration_seconds", what, ("provider", "stream"), self.duration)
        what = "Mean wait for the next piece of a stream."
        yield histogram("cliproxy_stream_wait_seconds", what, one, self.mean_wait)
        what = "Longest wait for the next piece of a stream."
        yield histogram("cliproxy_stream_longest_wait_seconds", what, one, self.longest_wait)


def scope_of(place: Place) -> str:
    """Name what a pause is about."""
    owner, part = place
    if owner.startswith(HOST_MARK):
        return "host"
    if not part:
        return "credential"
    return "contract" if part.startswith("contract:") else "model"


@define(eq=False)
class Metrics:
    """Everything there is to show about a service."""

    service: Service
    tally: Tally = field(init=False)

    @tally.default
    def _empty(self) -> Tally:
        return Tally(lambda name: name in self.service.snapshots.current().registry)

    def take(self, record: ExchangeRecord) -> None:
        """Count a finished exchange, if anybody wants to know."""
        if self.service.config.metrics.enable:
            self.tally.take(record)

    def families(self) -> list[Family]:
        """Return all figures."""
        own = (self.tally.families, self._state, self._accounts, self._jobs, self._database)
        return [family for source in (*own, *self.service.figures) for family in source()]

    def _state(self) -> Iterator[Family]:
        service = self.service
        build = {(__version__, platform.python_version()): 1.0}
        yield gauges("cliproxy_build_info", "What runs.", ("version", "python"), build)
        yield gauge("cliproxy_ready", "Whether requests can be served.", not obstacles(service))
        status = service.reload_status
        yield counter("cliproxy_reloads", "Changes taken over from files.", (), {(): status.count})
        yield gauge("cliproxy_file_problems", "Files that are not used as they are.", len(status.problems))
        pauses = service.runtime.export(trio.current_time(), time.time())
        kinds = Counter((scope_of(pause.place), pause.kind.value) for pause in pauses)
        yield gauges("cliproxy_pauses", "Pauses after failures.", ("scope", "kind"), kinds)

    def _accounts(self) -> Iterator[Family]:
        states = Counter((c.provider, condition.value) for c, condition in conditions(self.service))
        yield gauges("cliproxy_credentials", "Accounts and keys.", ("provider", "state"), states)
        renewals = self.service.tokens.renewals.values
        yield counter("cliproxy_token_renewals", "Renewals of tokens.", ("provider", "outcome"), renewals)

    def _jobs(self) -> Iterator[Family]:
        statuses = self.service.jobs.statuses()
        crashes = {(job.name,): job.crashes for job in statuses}
        running = {(job.name,): job.phase is Phase.RUNNING for job in statuses}
        yield counter("cliproxy_job_crashes", "Faults of jobs.", ("job",), crashes)
        yield gauges("cliproxy_job_running", "Whether a job runs.", ("job",), running)

    def _database(self) -> Iterator[Family]:
        if self.service.ledger is None:
            return
        statistics = self.service.ledger.statistics()
        waiting, troubled = statistics.waiting, statistics.trouble is not None
        kept = {("whole",): statistics.written, ("sums",): statistics.summed}
        what = "Requests that the database has, or only the sums of."
        yield counter("cliproxy_database_requests", what, ("kept",), kept)
        yield gauge("cliproxy_database_waiting", "Requests that are not in the database yet.", waiting)
        yield gauge("cliproxy_database_troubled", "Whether the database cannot be written to.", troubled)
