"""From records to rows: facts kept, secrets and excesses left behind."""

from attrs import evolve

from cliproxy.catalog.prices import Prices
from cliproxy.config.entries import ModelPrice
from cliproxy.credentials.indexes import auth_index
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.record import AttemptNote, Outcome
from cliproxy.ir.response import Usage
from cliproxy.routing.cooldown import PauseRecord
from cliproxy.service.usage_rows import (
    Named,
    naming,
    pause_record,
    pause_row,
    request_row,
)
from cliproxy.stores.rows import LONGEST, MOST, AttemptRow, RequestRow, Tokens
from support.records import record
from support.routes import credential

PRICES = Prices({"p": (ModelPrice(name="priced", input=2, output=10),)})
NOTE = AttemptNote(
    provider="p",
    credential="a",
    contract="only",
    model="priced",
    outcome=Outcome.OK,
    status=200,
    started=1_700_000_000.25,
    duration=0.5,
    first_byte=0.125,
    usage=Usage(fresh_input=100, cache_read=50, output=10, reasoning=5),
)
FAILED = evolve(
    NOTE,
    credential="b",
    model="free",
    outcome=Outcome.ERROR,
    status=429,
    first_byte=None,
    usage=Usage(),
    failure=Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="key sk-abcdefghijklmnop is out"),
)


def nobody(_: str) -> Named:
    return Named()


def test_everything_that_is_known_is_in_the_rows() -> None:
    named = naming({"a": credential("a", "p", label="me@example.org")})
    found = request_row(
        record(
            Outcome.OK,
            client_id="c0ffee",
            started=1_700_000_000.0,
            first_byte=0.75,
            usage=NOTE.usage,
            attempts=(FAILED, NOTE),
        ),
        named,
        PRICES,
    )
    tokens = Tokens(fresh_input=100, cache_read=50, output=10, reasoning=5)
    answered = AttemptRow(
        started_ns=1_700_000_000_250_000_000,
        duration_us=500_000,
        first_byte_us=125_000,
        provider="p",
        credential="a",
        auth_index=auth_index(credential("a", "p")),
        source="me@example.org",
        contract="only",
        model="priced",
        status=200,
        tokens=tokens,
        cost_micros=450,
    )
    refused = AttemptRow(
        started_ns=1_700_000_000_250_000_000,
        duration_us=500_000,
        provider="p",
        credential="b",
        contract="only",
        model="free",
        outcome="error",
        status=429,
        kind="quota",
    )
    assert found == RequestRow(
        request_id="req-1",
        started_ns=1_700_000_000_000_000_000,
        duration_us=1_500_000,
        first_byte_us=750_000,
        client="***cdef",
        client_id="c0ffee",
        dialect="openai",
        action="generate",
        stream=True,
        model="m",
        status=200,
        tokens=tokens,
        attempts=(refused, answered),
    )
    assert "sk-" not in repr(found)


def test_what_is_no_number_or_name_of_this_world_is_bounded() -> None:
    usage = Usage(fresh_input=10**30, output=-5)
    found = request_row(
        record(Outcome.ERROR, model="m" * 9999, kind=Kind.TIMEOUT, usage=usage), nobody, PRICES
    )
    assert found.model == "m" * LONGEST
    assert found.tokens == Tokens(fresh_input=MOST)
    assert found.kind == "timeout"


def test_credentials_are_named_once() -> None:
    known = {"a": credential("a", "p", label="l")}
    named = naming(known)
    assert named("a") is named("a")
    assert named("gone") == Named()


def test_a_pause_comes_back_without_the_key_its_cause_quotes() -> None:
    pause = PauseRecord(
        place=("a", "m"),
        kind=Kind.QUOTA,
        cause="key sk-abcdefghijklmnop is out",
        failures=2,
        until=20.0,
        updated=10.0,
    )
    row = pause_row(pause)
    assert pause_record(row) == evolve(pause, cause="key *** is out")
    assert pause_record(evolve(row, kind="of tomorrow")).kind is Kind.UPSTREAM
