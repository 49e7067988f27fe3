"""What is to be said of an account when none of its ways to the upstream was good for a request.

Each contract of the account has failed now, was closed already, or cannot carry this request; seldom all for
the same reason. What the client should learn, in this order:

* a way is closed *for the moment*: come back then, even if a lesser way could never carry the request;
* the lesser way that is open cannot carry it, and the others are closed for good: what cannot be carried,
  and why there is nothing better;
* everything is closed for good: all the reasons, the preferred way's first.
"""

from collections.abc import Collection, Sequence
from typing import Final

from attrs import define, evolve, field

from cliproxy.dialects.base import Action
from cliproxy.errors import BadRequest, Failure, Kind, Scope
from cliproxy.exchange.health import CLOSED
from cliproxy.routing.classify import most_useful
from cliproxy.routing.cooldown import RuntimeState

_ASKED_BY: Final = {
    Action.FILL_IN_THE_MIDDLE: "suffix",
    Action.EMBED: "model",
    Action.IMAGE: "model",
}
"""The field of a request that makes it one for an action that few upstreams have."""
_UNABLE: Final = {
    Action.FILL_IN_THE_MIDDLE: "fill in the middle of a text (`suffix`)",
    Action.EMBED: "make embeddings",
    Action.IMAGE: "make images",
}


@define
class Ways:
    """What the contracts of one account came to, in order of preference."""

    reasons: list[Failure] = field(factory=list)
    """Why those that failed or were closed are of no use."""
    refused: BadRequest | None = None
    """What one that is open cannot carry; not to be raised itself, as whoever does so keeps it here."""

    def closed(self, state: RuntimeState, now: float) -> None:
        """Add a contract that must not be used at present."""
        kind = state.kind or Kind.UNAVAILABLE
        rest = max(state.until - now, 0.0)
        self.reasons.append(
            Failure(kind=kind, scope=Scope.CONTRACT, message=state.cause, retry_after=rest, status=0)
        )

    def verdict(self) -> Failure | BadRequest:
        """Say what the client should learn. There is at least one reason, or something was refused."""
        passing = [failure for failure in self.reasons if failure.kind not in CLOSED]
        if passing:
            best = most_useful(passing)
            waits = [failure.retry_after for failure in passing if failure.retry_after is not None]
            return _told(best, best.message, min(waits, default=None))
        said = _joined([failure.message for failure in self.reasons])
        if self.refused is None:
            return _told(self.reasons[0], said, None)
        return _with_reasons(self.refused, said)


def _joined(messages: list[str]) -> str:
    """Join messages; what one of them has said, such as what to do, the next does not repeat."""
    if len(set(messages)) <= 1:
        return "".join(messages[:1])
    said: list[str] = []
    told: list[str] = []
    for message in messages:
        fresh = [part for part in message.rstrip(".").split(". ") if part not in said]
        said += fresh
        told += [". ".join(fresh)] if fresh else []
    return "; ".join(told)


def _told(failure: Failure, message: str, retry_after: float | None) -> Failure:
    """Return the failure of the whole. The body of one refusal does not speak for all of them."""
    return evolve(failure, scope=Scope.MODEL, message=message, retry_after=retry_after, native=None)


def _with_reasons(refused: BadRequest, reasons: str) -> BadRequest:
    message = refused.message
    if reasons:
        message = f"{message.rstrip('.')}; other ways are closed to the account: {reasons}"
    return BadRequest(
        message, kind=refused.kind, status=refused.status, param=refused.param, code=refused.code
    )


def no_way(model: str, action: Action, able: Collection[str] = ()) -> BadRequest:
    """Say that a model cannot do at all what is wanted, and whose accounts can."""
    message = f"The model `{model}` cannot {_UNABLE.get(action, f'do `{action}`')} here."
    if able:
        message += f" Accounts that can, with their own models: {', '.join(sorted(able))}."
    elif action in _UNABLE:
        message += " No configured account can."
    return BadRequest(message, param=_ASKED_BY.get(action))


def first_opening(pauses: Sequence[RuntimeState | None]) -> float:
    """Return when the first of some contracts is open again; 0 while one is, or when there is none."""
    ends = [state.until for state in pauses if state is not None]
    return min(ends) if ends and len(ends) == len(pauses) else 0.0
