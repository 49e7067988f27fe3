"""Records of finished exchanges, as listeners get them."""

from typing import Any

from cliproxy.exchange.record import ExchangeRecord, Outcome
from cliproxy.ir.response import Usage


def record(outcome: Outcome, **facts: Any) -> ExchangeRecord:
    """A record of a streamed exchange for model ``m``; keyword arguments replace facts."""
    known = {
        "request_id": "req-1",
        "client": "***cdef",
        "dialect": "openai",
        "action": "generate",
        "model": "m",
        "stream": True,
        "outcome": outcome,
        "status": 200,
        "kind": None,
        "started": 0.0,
        "duration": 1.5,
        "first_byte": None,
        "usage": Usage(),
        "attempts": (),
    }
    return ExchangeRecord(**{**known, **facts})
