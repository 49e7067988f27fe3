"""How the Claude dialect asks for thinking: ``thinking`` and ``output_config.effort``.

Three forms exist: *disabled*; *enabled*, with a budget in tokens; *adaptive*, in which the model decides and
an effort may steer it. An effort without ``thinking`` limits answers, not thinking; it is not a wish to think
and stays among the members this dialect alone understands.
"""

from typing import Final

from cliproxy.ir.request import Reasoning
from cliproxy.ir.thinking import CLAUDE_MIN_BUDGET
from cliproxy.wire.jsontext import DELETE, Changes, JsonObject, child, integer, text

_SHOWN: Final[dict[str, bool]] = {"summarized": True, "omitted": False}
_ADAPTIVE: Final = frozenset({"adaptive", "auto"})


def read_reasoning(body: JsonObject) -> Reasoning | None:
    """Read the wish of a request; ``None`` when it says nothing about thinking."""
    thinking = child(body, "thinking")
    kind = text(thinking, "type")
    visible = _SHOWN.get(text(thinking, "display"))
    if kind == "disabled":
        return Reasoning(level="none")
    if kind in _ADAPTIVE:
        effort = text(child(body, "output_config"), "effort")
        return Reasoning(level=effort or None, adaptive=True, visible=visible)
    budget = integer(thinking, "budget_tokens")
    if budget is not None:
        return Reasoning(budget=budget, visible=visible)
    return Reasoning(level="auto", visible=visible) if kind == "enabled" else None


def is_off(reasoning: Reasoning) -> bool:
    """Tell whether a wish is not to think."""
    return reasoning.level == "none" or reasoning.budget == 0


def asks_for_amount(reasoning: Reasoning) -> bool:
    """Tell whether a wish is about thinking, not only about showing thoughts if there are any."""
    return reasoning.adaptive or reasoning.level is not None or reasoning.budget is not None


def write_thinking(reasoning: Reasoning) -> JsonObject:
    """Write the ``thinking`` member of a wish."""
    if is_off(reasoning):
        return {"type": "disabled"}
    thinking: JsonObject = {"type": "enabled"}
    if (reasoning.budget or 0) > 0:
        thinking["budget_tokens"] = reasoning.budget
    elif reasoning.adaptive or _effort_level(reasoning):
        thinking = {"type": "adaptive"}
    if reasoning.visible is not None:
        thinking["display"] = "summarized" if reasoning.visible else "omitted"
    return thinking


def effort_of(reasoning: Reasoning) -> str | None:
    """Return the effort that steers adaptive thinking."""
    if reasoning.budget is not None:
        return None
    return _effort_level(reasoning)


def _effort_level(reasoning: Reasoning) -> str | None:
    return reasoning.level if reasoning.level not in {None, "none", "auto"} else None


def patch_reasoning(reasoning: Reasoning, body: JsonObject) -> Changes:
    """Put a wish into a raw body, in place of what it says itself."""
    thinking = write_thinking(reasoning)
    budget, limit = integer(thinking, "budget_tokens"), integer(body, "max_tokens")
    if budget is not None and limit is not None and budget >= limit:
        # The budget is a part of the answer's length; a body too short for any is too short to think.
        thinking = (
            {**thinking, "budget_tokens": limit - 1} if limit > CLAUDE_MIN_BUDGET else {"type": "disabled"}
        )
    output = {key: value for key, value in child(body, "output_config").items() if key != "effort"}
    effort = effort_of(reasoning)
    if effort is not None:
        output["effort"] = effort
    return {"thinking": thinking, "output_config": output or DELETE}
