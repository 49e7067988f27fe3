"""Usage in the JSON shape that older servers of this kind export, and back from it.

That shape knows one *detail* for each attempt: time, account, token counts, whether it failed; grouped by the
client's key and by model. Its totals are made from the hourly sums here, so that they do not shrink when
single requests are deleted; details are given as far as they are there, the newest of them up to a limit.
Members that only this program knows are added beside the old ones, so that nothing is lost on the way back.

**Reading a snapshot** adds the details that are not there yet. Two are the same when client, model, time,
account, outcome and all counts are. From before the time up to which requests were deleted when reading began
nothing is taken, because it may have been there. Keys of clients and accounts, which older servers export in
clear, are masked.

**Counts.** The old shape does not say whether cached tokens are part of the input, or reasoning part of the
output. Here they are, as OpenAI has it. Of others' details the total decides, as far as it can; what it has
beyond the sum of the parts is input.
"""

import hashlib
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from attrs import define, evolve, field, frozen

from cliproxy.stores.rows import (
    ERROR,
    HOUR_S,
    NS_PER_S,
    OK,
    TOKEN_CLASSES,
    AttemptRow,
    RequestRow,
    Sums,
    Tokens,
    bounded,
    plain,
)
from cliproxy.stores.usage import ID_DIGITS, Wanted, roll_up
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    count,
    flag,
    integer,
    loads_object,
    objects,
    text,
)
from cliproxy.wire.secret import MASK, Secret

IMPORTED: Final = "import"
"""The action of requests that came in a snapshot."""
MOST_DETAILS: Final = 10_000
VERSION: Final = 1
"""Of the documents that snapshots come in; 0, or none at all, is older and means the same."""
UNKNOWN: Final = "unknown"
_ROUTE: Final = re.compile(r"[A-Z]+ /\S*")
"""What older servers call clients without a key."""
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Name = tuple[str, str]
"""A client: id and name."""


class NotUsage(Exception):
    """A document has no snapshot in it."""


@frozen(kw_only=True)
class Document:
    """A snapshot as it is exported."""

    content: JsonObject
    attempts: int
    """How many the totals count."""
    details: int
    """How many are given one by one."""


# -------------------------------------------------------------------------------------------------- writing


def document(connection: sqlite3.Connection, now: float, *, details: int = MOST_DETAILS) -> Document:
    """Return the document of an export; days and hours in it are those of UTC."""
    shot = snapshot(connection, UTC, details=details)
    models = (model for _, api in _members(shot, "apis") for _, model in _members(api, "models"))
    return Document(
        content={"version": VERSION, "exported_at": moment(int(now) * NS_PER_S), "usage": shot},
        attempts=integer(shot, "total_requests") or 0,
        details=sum(1 for model in models for _ in objects(model, "details")),
    )


def snapshot(connection: sqlite3.Connection, zone: tzinfo, *, details: int = MOST_DETAILS) -> JsonObject:
    """Return the snapshot; days and hours are those of a time zone."""
    whole = _Counter()
    apis = _Apis()
    days: dict[str, _Counter] = {}
    hours: dict[str, _Counter] = {}
    for group in roll_up(connection, Wanted(), by=("client", "provider", "model")):
        if not group.sums.attempts:
            continue
        api = apis.of((group.client_id, group.client), group.provider)
        model = api.models.setdefault(group.model or UNKNOWN, _Model())
        for counter in (whole, api.sums, model.sums):
            counter.add(group.sums)
    for group in roll_up(connection, Wanted(), step=HOUR_S):
        if group.sums.attempts:
            begin = datetime.fromtimestamp(group.start or 0, zone)
            days.setdefault(f"{begin:%Y-%m-%d}", _Counter()).add(group.sums)
            hours.setdefault(f"{begin:%H}", _Counter()).add(group.sums)
    for name, model_name, detail in _details(connection, details):
        api = apis.of(name, text(detail, "provider"))
        api.models.setdefault(model_name, _Model()).details.append(detail)
    return {
        "total_requests": whole.requests,
        "success_count": whole.requests - whole.failed,
        "failure_count": whole.failed,
        "total_tokens": whole.tokens,
        "apis": {key: api.shown() for key, api in apis.by_key.items()},
        "requests_by_day": {day: counter.requests for day, counter in sorted(days.items())},
        "requests_by_hour": {hour: counter.requests for hour, counter in sorted(hours.items())},
        "tokens_by_day": {day: counter.tokens for day, counter in sorted(days.items())},
        "tokens_by_hour": {hour: counter.tokens for hour, counter in sorted(hours.items())},
    }


@define
class _Counter:
    requests: int = 0
    tokens: int = 0
    failed: int = 0

    def add(self, sums: Sums) -> None:
        self.requests += sums.attempts
        self.tokens += sums.tokens
        self.failed += sums.failed_attempts

    def shown(self) -> JsonObject:
        return {"total_requests": self.requests, "total_tokens": self.tokens}


@define
class _Model:
    sums: _Counter = field(factory=_Counter)
    details: list[JsonValue] = field(factory=list)


@define
class _Api:
    name: Name
    sums: _Counter = field(factory=_Counter)
    models: dict[str, _Model] = field(factory=dict)

    def shown(self) -> JsonObject:
        models: JsonObject = {
            name: {**model.sums.shown(), "details": model.details} for name, model in self.models.items()
        }
        return {**self.sums.shown(), "client_id": self.name[0], "client": self.name[1], "models": models}


@define
class _Apis:
    """The clients, each under a key of its own: several may be called the same."""

    by_key: dict[str, _Api] = field(factory=dict)
    _keys: dict[tuple[Name, str], str] = field(factory=dict)

    def of(self, name: Name, provider: str) -> _Api:
        """Return the entry of a client; of those without a name, of a provider."""
        who = (name, "" if name[1] else provider)
        if who not in self._keys:
            first = key = name[1] or provider or UNKNOWN
            number = 1
            while key in self.by_key:
                number += 1
                key = f"{first} ({number})"
            self._keys[who] = key
            self.by_key[key] = _Api(name)
        return self.by_key[self._keys[who]]


_DETAIL: Final = (
    "a.started_ns, a.source, a.auth_index, a.outcome, a.fresh_input, a.cache_read, a.cache_write, a.output,"
    " a.reasoning, a.provider, a.credential, a.duration_us, r.client_id, r.client, a.model, a.cost_micros"
)
_JOINED: Final = "usage_attempt AS a JOIN usage_request AS r ON r.id = a.request"


def _details(connection: sqlite3.Connection, limit: int) -> Iterator[tuple[Name, str, JsonObject]]:
    """Yield (client, model, detail), the oldest first."""
    rows = connection.execute(
        f"SELECT {_DETAIL} FROM {_JOINED} ORDER BY a.started_ns DESC LIMIT ?",  # noqa: S608 - columns
        (limit,),
    ).fetchall()
    for row in reversed(rows):
        started_ns, source, auth_index, outcome, *counts = row[:9]
        provider, credential, duration_us, client_id, client, model, cost_micros = row[9:]
        tokens = Tokens(**dict(zip(TOKEN_CLASSES, counts, strict=True)))
        detail: JsonObject = {
            "timestamp": moment(started_ns),
            "source": source,
            "auth_index": auth_index,
            "failed": outcome == ERROR,
            "tokens": _counts(tokens),
            "latency_ms": duration_us // 1000,
            "provider": provider,
            "credential": credential,
            "cost_micros": cost_micros,
        }
        yield (client_id, client), model or UNKNOWN, detail


def _counts(tokens: Tokens) -> JsonObject:
    return {
        "input_tokens": tokens.input_total,
        "output_tokens": tokens.output_total,
        "reasoning_tokens": tokens.reasoning,
        "cached_tokens": tokens.cache_read,
        "total_tokens": tokens.total,
        "cache_read_tokens": tokens.cache_read,
        "cache_creation_tokens": tokens.cache_write,
    }


def moment(ns: int) -> str:
    """Write a time as RFC 3339, in UTC, as exactly as it is known."""
    seconds, rest = divmod(ns, NS_PER_S)
    fraction = f".{rest:09}".rstrip("0").rstrip(".")
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{fraction}Z"


# -------------------------------------------------------------------------------------------------- reading


def rows_in(data: bytes, now_ns: int, known: Collection[str] = ()) -> Iterator[RequestRow]:
    """Read the document of an export; see :func:`details_of`. Raises :class:`NotUsage`."""
    try:
        found = loads_object(data)
    except JsonError as exc:
        raise NotUsage(f"no usage can be read, it is not what `usage export` writes: {exc}") from exc
    version = found.get("version", 0)
    if version not in {0, VERSION}:
        raise NotUsage(f"this is usage of version {version}, and only {VERSION} is known")
    if not isinstance(found.get("usage"), dict):
        raise NotUsage("there is no `usage` in it")
    return details_of(child(found, "usage"), now_ns, known)


def details_of(shot: JsonObject, now_ns: int, known: Collection[str] = ()) -> Iterator[RequestRow]:
    """Read the details of a snapshot as requests of one attempt each.

    ``known`` are names under ``apis`` that are no keys, such as those of providers. A detail without a time
    is one of now.
    """
    for key, api in _members(shot, "apis"):
        is_ours = "client_id" in api
        name = (text(api, "client_id"), text(api, "client")) if is_ours else _masked_client(key, known)
        for model, facts in _members(api, "models"):
            for detail in objects(facts, "details"):
                yield _request(detail, name, "" if model == UNKNOWN else model, now_ns, is_ours=is_ours)


def _members(obj: JsonObject, key: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield those members of an object in an object that are objects."""
    for name, member in child(obj, key).items():
        if isinstance(member, dict):
            yield name, member


def _request(detail: JsonObject, name: Name, model: str, now_ns: int, *, is_ours: bool) -> RequestRow:
    started = read_moment(text(detail, "timestamp"))
    outcome = ERROR if flag(detail, "failed") else OK
    source, cost = text(detail, "source"), count(detail, "cost_micros")
    attempt = AttemptRow(
        started_ns=now_ns if started is None else started,
        duration_us=bounded((integer(detail, "latency_ms") or 0) * 1000),
        provider=plain(text(detail, "provider")),
        credential=plain(text(detail, "credential")),
        auth_index=plain(text(detail, "auth_index")),
        source=plain(source if is_ours else _masked_source(source)),
        model=plain(model),
        outcome=outcome,
        tokens=read_counts(child(detail, "tokens")),
        cost_micros=None if cost is None else bounded(cost),
    )
    return RequestRow(
        started_ns=attempt.started_ns,
        duration_us=attempt.duration_us,
        client_id=plain(name[0]),
        client=plain(name[1]),
        action=IMPORTED,
        model=attempt.model,
        outcome=outcome,
        tokens=attempt.tokens,
        attempts=(attempt,),
    )


def read_counts(said: JsonObject) -> Tokens:
    """Read the counts of a detail."""
    asked, output = bounded(integer(said, "input_tokens")), bounded(integer(said, "output_tokens"))
    reasoning, cached = bounded(integer(said, "reasoning_tokens")), bounded(integer(said, "cached_tokens"))
    total = bounded(integer(said, "total_tokens"))
    written = min(bounded(integer(said, "cache_creation_tokens")), max(asked - cached, 0))
    is_apart = reasoning > output or (reasoning > 0 and total == asked + output + reasoning)
    tokens = Tokens(
        # More from the cache than there was input: it was not counted as input.
        fresh_input=asked if cached > asked else asked - cached - written,
        cache_read=cached,
        cache_write=written,
        output=output if is_apart else output - reasoning,
        reasoning=reasoning,
    )
    surplus = max(total - tokens.total, 0)
    return evolve(tokens, fresh_input=tokens.fresh_input + surplus)


def read_moment(said: str) -> int | None:
    """Read a time of RFC 3339 as nanoseconds since 1970; ``None`` when it is none, or one before."""
    found = _MOMENT.fullmatch(said)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    offset = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        seconds = (datetime.fromisoformat(f"{day}T{clock}{offset}") - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return seconds * NS_PER_S + int((fraction or "0").ljust(9, "0")) if seconds >= 0 else None


def _masked_client(key: str, known: Collection[str]) -> Name:
    """Name a client as this server would: by the masked key and the beginning of its hash."""
    if _ROUTE.fullmatch(key) or key in known or key == UNKNOWN or key.startswith(MASK):
        return "", key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:ID_DIGITS], Secret(key).hint()


def _masked_source(source: str) -> str:
    """Keep an e-mail address; anything else may be a key."""
    return source if not source or "@" in source or source.startswith(MASK) else Secret(source).hint()


def news(connection: sqlite3.Connection, requests: Iterable[RequestRow], begin: int) -> list[RequestRow]:
    """Return those of imported requests that are not there yet, each once; ``begin`` is the time from before
    which nothing is taken."""
    found: list[RequestRow] = []
    seen: dict[int, set[tuple[object, ...]]] = {}
    for request in requests:
        at = request.started_ns
        if at < begin:
            continue
        if at not in seen:
            rows = connection.execute(
                f"SELECT {_DETAIL} FROM {_JOINED} WHERE a.started_ns = ?",  # noqa: S608 - columns
                (at,),
            )
            seen[at] = {_identity_of_row(row) for row in rows}
        identity = _identity(request)
        if identity not in seen[at]:
            seen[at].add(identity)
            found.append(request)
    return found


def _identity(request: RequestRow) -> tuple[object, ...]:
    made = request.attempts[0]
    client = (request.client_id, request.client)
    facts = (made.source, made.auth_index, made.outcome == ERROR)
    return (*client, made.model, *facts, *_counts(made.tokens).values())


def _identity_of_row(row: tuple[object, ...]) -> tuple[object, ...]:
    _, source, auth_index, outcome, *counts = row[:9]
    tokens = Tokens(**dict(zip(TOKEN_CLASSES, map(_whole, counts), strict=True)))
    client_id, client, model = row[12:15]
    return (client_id, client, model, source, auth_index, outcome == ERROR, *_counts(tokens).values())


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
