"""``usage``: what was used, by day or by what is asked for; and usage in files, out of and into the database.

Everything works beside a running server. The sums are read on a connection that cannot write. An import
writes in short transactions between those of the server, which finds the new rows like its own.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from cliproxy.catalog.prices import as_of
from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain, complain_about, say
from cliproxy.cli.world import config_of, log_quietly
from cliproxy.config.model import Config
from cliproxy.errors import ConfigError, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.service.state import database_path
from cliproxy.stores.atomic import read_file, write_file
from cliproxy.stores.rows import DAY_S, HOUR_S, NS_PER_S, SUMMED, Sums
from cliproxy.stores.snapshot import MOST_DETAILS, NotUsage, document, rows_in
from cliproxy.stores.state import StateFile, reading
from cliproxy.stores.usage import DIMENSIONS, Group, Wanted, roll_up
from cliproxy.wire.jsontext import JsonObject, dumps, dumps_text

DAYS: Final = 30
DEFAULT_BY: Final = "day"
LARGEST_FILE: Final = 512 * 1024 * 1024
_MICROS: Final = 1_000_000
_MONEY: Final = "USD"


@frozen
class Period:
    """A length of time that usage may be divided by."""

    seconds: int
    pattern: str


PERIODS: Final[Mapping[str, Period]] = {
    "day": Period(DAY_S, "%Y-%m-%d"),
    "hour": Period(HOUR_S, "%Y-%m-%d %H:00"),
}
_COLUMNS: Final[Sequence[tuple[str, Callable[[Sums], int]]]] = (
    ("requests", lambda sums: sums.requests),
    ("errors", lambda sums: sums.errors),
    ("cancelled", lambda sums: sums.cancelled),
    ("input", lambda sums: sums.fresh_input + sums.cache_read + sums.cache_write),
    ("cached", lambda sums: sums.cache_read),
    ("output", lambda sums: sums.output + sums.reasoning),
)


def run(arguments: Arguments) -> int:
    """Do what is asked for; 1 when the database or a file cannot be used."""
    log_quietly(arguments)
    try:
        return trio.run(_run, arguments)
    except* (ConfigError, StoreError, NotUsage) as group:
        complain_about(group)
    return FAILURE


async def _run(arguments: Arguments) -> int:
    source = await config_of(arguments)
    if source.loaded.errors:
        raise ConfigError(source.loaded.source, source.loaded.errors)
    path = database_path(source.store, source.loaded.config)
    verb, *rest = arguments.words
    if verb == "import":
        return await trio.to_thread.run_sync(_take_in, path, Path(rest[0]), source.loaded.config)
    if not path.exists():
        complain(f"there is no database at {path}: nothing has been used yet with this configuration")
        return FAILURE
    if verb == "export":
        return await trio.to_thread.run_sync(_put_out, path, Path(rest[0]))
    return await trio.to_thread.run_sync(_show, path, arguments)


# ------------------------------------------------------------------------------------------------- showing


def _show(path: Path, arguments: Arguments) -> int:
    by = arguments.values.get("by", DEFAULT_BY)
    days = arguments.number("days")
    wanted = Wanted(since=_first_day(time.time(), DAYS if days is None else days))
    period = PERIODS.get(by)
    with reading(path) as connection:
        groups = roll_up(
            connection,
            wanted,
            by=[by] if by in DIMENSIONS else (),
            step=period.seconds if period is not None else None,
        )
    if period is None:
        groups.sort(key=lambda group: (-group.sums.tokens, label(group, by)))
    say("\n".join(as_json(groups, by) if "json" in arguments.switches else table(groups, by)))
    return OK


def _first_day(now: float, days: int) -> float | None:
    """Return when the first of some days of UTC began, the last of which is today; 0 days are all."""
    return (now // DAY_S - days + 1) * DAY_S if days else None


def label(group: Group, by: str) -> str:
    """Name a group: by its time, or by what it was divided by."""
    if by in PERIODS:
        return f"{datetime.fromtimestamp(group.start or 0, UTC):{PERIODS[by].pattern}}"
    return str(getattr(group, by))


def as_json(groups: Sequence[Group], by: str) -> list[str]:
    """Write a list with all sums of each group, under the names of the columns of the database; a group has a
    line of its own."""
    lines = [dumps_text(_facts(group, by)) for group in groups]
    return ["[", *(f"{line}," for line in lines[:-1]), *lines[-1:], "]"]


def _facts(group: Group, by: str) -> JsonObject:
    said: JsonObject = {by: label(group, by)}
    if by == "client":
        said["client_id"] = group.client_id
    return {**said, **{name: getattr(group.sums, name) for name in SUMMED}}


def table(groups: Sequence[Group], by: str) -> list[str]:
    """Write the groups and their sum in columns."""
    whole = Sums()
    for group in groups:
        whole.add(group.sums)
    names = Counter(label(group, by) for group in groups)
    rows = [
        [f"{by} (UTC)" if by in PERIODS else by, *(name for name, _ in _COLUMNS), _MONEY],
        *([_told_apart(group, by, names), *_cells(group.sums)] for group in groups),
        ["all", *_cells(whole)],
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    lines.append(f"{_MONEY}: by the price lists of {as_of()} and `model-prices`, whoever pays.")
    if whole.unpriced:
        lines.append(f"{whole.unpriced:,} attempts have no known price and are not in it.")
    return lines


def _told_apart(group: Group, by: str, names: Counter[str]) -> str:
    """Name a group for people. Short keys have the same mask, and then their hashes differ."""
    name = label(group, by)
    return f"{name} ({group.client_id})" if names[name] > 1 else name or "-"


def _cells(sums: Sums) -> list[str]:
    is_known = sums.cost_micros or not sums.unpriced
    money = f"{sums.cost_micros / _MICROS:,.2f}" if is_known else "-"
    return [*(f"{count(sums):,}" for _, count in _COLUMNS), money]


# --------------------------------------------------------------------------------------------------- files


def _put_out(path: Path, target: Path) -> int:
    """Write a snapshot into a file that only its owner can read."""
    with reading(path) as connection:
        shot = document(connection, time.time())
    write_file(target, dumps(shot.content))
    said = f"{shot.details:,} of {shot.attempts:,} attempts"
    note = "" if shot.details == shot.attempts else f": the newest, at most {MOST_DETAILS:,}"
    say(f"{target} has the totals, and {said} one by one{note}.")
    return OK


def _take_in(path: Path, origin: Path, config: Config) -> int:
    """Add what is new in a snapshot."""
    found = read_file(origin, LARGEST_FILE, follow=True)
    if found is None:
        complain(f"there is no file {origin}")
        return FAILURE
    named = {entry.name for entry in config.openai_compatibility}
    known = {provider.key for provider in PROVIDERS} | named | {name.lower() for name in named}
    file = StateFile(path)
    try:
        rows = rows_in(found.content, int(time.time() * NS_PER_S), known)
        added, skipped = file.take_in(rows, file.horizon())
    finally:
        file.close()
    say(f"{added:,} attempts were added; {skipped:,} were there already.")
    return OK
