"""From the record of an exchange to the rows of the state database.

Records carry what clients and upstreams have said: names of any length, numbers of any size. They become what
the database takes and its sums can bear. Nothing secret is in a record, and no message of an
upstream is taken over into a row of usage.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from cliproxy.catalog.prices import Prices, cost_micros
from cliproxy.credentials.indexes import auth_index
from cliproxy.credentials.model import Credential
from cliproxy.errors import Kind
from cliproxy.exchange.record import AttemptNote, ExchangeRecord
from cliproxy.ir.response import Usage
from cliproxy.observe.logs import redacted
from cliproxy.routing.cooldown import PauseRecord
from cliproxy.stores.rows import NS_PER_S, AttemptRow, PauseRow, RequestRow, Tokens, bounded, plain

US_PER_S: Final = 1_000_000


@frozen
class Named:
    """How a credential is called in statistics."""

    auth_index: str = ""
    source: str = ""


Describe = Callable[[str], Named]


def naming(credentials: Mapping[str, Credential]) -> Describe:
    """Return what names credentials, each only once worked out."""
    known: dict[str, Named] = {}

    def describe(credential_id: str) -> Named:
        if credential_id not in known:
            credential = credentials.get(credential_id)
            if credential is None:
                return Named()
            known[credential_id] = Named(auth_index(credential), plain(credential.label))
        return known[credential_id]

    return describe


def request_row(record: ExchangeRecord, describe: Describe, prices: Prices) -> RequestRow:
    """Return the row of an exchange and those of its attempts."""
    return RequestRow(
        request_id=plain(record.request_id),
        started_ns=_ns(record.started),
        duration_us=_us(record.duration),
        first_byte_us=None if record.first_byte is None else _us(record.first_byte),
        client=plain(record.client),
        client_id=plain(record.client_id),
        dialect=record.dialect,
        action=record.action,
        stream=record.stream,
        model=plain(record.model),
        outcome=record.outcome.value,
        status=record.status,
        kind=record.kind.value if record.kind else "",
        tokens=_tokens(record.usage),
        attempts=tuple(_attempt_row(note, describe, prices) for note in record.attempts),
    )


def _attempt_row(note: AttemptNote, describe: Describe, prices: Prices) -> AttemptRow:
    named = describe(note.credential)
    price = prices.price_of(note.provider, note.model)
    return AttemptRow(
        started_ns=_ns(note.started),
        duration_us=_us(note.duration),
        first_byte_us=None if note.first_byte is None else _us(note.first_byte),
        provider=plain(note.provider),
        credential=plain(note.credential),
        auth_index=named.auth_index,
        source=named.source,
        contract=note.contract,
        model=plain(note.model),
        outcome=note.outcome.value,
        status=note.status,
        kind=note.failure.kind.value if note.failure else "",
        tokens=_tokens(note.usage),
        cost_micros=None if price is None else bounded(cost_micros(note.usage, price)),
    )


def pause_row(record: PauseRecord) -> PauseRow:
    """Return the row of a pause. Its cause is an upstream's message, which may quote a key."""
    return PauseRow(
        owner=record.place[0],
        part=record.place[1],
        kind=record.kind.value,
        cause=plain(redacted(record.cause)),
        failures=bounded(record.failures),
        until=record.until,
        updated=record.updated,
    )


def pause_record(row: PauseRow) -> PauseRecord:
    """Return the pause of a row."""
    known = {kind.value: kind for kind in Kind}
    return PauseRecord(
        place=(row.owner, row.part),
        kind=known.get(row.kind, Kind.UPSTREAM),
        cause=row.cause,
        failures=row.failures,
        until=row.until,
        updated=row.updated,
    )


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        fresh_input=bounded(usage.fresh_input),
        cache_read=bounded(usage.cache_read),
        cache_write=bounded(usage.cache_write),
        output=bounded(usage.output),
        reasoning=bounded(usage.reasoning),
    )


def _ns(seconds: float) -> int:
    # Microseconds are what a time in seconds is exact to.
    return max(round(seconds * US_PER_S), 0) * (NS_PER_S // US_PER_S)


def _us(seconds: float) -> int:
    return bounded(round(seconds * US_PER_S))
