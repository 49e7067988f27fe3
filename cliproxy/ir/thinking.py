"""Reasoning wishes: names, levels, budgets, and what a model supports.

Clients ask for reasoning in three languages: an effort *level* (OpenAI), a *budget* in tokens (Gemini, older
Claude) and *adaptive* thinking that is steered by an effort (newer Claude). Models understand one or two of
them, each within its own range. A wish may also stand in the model's name, ``model(high)``.

:func:`apply_thinking` is the one place where a wish becomes what the target model supports. It runs between
decoding and encoding, and leaves ``request.reasoning`` in a form an encoder can write as it is:

==================  =========================================================================================
target              what the encoder finds
==================  =========================================================================================
level dialects      ``level``: a level the model lists, ``none`` or ``auto``
Claude              ``level="none"`` (off); ``adaptive`` with ``level`` or without; ``budget`` > 0;
                    ``level="auto"`` (on, without an amount)
Gemini              ``level``, or ``budget`` (0 off, -1 dynamic); ``visible`` is false when thinking is off
==================  =========================================================================================

``None`` means: write nothing. That is the result for a model that is known not to think, whatever was asked.

What does not fit is treated by where it comes from. Between vendors a level or budget is moved to the nearest
one the model has, since the client cannot know better. Within one family the client speaks the model's own
language, and a level or budget the model does not have is refused by name. A model nobody knows anything
about (``support`` is ``None``) gets the wish in its own language without any check.

How much a model thinks and whether its thoughts are shown are two questions; ``visible`` and ``summary``
answer the second one.
"""

from collections.abc import Mapping
from typing import Final, Literal, NoReturn, TypeAlias

from attrs import evolve, frozen

from cliproxy.errors import DialectError
from cliproxy.ir.request import Family, IRRequest, Reasoning
from cliproxy.ir.signatures import family_of_model

LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
"""Effort levels in ascending order; the words ``none`` and ``auto`` stand beside them."""

OFF: Final = "none"
AUTO: Final = "auto"

_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 128000,
}
_DYNAMIC: Final = -1
_MAX_DIGITS: Final = 9

CLAUDE_DEFAULT_MAX_TOKENS: Final = 32000
"""What the Claude encoder writes for a request without a limit."""
CLAUDE_MIN_BUDGET: Final = 1024
"""The smallest budget its API accepts for any model."""

_CLAUDE_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "minimal": ("low",),
    "xhigh": ("xhigh", "max", "high"),
    "max": ("max", "xhigh", "high"),
}
"""Which of Claude's levels another vendor's level stands for, best first."""


@frozen(kw_only=True)
class ThinkingSupport:
    """What a model can be asked for. A model may know budgets, levels, both, or adaptive thinking.

    A record without any of them says that the model does not think.
    """

    min_budget: int | None = None
    max_budget: int | None = None
    zero_allowed: bool = False
    """Thinking can be switched off."""
    dynamic_allowed: bool = False
    """The model can decide by itself (budget -1, level ``auto``)."""
    levels: tuple[str, ...] = ()
    """Accepted levels in ascending order; may contain ``none`` and ``auto``."""
    adaptive: bool = False
    """Claude's adaptive thinking, steered by ``output_config.effort``."""

    @property
    def can_think(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self.levels) or self.has_budgets or self.adaptive

    @property
    def has_budgets(self) -> bool:
        """Whether the model takes a budget."""
        return bool(self.min_budget or self.max_budget)

    @property
    def efforts(self) -> tuple[str, ...]:
        """The levels that are amounts."""
        return tuple(level for level in LEVELS if level in self.levels)

    @property
    def can_stop(self) -> bool:
        """Whether thinking can be switched off."""
        return self.zero_allowed or OFF in self.levels

    @property
    def can_decide(self) -> bool:
        """Whether the model can choose the amount itself."""
        return self.dynamic_allowed or AUTO in self.levels


# --- names --------------------------------------------------------------------------------------------------


def split_suffix(name: str) -> tuple[str, Reasoning | None]:
    """Split ``model(value)`` at its last parenthesis; ``None`` when the name has no suffix.

    A suffix that means nothing, as in ``model(fast)``, is taken off all the same and gives an empty wish.
    """
    base, bracket, value = name[:-1].rpartition("(")
    if not name.endswith(")") or not bracket or not base:
        return name, None
    return base, evolve(_wish_of_suffix(value.strip().lower()), from_name=True)


def split_wish(name: str) -> tuple[str, Reasoning | None]:
    """Split ``model(value)`` as an owner writes it: a suffix that means nothing is a part of the name."""
    base, wish = split_suffix(name)
    says_something = wish is not None and (wish.level is not None or wish.budget is not None)
    return (base, wish) if says_something else (name, None)


def _wish_of_suffix(value: str) -> Reasoning:
    if value in {OFF, AUTO} or value in LEVELS:
        return Reasoning(level=value)
    if value == str(_DYNAMIC):
        return Reasoning(level=AUTO)
    if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return Reasoning(budget=int(value)) if int(value) else Reasoning(level=OFF)
    return Reasoning()


def split_level_name(name: str) -> tuple[str, Reasoning | None]:
    """Split names such as ``gpt-5-high``. The result counts only where the whole name is unknown."""
    base, dash, level = name.rpartition("-")
    if not dash or not base or (level not in LEVELS and level != OFF):
        return name, None
    return base, Reasoning(level=level, from_name=True)


def override(suffix: Reasoning, said: Reasoning | None) -> Reasoning:
    """Let a wish in the model's name replace the amount in the body; what the body says of visibility stays.

    A suffix without a meaning replaces nothing.
    """
    if said is None or (suffix.level is None and suffix.budget is None):
        return said or suffix
    return evolve(suffix, visible=said.visible, summary=said.summary)


def budget_of_level(level: str) -> int:
    """Return the budget a level stands for."""
    return _BUDGETS[level]


def level_of_budget(budget: int) -> str:
    """Return the level a budget amounts to: ``none`` for 0, ``auto`` for -1, never ``max``."""
    if budget <= 0:
        return OFF if budget == 0 else AUTO
    return next((level for level in LEVELS[:4] if budget <= _BUDGETS[level]), "xhigh")


# --- targets ------------------------------------------------------------------------------------------------

_Style: TypeAlias = Literal["levels", "claude", "gemini"]


@frozen
class _Target:
    """How a dialect, or an upstream with ways of its own, asks for reasoning."""

    style: _Style
    family: str
    """Targets and clients of one family speak of the same levels and budgets."""


_TARGETS: Final[Mapping[str, _Target]] = {
    "openai": _Target("levels", "openai"),
    "openai-response": _Target("levels", "openai"),
    "codex": _Target("levels", "openai"),
    "completions": _Target("levels", "openai"),
    "claude": _Target("claude", "claude"),
    "gemini": _Target("gemini", "gemini"),
    "gemini-cli": _Target("gemini", "gemini"),
    "antigravity": _Target("gemini", "gemini"),
}

_DEFAULTS: Final[Mapping[tuple[str, str], str]] = {
    ("openai", "codex"): "medium",
    ("claude", "codex"): "medium",
    ("gemini", "codex"): "medium",
    ("gemini-cli", "codex"): "medium",
}
"""(client, target) → level when nothing was asked for."""

_PARAMS: Final[Mapping[str, str]] = {
    "openai": "reasoning_effort",
    "completions": "reasoning_effort",
    "openai-response": "reasoning.effort",
    "claude": "thinking",
    "gemini": "generationConfig.thinkingConfig",
    "gemini-cli": "request.generationConfig.thinkingConfig",
}
_SHOWS_THOUGHTS_WHEN_ASKED: Final = frozenset({"openai", "completions", "claude"})
"""Clients that ask for an amount and expect to see thoughts without asking for them, too."""


def _target(dialect: str) -> _Target:
    return _TARGETS.get(dialect) or _Target("levels", dialect)


@frozen(kw_only=True)
class _Case:
    """Everything the decisions about one wish depend on."""

    support: ThinkingSupport | None
    target: str
    source: str
    from_name: bool
    style: _Style
    is_same_family: bool

    def refuse(self, message: str) -> NoReturn:
        raise DialectError(message, "model" if self.from_name else _PARAMS.get(self.source))


# --- amounts ------------------------------------------------------------------------------------------------

_Mode: TypeAlias = Literal["off", "auto", "adaptive", "level", "budget"]


@frozen
class _Amount:
    """One statement about how much to think."""

    mode: _Mode
    level: str = ""
    budget: int = 0
    is_derived: bool = False
    """Computed from another kind of amount, so that the client is not to blame for its exact value."""


_NOTHING: Final = _Amount("off")
_ANYTHING: Final = _Amount("auto")
_ADAPTIVE: Final = _Amount("adaptive")


def _level(level: str) -> _Amount:
    return _Amount("level", level)


def _budget(budget: int) -> _Amount:
    return _Amount("budget", budget=budget, is_derived=True)


def _read(wish: Reasoning) -> _Amount | None:
    """Return what a wish asks for; a budget is the more exact statement."""
    if wish.budget is not None:
        if wish.budget == 0:
            return _NOTHING
        return _ANYTHING if wish.budget == _DYNAMIC else _Amount("budget", budget=wish.budget)
    if wish.level is not None:
        level = wish.level.lower()
        return {OFF: _NOTHING, AUTO: _ANYTHING}.get(level) or _level(level)
    return _ADAPTIVE if wish.adaptive else None


def apply_thinking(
    request: IRRequest,
    support: ThinkingSupport | None,
    target: str,
    *,
    source: str = "",
    max_output: int | None = None,
) -> IRRequest:
    """Turn the wish of a request into what its target model supports.

    ``target`` is the id of the upstream's dialect, ``source`` that of the client's (empty: a foreign one),
    and ``max_output`` the longest answer of the model, against which a Claude budget is measured. Raises
    :class:`~cliproxy.errors.DialectError` for a wish that must be refused.
    """
    wish = request.reasoning
    if support is not None and not support.can_think:
        return request if wish is None else evolve(request, reasoning=None)
    wish = wish or Reasoning()
    profile = _target(target)
    case = _Case(
        support=support,
        target=target,
        source=source,
        from_name=wish.from_name,
        style=profile.style,
        is_same_family=bool(source) and _target(source).family == profile.family,
    )
    amount = _read(wish) or _unasked(wish, case)
    if amount is None:
        return request
    if amount.mode == "budget" and amount.budget < _DYNAMIC:
        case.refuse(f"budget {amount.budget} is not a number of tokens")
    amount = _translated(amount, case)
    amount = _unchecked(amount, case) if support is None else _checked(amount, support, case)
    reasoning = _written(amount, wish, case)
    return _with_room(evolve(request, reasoning=reasoning), case, max_output)


def is_understood(wish: Reasoning, support: ThinkingSupport | None, dialect: str) -> bool:
    """Tell whether a model understands a wish that its own dialect's client sent, in the form it has.

    A client may not know the model, because an alias stands before it or its owner renamed it, and then
    speaks to an older one of adaptive thinking. An amount that is only too large or too small is understood:
    it is for the upstream to refuse.
    """
    if support is None:
        return True
    said = IRRequest(model="", messages=[], reasoning=wish)
    try:
        fitted = apply_thinking(said, support, dialect, source=dialect).reasoning
    except DialectError:
        return True
    return fitted is not None and _form(fitted) == _form(wish)


def _form(wish: Reasoning) -> tuple[bool, bool]:
    return wish.adaptive, bool(wish.budget)


def _unasked(wish: Reasoning, case: _Case) -> _Amount | None:
    """Return how much to think for a client that did not say; ``None`` leaves it to the model."""
    default = _DEFAULTS.get((case.source, case.target))
    if default is not None:
        return _level(default)
    # A Claude model has no thoughts to show unless it is told to think; others always think.
    wants_thoughts = wish.visible is True and case.style == "claude" and not case.is_same_family
    return _ADAPTIVE if wants_thoughts and case.support is not None and case.support.adaptive else None


def _translated(amount: _Amount, case: _Case) -> _Amount:
    """Carry an amount over to another vendor's language, before it is measured against the model."""
    if amount.mode == "adaptive":
        return _of_adaptive(case)
    support = case.support
    is_free = case.style == "claude" and not case.is_same_family and not case.from_name
    if not is_free or support is None or not support.efforts:
        return amount
    match amount.mode:
        case "budget":
            level = level_of_budget(amount.budget)
        case "level":
            level = amount.level
        case "auto":
            level = "high"
        case _:
            return amount
    choices = (choice for choice in _CLAUDE_CHOICES.get(level, (level,)) if choice in support.levels)
    return _level(next(choices, level))


def _of_adaptive(case: _Case) -> _Amount:
    """Return what Claude's adaptive thinking without an effort is elsewhere."""
    support = case.support
    match case.style:
        case "claude":
            return _ADAPTIVE if support is None or support.adaptive else _level("high")
        case "gemini":
            if support is None or case.target != "gemini":
                return _level("high")
            if support.efforts:
                return _level(support.efforts[-1])
            if not support.has_budgets:
                return _ANYTHING
            return _budget(support.max_budget or _BUDGETS["high"])
        case _:
            return _level("high" if support is None else "xhigh")


def _unchecked(amount: _Amount, case: _Case) -> _Amount:
    """Write an amount in the target's language; nothing is known of the model."""
    if case.style == "levels":
        return _level(level_of_budget(amount.budget)) if amount.mode == "budget" else amount
    if amount.mode == "level" and (case.style == "gemini" or not (case.is_same_family or case.from_name)):
        return _budget(budget_of_level(_known_level(amount.level, case)))
    return amount


def _known_level(level: str, case: _Case) -> str:
    if level not in LEVELS:
        case.refuse(f'unknown level "{level}", valid levels: {", ".join((OFF, AUTO, *LEVELS))}')
    return level


def _checked(amount: _Amount, support: ThinkingSupport, case: _Case) -> _Amount:
    """Fit an amount to what the model supports.

    A step may hand on to the next: a level may be measured as a budget, and for a model that only knows
    thinking and not thinking, either is just thinking (``auto``), which each target writes in its own way.
    """
    if amount.mode == "level":
        amount = _checked_level(amount, support, case)
    if amount.mode == "budget":
        amount = _checked_budget(amount, support, case)
    if amount.mode == "auto":
        amount = _checked_auto(support, case)
    if amount.mode == "off":
        return _least(support, case)
    return amount


def _checked_level(amount: _Amount, support: ThinkingSupport, case: _Case) -> _Amount:
    if amount.level in support.levels:
        return amount
    if not support.efforts:
        if not support.has_budgets:
            return _ANYTHING
        return _budget(budget_of_level(_known_level(amount.level, case)))
    if case.is_same_family or amount.level not in LEVELS:
        case.refuse(f'level "{amount.level}" not supported, valid levels: {", ".join(support.levels)}')
    return _level(_nearest(amount.level, support.efforts))


def _nearest(level: str, levels: tuple[str, ...]) -> str:
    """Return the level at the smallest distance, of two equally near ones the lower."""
    wanted = LEVELS.index(level)
    return min(levels, key=lambda other: (abs(LEVELS.index(other) - wanted), LEVELS.index(other)))


def _checked_budget(amount: _Amount, support: ThinkingSupport, case: _Case) -> _Amount:
    if support.efforts and (case.style == "levels" or not support.has_budgets):
        return _level(_nearest(level_of_budget(amount.budget), support.efforts))
    if not support.has_budgets:
        return _ANYTHING
    low, high = support.min_budget or 0, support.max_budget or amount.budget
    is_stated = case.is_same_family and not case.from_name and not amount.is_derived
    if is_stated and not low <= amount.budget <= high:
        case.refuse(f"budget {amount.budget} out of range [{low},{high}]")
    return evolve(amount, budget=min(max(amount.budget, low), high))


def _checked_auto(support: ThinkingSupport, case: _Case) -> _Amount:
    if case.style == "claude" and support.adaptive:
        return _ADAPTIVE
    if support.can_decide:
        return _ANYTHING
    if support.efforts and (case.style == "levels" or not support.has_budgets):
        return _level(_nearest("medium", support.efforts))
    if not support.has_budgets:
        return _ANYTHING
    low, high = support.min_budget or 0, support.max_budget or 0
    return _budget((low + high) // 2)


def _least(support: ThinkingSupport, case: _Case) -> _Amount:
    """Return the nearest thing to not thinking at all."""
    if case.style == "claude" or (case.style == "levels" and support.can_stop):
        return _NOTHING
    if support.efforts:
        return _NOTHING if support.zero_allowed else evolve(_NOTHING, level=support.efforts[0])
    return evolve(_NOTHING, budget=0 if support.zero_allowed else support.min_budget or 0)


def _written(amount: _Amount, wish: Reasoning, case: _Case) -> Reasoning | None:
    """State a fitted amount in the form the module's docstring promises."""
    if amount.mode == "off":
        return _written_off(amount, case)
    visible = _visible(wish, case)
    summary = (wish.summary or "auto") if visible else None
    shown = Reasoning(visible=visible, summary=summary, from_name=wish.from_name)
    match amount.mode:
        case "adaptive":
            return evolve(shown, adaptive=True) if case.style == "claude" else evolve(shown, level=AUTO)
        case "auto":
            return evolve(shown, budget=_DYNAMIC) if case.style == "gemini" else evolve(shown, level=AUTO)
        case "level":
            return evolve(shown, level=amount.level, adaptive=case.style == "claude")
        case _ if case.style == "levels":
            return evolve(shown, level=level_of_budget(amount.budget))
        case _:
            return evolve(shown, budget=amount.budget)


def _written_off(amount: _Amount, case: _Case) -> Reasoning | None:
    hidden = Reasoning(visible=False, from_name=case.from_name)
    if case.style == "gemini":
        if amount.level:
            return evolve(hidden, level=amount.level)
        # A model with levels that can be switched off is off when nothing is said.
        is_implied = case.support is not None and bool(case.support.efforts)
        return None if is_implied else evolve(hidden, budget=amount.budget)
    if case.style == "levels" and amount.budget:
        return evolve(hidden, level=level_of_budget(amount.budget))
    return evolve(hidden, level=amount.level or OFF)


def _visible(wish: Reasoning, case: _Case) -> bool | None:
    """Decide whether thoughts are shown, where the client did not."""
    if wish.visible is not None:
        return wish.visible
    if wish.summary:
        return True
    if case.source == case.target and not (wish.from_name and case.style == "gemini"):
        # Who speaks the target's language can say so. A suffix cannot, and Gemini shows nothing unasked.
        return None
    return True if wish.from_name or case.source in _SHOWS_THOUGHTS_WHEN_ASKED else None


def _with_room(request: IRRequest, case: _Case, max_output: int | None) -> IRRequest:
    """Keep a Claude model's budget below the length of its answer, of which it is a part."""
    reasoning = request.reasoning
    is_claude = case.style == "claude" or (
        case.target == "antigravity" and family_of_model(request.model) is Family.CLAUDE
    )
    if reasoning is None or not is_claude or (reasoning.budget or 0) <= 0:
        return request
    assert reasoning.budget is not None
    limit = request.sampling.max_tokens or 0
    if limit <= 0:
        limit = max_output or CLAUDE_DEFAULT_MAX_TOKENS
        if max_output:
            request = evolve(request, sampling=evolve(request.sampling, max_tokens=max_output))
    elif max_output and not case.is_same_family:
        # The encoder keeps the answer of another vendor's client within what the model gives.
        limit = min(limit, max_output)
    if reasoning.budget < limit:
        return request
    least = (case.support and case.support.min_budget) or CLAUDE_MIN_BUDGET
    if limit - 1 >= least:
        return evolve(request, reasoning=evolve(reasoning, budget=limit - 1))
    off = Reasoning(level=OFF, visible=False, from_name=case.from_name)
    return evolve(request, reasoning=off if case.style == "claude" else None)
