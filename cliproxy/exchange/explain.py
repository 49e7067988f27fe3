"""What a client is told when nobody has answered: what went wrong, who was tried, who rests until when.

Of several failures the client learns the one that helps it most
(:func:`cliproxy.routing.classify.most_useful`). The *status* tells it what to do, so it follows from all of
them: 429 only when everybody who might recover is out of quota; where somebody else is merely away for a
moment it is 503. ``Retry-After`` is when the first of them can be asked again.

The list for programs names accounts by index, never by id or label: those may be e-mail addresses.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from attrs import frozen

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import Credential
from cliproxy.errors import STATUS_OF_KIND, Failure, Kind, NothingReady, UpstreamError
from cliproxy.routing.classify import most_useful
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.select import Earliest

QUOTAS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})
PASSING: Final = QUOTAS | {Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.UPSTREAM}
"""Failures that may be over by the time of another round."""
BUSY_WAIT_S: Final = 1.0
"""When to come back to accounts that have too much to do; nobody can know."""
MAX_LISTED: Final = 20
"""Accounts and attempts that are listed one by one."""


@frozen
class Tried:
    """A candidate and what came of trying it."""

    candidate: Candidate
    failure: Failure


@frozen(kw_only=True)
class Census:
    """How many credentials could not be candidates, and why."""

    disabled: int = 0
    without_model: int = 0

    def __str__(self) -> str:
        counts = ((self.disabled, "switched off"), (self.without_model, "without the model"))
        said = ", ".join(f"{count} {what}" for count, what in counts if count)
        return f" Others: {said}." if said else ""


def census_of(credentials: Iterable[Credential], candidates: Iterable[Candidate]) -> Census:
    """Count the credentials that are not among the candidates of a model."""
    serving = {candidate.credential.account for candidate in candidates}
    others = [each for each in credentials if each.id not in serving]
    disabled = sum(each.disabled for each in others)
    return Census(disabled=disabled, without_model=len(others) - disabled)


def is_all_quota(kinds: Collection[Kind | None]) -> bool:
    """Tell whether everybody who may recover is out of quota. Refused logins recover by no waiting."""
    passing = {kind for kind in kinds if kind in PASSING}
    return bool(passing) and passing <= QUOTAS


def nobody_answered(
    tried: Sequence[Tried], earliest: Earliest | None, wait_of: Callable[[Candidate], float]
) -> UpstreamError:
    """Explain that everybody who was tried has failed; ``wait_of`` says for how long somebody rests."""
    failures = [each.failure for each in tried]
    best = most_useful(failures)
    waits = {each.candidate.key: _wait(each, wait_of) for each in tried}
    error = UpstreamError(
        [*(failure for failure in failures if failure is not best), best],
        detail={"attempts": [_attempt(each, waits[each.candidate.key]) for each in tried[-MAX_LISTED:]]},
    )
    if best.ends_exchange or best.kind not in PASSING:
        return error
    last = {each.candidate.key: each.failure.kind for each in tried}
    resting = earliest.states if earliest is not None else ()
    if best.kind in QUOTAS and not is_all_quota([*last.values(), *(state.kind for _, state in resting)]):
        error.kind, error.status, error.code = Kind.UNAVAILABLE, STATUS_OF_KIND[Kind.UNAVAILABLE], None
        error.native = None
    soonest = [wait_of(candidate) for candidate, _ in resting]
    soonest += [wait for key, wait in waits.items() if last[key] in PASSING]
    # Of somebody who failed and does not rest nobody knows when to come back; soon, then.
    error.retry_after = min(wait or BUSY_WAIT_S for wait in soonest) if any(soonest) else None
    return error


def _wait(tried: Tried, wait_of: Callable[[Candidate], float]) -> float:
    """Return the seconds until a candidate is ready: by what it said, or by its pause, which is a little
    longer."""
    rest, asked = wait_of(tried.candidate), tried.failure.retry_after
    return min(rest, asked) if rest and asked is not None else rest or asked or 0.0


def _attempt(tried: Tried, wait: float) -> dict[str, object]:
    failure = tried.failure
    return {
        **_account(tried.candidate),
        "status": failure.status,
        "kind": str(failure.kind),
        "ready_in_seconds": round(wait, 1),
    }


def _account(candidate: Candidate) -> dict[str, object]:
    credential = candidate.credential
    return {"provider": credential.provider, "account": credential.index, "model": candidate.model}


def nothing_ready(
    model: str, earliest: Earliest | None, now: float, census: Census | None = None
) -> NothingReady:
    """Explain why no candidate can be used: who waits for what, and until when."""
    others = census or Census()
    if earliest is None:
        return NothingReady(f"No account is available for model `{model}`.{others}", code="no_account")
    states = sorted(earliest.states, key=lambda item: item[1].until)
    causes = sorted({f"{candidate.credential.provider}: {state.cause}" for candidate, state in states})
    wait = BUSY_WAIT_S if earliest.full else max(earliest.until - now, 0.0)
    what = (
        "are busy or cooling down; try again in a moment"
        if earliest.full
        else f"are cooling down; the first is ready in {wait:.0f} s"
    )
    kinds = {state.kind for _, state in states}
    why = "; ".join(causes[:MAX_LISTED])
    return NothingReady(
        f"All {len(states)} account(s) for model `{model}` {what}.{others} ({why})",
        kind=Kind.RATE_LIMIT if is_all_quota(kinds) else Kind.UNAVAILABLE,
        code="accounts_busy" if earliest.full else "model_cooldown",
        retry_after=wait,
        detail={
            "accounts": [_resting(candidate, state, now) for candidate, state in states[:MAX_LISTED]],
            "cooling": sum(state.until > now for _, state in states),
            "busy": sum(state.until <= now for _, state in states),
            "disabled": others.disabled,
            "without_model": others.without_model,
        },
    )


def _resting(candidate: Candidate, state: RuntimeState, now: float) -> dict[str, object]:
    ready_in = round(max(state.until - now, 0.0), 1)
    return {**_account(candidate), "state": str(state.kind), "ready_in_seconds": ready_in}
