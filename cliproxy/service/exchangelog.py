"""One line of the log for each exchange, at its end, with everything that is known about it by then.

What was asked for and what came of it, who answered and with whose account, what it took in attempts, tokens
and time, and how it ended (:mod:`cliproxy.exchange.cause`). The account is named by the id that logins and
displays use, which is no secret; nothing of the conversation is in it.
"""

import logging
from typing import Final

from cliproxy.exchange.cause import EndedBy
from cliproxy.exchange.record import ExchangeRecord, Outcome
from cliproxy.observe.lines import Facts
from cliproxy.wire.jsontext import JsonObject

logger = logging.getLogger(__name__)

_LEVELS: Final = {
    EndedBy.NOBODY: logging.INFO,
    EndedBy.CLIENT: logging.INFO,
    EndedBy.UPSTREAM: logging.WARNING,
    EndedBy.LIMIT: logging.WARNING,
    EndedBy.SERVER: logging.WARNING,
}


def log_record(record: ExchangeRecord) -> None:
    """Write the line."""
    level = logging.WARNING if record.outcome is Outcome.ERROR else _LEVELS[record.ended_by]
    if logger.isEnabledFor(level):
        logger.log(level, Facts("exchange", facts_of(record)))
    if record.notes:
        logger.debug("not carried request_id=%s %s", record.request_id, "; ".join(record.notes))


def facts_of(record: ExchangeRecord) -> JsonObject:
    """Return what the line says. What does not apply is ``None``."""
    last = record.attempts[-1] if record.attempts else None
    usage, pace = record.usage, record.pace
    failure = None if last is None or record.outcome is Outcome.OK else last.failure
    return {
        "outcome": record.outcome.value,
        "cause": record.cause,
        "status": record.status,
        "kind": record.kind.value if record.kind is not None else None,
        "request_id": record.request_id,
        "client": record.client or None,
        "dialect": record.dialect,
        "action": record.action,
        "stream": record.stream,
        "model": record.model,
        "served": last.model if last is not None else None,
        "provider": last.provider if last is not None else None,
        "credential": last.credential if last is not None else None,
        "attempts": len(record.attempts),
        "input": usage.input_total,
        "cached": usage.cache_read or 0,
        "output": usage.output_total,
        "first_byte": _seconds(record.first_byte),
        "longest_wait": _seconds(pace.longest) if pace.count else None,
        "seconds": _seconds(record.duration),
        "error": failure.message if failure is not None else None,
    }


def _seconds(duration: float | None) -> float | None:
    return None if duration is None else round(duration, 3)
