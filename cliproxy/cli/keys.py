"""``keys``: list the client keys of the configuration, and make new ones.

A new key is shown once and kept nowhere: what goes into the configuration is its hash. Whether the entry is
right is for the configuration's own rules to say, on the text as it would be with the entry in it.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import KEY_SETTINGS, Arguments
from cliproxy.cli.output import complain, complain_about, say, write_now
from cliproxy.cli.world import config_of, log_quietly
from cliproxy.config.clientkeys import hash_of
from cliproxy.config.edit import document, set_value
from cliproxy.config.entries import ClientKey
from cliproxy.config.keys import keys_of
from cliproxy.config.load import decode, examine
from cliproxy.config.model import Config
from cliproxy.config.nodes import YamlError
from cliproxy.config.normalize import end_of
from cliproxy.errors import ConfigError, StoreError
from cliproxy.routing.budget import DAY_S, Span, Unit, bounds, shown
from cliproxy.service.state import Source, database_path
from cliproxy.stores.rows import CounterRow
from cliproxy.stores.state import StateError, read_counters, reading
from cliproxy.wire.jsontext import JsonObject, JsonValue, items

SECTION: Final = "client-keys"
KEY_BYTES: Final = 32
WORDS: Final = {Span.DAY: "today", Span.MONTH: "this month"}
LISTS: Final = frozenset({"models", "providers"})


def run(arguments: Arguments) -> int:
    """List the keys or make one; 1 when that cannot be done."""
    log_quietly(arguments)
    try:
        return trio.run(_keys, arguments)
    except* (ConfigError, StoreError) as group:
        complain_about(group)
    return FAILURE


async def _keys(arguments: Arguments) -> int:
    source = await config_of(arguments)
    verb, *rest = arguments.words
    if verb == "new":
        return await _make(source, rest[0], arguments)
    if source.loaded.errors:
        raise ConfigError(source.loaded.source, source.loaded.errors)
    config = source.loaded.config
    counters = await trio.to_thread.run_sync(_counters, database_path(source.store, config))
    lines = list(listed(config, time.time(), counters))
    for line in lines or ["no client keys: everybody who can reach the server may use it"]:
        say(line)
    return OK


# --- listing ------------------------------------------------------------------------------------------------


def _counters(path: Path) -> tuple[CounterRow, ...]:
    """Return what the keys have used, as far as it can be known."""
    try:
        with reading(path) as connection:
            return read_counters(connection)
    except StateError:
        return ()


def listed(config: Config, now: float, counters: Sequence[CounterRow] = ()) -> Iterator[str]:
    """Write a line for each key."""
    width = max((len(entry.name) for entry in config.client_keys), default=0)
    periods = bounds(int(now // DAY_S))
    current = {(row.key, row.period): row for row in counters if row.start == _start(periods, row.period)}
    for entry in config.client_keys:
        used = (
            f"{word} {row.requests} requests, {row.tokens} tokens, {shown(Unit.MONEY, row.micros)}"
            for span, word in WORDS.items()
            if (row := current.get((entry.name.casefold(), span))) is not None
        )
        said = [_condition(entry, now), *_limits(entry), *used]
        yield f"{entry.name:<{width}}  {'; '.join(said)}"
    if config.api_keys:
        yield f"{len(config.api_keys)} without a name and limits, in api-keys"


def _start(periods: Mapping[Span, tuple[int, int]], period: str) -> int | None:
    return periods[Span(period)][0] if period in periods else None


def _condition(entry: ClientKey, now: float) -> str:
    end = end_of(entry.expires)
    if entry.disabled:
        return "switched off"
    if end is None:
        return "in force"
    return f"in force until {entry.expires}" if now < end else f"expired: {entry.expires}"


def _limits(entry: ClientKey) -> Iterator[str]:
    for name in (
        *sorted(LISTS),
        *(flag.name for flag in KEY_SETTINGS if flag.value in {"NUMBER", "DOLLARS"}),
    ):
        value = getattr(entry, keys_of(ClientKey)[name].attribute)
        if value not in {None, ()}:
            yield f"{name} {', '.join(value) if name in LISTS else value}"


# --- making -------------------------------------------------------------------------------------------------


async def _make(source: Source, name: str, arguments: Arguments) -> int:
    key = "sk-" + secrets.token_urlsafe(KEY_BYTES)
    entry: JsonObject = {"name": name, "hash": hash_of(key), **_settings(arguments.values)}
    stored = await source.store.read_config()
    is_saved = "save" in arguments.switches
    if stored is None and is_saved:
        complain(f"there is no {source.loaded.source}; `cliproxy init` writes one")
        return FAILURE
    before = _text(stored.content if stored is not None else b"", source.loaded.source)
    path = (SECTION, len(items(document(before), SECTION)))
    after = set_value(before, path, entry)
    place = f"{SECTION}[{path[1]}]"
    faults = [problem for problem in examine(after).errors if problem.path.startswith(place)]
    for fault in faults:
        complain(f"{fault.path.removeprefix(place).removeprefix('.') or name}: {fault.message}")
    end = end_of(arguments.values.get("expires", ""))
    is_over = end is not None and end <= time.time()
    if is_over:
        complain(f"expires: {arguments.values['expires']} is over; the key could never be used")
    if faults or is_over:
        return FAILURE
    if is_saved:
        await source.store.write_config(after, expected=stored.digest if stored is not None else None)
    write_now(f"{key}\n\nThis is the key of `{name}`. It is shown this once and kept nowhere.\n")
    file = source.loaded.source
    if is_saved:
        write_now(f"Its hash is in {file} now; a running server takes it over by itself.\n")
    else:
        write_now(f"Put its hash into {file}, or use -save:\n\n{set_value('', (SECTION, 0), entry)}")
    return OK


def _text(content: bytes, name: str) -> str:
    try:
        return decode(content)
    except YamlError as exc:
        raise ConfigError(name, [exc.problem]) from exc


def _settings(values: Mapping[str, str]) -> JsonObject:
    """Return the settings of an entry that were given as flags."""
    found: JsonObject = {}
    for flag in KEY_SETTINGS:
        text = values.get(flag.name)
        if text is not None:
            found[flag.name] = _value(flag.name, flag.value, text)
    return found


def _value(name: str, kind: str, text: str) -> JsonValue:
    if name in LISTS:
        return [part.strip() for part in text.split(",")]
    if kind in {"NUMBER", "DOLLARS"}:
        # What is no number is left for the rules of the configuration to refuse.
        return int(text) if text.isascii() and text.isdecimal() else _decimal(text)
    return text


def _decimal(text: str) -> JsonValue:
    try:
        return float(text)
    except ValueError:
        return text
