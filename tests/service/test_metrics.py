"""What is counted of exchanges, and what is seen of a service."""

import random
from pathlib import Path
from typing import Any

import trio
import trio.testing

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.groups import Metrics as Switch
from cliproxy.config.model import Config
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.cause import EndedBy, Phase
from cliproxy.exchange.record import AttemptNote, Outcome, Pace
from cliproxy.ir.response import Usage
from cliproxy.net.http import Upstreams
from cliproxy.observe.metrics import OTHER, Counts, Family, Labels, Spread, exposition, gauge
from cliproxy.providers.base import Provider
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import credential_place, host_place
from cliproxy.service.ledger import Ledger
from cliproxy.service.metrics import Metrics, Tally, scope_of
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.state import StateFile
from support.records import record
from support.routes import credential

PROVIDER = Provider(
    key="p",
    label="P",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (ModelInfo(id="m"),),
)
FAILURE = Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="empty")


class Tokens:
    """Nobody needs a login but those named."""

    def __init__(self, *dead: str) -> None:
        self.dead = dead
        self.renewals = Counts()

    def is_dead(self, account: CredentialId) -> bool:
        return account in self.dead


def service(names: str = "a", config: Config | None = None, **of_all: Any) -> Service:
    credentials = [credential(name, **of_all) for name in names]
    return Service(
        snapshots=Snapshots({"p": PROVIDER}, config or Config(), credentials),
        upstreams=Upstreams(),
        tokens=Tokens(),  # type: ignore[arg-type]
        rng=random.Random(1),
    )


def note(outcome: Outcome = Outcome.OK, failure: Failure | None = None, **facts: Any) -> AttemptNote:
    known = {"provider": "p", "credential": "a", "contract": "only", "model": "up", "duration": 0.5}
    return AttemptNote(outcome=outcome, failure=failure, started=0.0, **{**known, **facts})


def values(families: list[Family], name: str) -> dict[Labels, float]:
    """The values of one figure; of a histogram, how many there were."""
    [family] = [each for each in families if each.name == name]
    return {
        labels: sum(value.counts) if isinstance(value, Spread) else value
        for labels, value in family.values.items()
    }


def test_an_exchange_is_counted_with_all_its_attempts() -> None:
    tally = Tally(lambda name: name == "m")
    pace = Pace()
    pace.waited(0.5)
    attempts = (
        note(Outcome.ERROR, FAILURE, usage=Usage(output=1)),
        note(usage=Usage(fresh_input=2, cache_read=3, cache_write=4, output=5, reasoning=6)),
    )
    tally.take(record(Outcome.OK, attempts=attempts, first_byte=0.3, pace=pace))
    families = list(tally.families())
    assert values(families, "cliproxy_requests") == {("openai", "generate", "m", "p", "ok", "200", ""): 1}
    assert values(families, "cliproxy_ends") == {("-", "-"): 1}
    assert values(families, "cliproxy_attempts") == {("p", "error", "quota"): 1, ("p", "ok", ""): 1}
    assert values(families, "cliproxy_tokens") == {
        ("p", "up", "input"): 2,
        ("p", "up", "cache_read"): 3,
        ("p", "up", "cache_write"): 4,
        ("p", "up", "output"): 6,
        ("p", "up", "reasoning"): 6,
    }
    assert values(families, "cliproxy_first_byte_seconds") == {("p",): 1}
    assert values(families, "cliproxy_request_duration_seconds") == {("p", "true"): 1}
    assert values(families, "cliproxy_stream_wait_seconds") == {("p",): 1}
    assert values(families, "cliproxy_stream_longest_wait_seconds") == {("p",): 1}


def test_failures_are_told_apart() -> None:
    tally = Tally(lambda _name: True)
    ended = {"ended_by": EndedBy.UPSTREAM, "phase": Phase.BODY}
    tally.take(record(Outcome.ERROR, status=429, kind=Kind.QUOTA, attempts=(note(),), **ended))
    assert ("openai", "generate", "m", "p", "error", "429", "quota") in tally.requests.values
    assert tally.ends.values == {("U", "B"): 1}


def test_names_that_clients_make_up_are_no_labels() -> None:
    tally = Tally(lambda name: name == "m")
    tally.take(record(Outcome.ERROR, model="made-up", status=404))
    tally.take(record(Outcome.OK, model="m(high)", attempts=(note(),)))
    assert [labels[2:4] for labels in tally.requests.values] == [(OTHER, ""), ("up", "p")]


async def test_a_switched_off_count_counts_nothing() -> None:
    subject = Metrics(service(config=Config(metrics=Switch(enable=False))))
    subject.take(record(Outcome.OK))
    assert values(subject.families(), "cliproxy_requests") == {}


async def test_the_state_of_the_service_is_shown(autojump_clock: trio.testing.MockClock) -> None:
    world = service("ab")
    world.tokens.renewals.add(("p", "ok"))
    resting = RuntimeState(until=trio.current_time() + 60, failures=1, kind=Kind.QUOTA)
    world.runtime.put(credential_place("a"), resting)
    world.figures.append(lambda: (gauge("extra", "More.", 3),))
    families = Metrics(world).families()
    assert values(families, "cliproxy_ready") == {(): 1}
    assert values(families, "cliproxy_credentials") == {("p", "resting"): 1, ("p", "ready"): 1}
    assert values(families, "cliproxy_pauses") == {("credential", "quota"): 1}
    assert values(families, "cliproxy_token_renewals") == {("p", "ok"): 1}
    assert values(families, "cliproxy_file_problems") == {(): 0}
    assert values(families, "extra") == {(): 3}
    assert exposition(families)[1].endswith(b"\n")


async def test_jobs_are_shown(autojump_clock: trio.testing.MockClock) -> None:
    world = service()

    async def job() -> None:
        raise ValueError

    with trio.move_on_after(0.5):
        await world.jobs.supervised("stumbling", job)
    families = Metrics(world).families()
    assert values(families, "cliproxy_job_crashes") == {("stumbling",): 1}
    assert values(families, "cliproxy_job_running") == {("stumbling",): 0}


def test_a_pause_is_about_something() -> None:
    places = [host_place("https://x"), ("a", ""), ("a", "contract:only"), ("a", "m")]
    assert [scope_of(place) for place in places] == ["host", "credential", "contract", "model"]


async def test_so_is_the_database(tmp_path: Path) -> None:
    world = service()
    assert not [each for each in Metrics(world).families() if "database" in each.name]
    world.ledger = Ledger(
        file=StateFile(tmp_path / "x.db"),
        snapshots=world.snapshots,
        runtime=world.runtime,
        wall=lambda: 7.0,
        monotonic=trio.current_time,
    )
    world.ledger.record(record(Outcome.OK))
    families = Metrics(world).families()
    assert values(families, "cliproxy_database_requests") == {("whole",): 0, ("sums",): 0}
    assert values(families, "cliproxy_database_waiting") == {(): 1}
    assert values(families, "cliproxy_database_troubled") == {(): 0}
