"""How much the model should think, and whether its thoughts are shown.

The vendor has one field, ``reasoning_effort``. Compatible servers and client libraries have added others, all
of which are read, the most exact spelling first::

    reasoning_effort                                        the vendor
    reasoning {effort, max_tokens, exclude, enabled}        OpenRouter
    thinking {type, budget_tokens}                          libraries that reach Claude through this dialect
    extra_body.google.thinking_config {…}, google.…         Gemini's own endpoint of this dialect

Only the vendor's is written, and beside it the client's own field for showing thoughts, if it used one.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from cliproxy.dialects.openai_chat.names import own
from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Reasoning
from cliproxy.wire.jsontext import DELETE, Change, Changes, JsonObject, child, flag, integer, text

EFFORT: Final = "reasoning_effort"
DETAILS: Final = "reasoning"
INCLUDE: Final = "include_reasoning"
THINKING: Final = "thinking"

FIELDS: Final = frozenset({EFFORT, DETAILS, INCLUDE, THINKING})
"""Members of a request that this module reads; :func:`leftovers` keeps what it does not model of them."""

_AMOUNTS: Final = frozenset({"effort", "max_tokens", "enabled", "summary"})
_AROUND_GOOGLE: Final = ("extra_body", "google")
_OFF: Final = "none"
_AUTO: Final = "auto"
_GOOGLE_LEVEL: Final = ("thinking_level", "thinkingLevel")
_GOOGLE_BUDGET: Final = ("thinking_budget", "thinkingBudget")
_GOOGLE_SHOW: Final = ("include_thoughts", "includeThoughts")


# --- reading ---


def decode_reasoning(body: JsonObject) -> Reasoning | None:
    """Read a request's wish. Raises :class:`DialectError`."""
    effort = body.get(EFFORT)
    if effort is not None and not isinstance(effort, str):
        raise DialectError(f"`{EFFORT}` must be a string", EFFORT)
    wish = _amount(body)
    visible = _visible(body)
    if wish is None and visible is None:
        return None
    wish = wish or Reasoning()
    wish.visible = visible
    wish.summary = text(child(body, DETAILS), "summary") or None
    return wish


def _amount(body: JsonObject) -> Reasoning | None:
    if effort := text(body, EFFORT).strip().lower():
        return Reasoning(level=effort)
    for amount in (_openrouter(child(body, DETAILS)), _claude_style(child(body, THINKING)), *_google(body)):
        if amount is not None:
            return amount
    return None


def _openrouter(said: JsonObject) -> Reasoning | None:
    budget = integer(said, "max_tokens")
    if budget is not None:
        return Reasoning(budget=budget)
    if level := text(said, "effort").strip().lower():
        return Reasoning(level=level)
    enabled = flag(said, "enabled")
    return None if enabled is None else Reasoning(level=_AUTO if enabled else _OFF)


def _claude_style(said: JsonObject) -> Reasoning | None:
    match text(said, "type"):
        case "disabled":
            return Reasoning(level=_OFF)
        case "adaptive":
            return Reasoning(adaptive=True)
        case "enabled":
            budget = integer(said, "budget_tokens")
            return Reasoning(level=_AUTO) if budget is None else Reasoning(budget=budget)
        case _:
            return None


def _google(body: JsonObject) -> Iterator[Reasoning | None]:
    for config in _google_configs(body):
        for key in _GOOGLE_LEVEL:
            if level := text(config, key).strip().lower():
                yield Reasoning(level=level)
        for key in _GOOGLE_BUDGET:
            if (budget := integer(config, key)) is not None:
                yield Reasoning(budget=budget)


def _google_configs(body: JsonObject) -> list[JsonObject]:
    """Return the places where Gemini's own configuration may stand."""
    around = (child(child(body, "extra_body"), "google"), child(body, "google"))
    return [
        *(child(google, "thinking_config") for google in around),
        child(body, THINKING),
        child(body, DETAILS),
    ]


def _visible(body: JsonObject) -> bool | None:
    """Read whether thoughts are to be shown; ``None`` when nothing is said."""
    for config in _google_configs(body):
        for key in _GOOGLE_SHOW:
            if (shown := flag(config, key)) is not None:
                return shown
    excluded = flag(child(body, DETAILS), "exclude")
    return flag(body, INCLUDE) if excluded is None else not excluded


def leftovers(body: JsonObject) -> JsonObject:
    """Return what a client of this dialect said in these fields besides the amount."""
    kept: JsonObject = {}
    if details := {key: value for key, value in child(body, DETAILS).items() if key not in _AMOUNTS}:
        kept[DETAILS] = details
    if INCLUDE in body:
        kept[INCLUDE] = body[INCLUDE]
    for key in _AROUND_GOOGLE:
        if value := child(body, key):
            kept[key] = _without_amount(value)
    return kept


# --- writing ---


def encode_reasoning(request: IRRequest) -> JsonObject:
    """Write a wish that has been fitted to the model, as members of the body."""
    wish = request.reasoning
    said = own(request.extras)
    body: JsonObject = {key: said[key] for key in (DETAILS, INCLUDE) if key in said}
    if wish is None:
        return body
    if wish.level is not None:
        body[EFFORT] = wish.level
    if wish.visible is not None:
        if INCLUDE in body:
            body[INCLUDE] = wish.visible
        if "exclude" in child(body, DETAILS):
            body[DETAILS] = {**child(body, DETAILS), "exclude": not wish.visible}
    return body


def patch_reasoning(wish: Reasoning, body: JsonObject) -> Changes:
    """Return the members to replace in a raw body so that it asks for ``wish`` and for nothing else."""
    changes: dict[str, Change] = {EFFORT: wish.level if wish.level is not None else DELETE}
    if DETAILS in body:
        kept = {key: value for key, value in child(body, DETAILS).items() if key not in _AMOUNTS}
        changes[DETAILS] = kept or DELETE
    if THINKING in body:
        changes[THINKING] = DELETE
    for key in _AROUND_GOOGLE:
        if isinstance(value := body.get(key), dict) and (stripped := _without_amount(value)) != value:
            changes[key] = stripped
    return changes


_GOOGLE_AMOUNTS: Final[Mapping[str, None]] = dict.fromkeys((*_GOOGLE_LEVEL, *_GOOGLE_BUDGET))


def _without_amount(value: JsonObject) -> JsonObject:
    """Return ``extra_body`` or ``google`` without an amount of thinking in it."""
    copy = dict(value)
    if google := child(value, "google"):
        copy["google"] = _without_amount(google)
    if config := child(value, "thinking_config"):
        copy["thinking_config"] = {key: said for key, said in config.items() if key not in _GOOGLE_AMOUNTS}
    return copy
