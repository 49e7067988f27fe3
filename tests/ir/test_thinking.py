"""Reasoning wishes: suffixes, conversions, and what each target gets of each wish."""

import re

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Reasoning, Sampling
from cliproxy.ir.thinking import (
    LEVELS,
    ThinkingSupport,
    apply_thinking,
    budget_of_level,
    is_understood,
    level_of_budget,
    override,
    split_level_name,
    split_suffix,
)

MODELS = {
    "LV": ThinkingSupport(levels=("minimal", "low", "medium", "high")),
    "LS": ThinkingSupport(levels=("low", "high")),
    "LM": ThinkingSupport(levels=("low", "medium", "high")),
    "LN": ThinkingSupport(levels=("none", "low", "medium", "high")),
    "GB": ThinkingSupport(min_budget=128, max_budget=20000, dynamic_allowed=True),
    "GM": ThinkingSupport(min_budget=128, max_budget=32768, dynamic_allowed=True, levels=("low", "high")),
    "GZ": ThinkingSupport(
        min_budget=1, max_budget=65535, zero_allowed=True, dynamic_allowed=True, levels=("minimal", "high")
    ),
    "CB": ThinkingSupport(min_budget=1024, max_budget=128000, zero_allowed=True),
    "S46": ThinkingSupport(
        min_budget=1024, max_budget=128000, zero_allowed=True, levels=("low", "medium", "high"), adaptive=True
    ),
    "O46": ThinkingSupport(
        min_budget=1024,
        max_budget=128000,
        zero_allowed=True,
        levels=("low", "medium", "high", "max"),
        adaptive=True,
    ),
    "O5": ThinkingSupport(
        zero_allowed=True,
        dynamic_allowed=True,
        levels=("low", "medium", "high", "xhigh", "max"),
        adaptive=True,
    ),
    "AG": ThinkingSupport(min_budget=128, max_budget=20000, zero_allowed=True, dynamic_allowed=True),
    "AC": ThinkingSupport(min_budget=1024, max_budget=64000, zero_allowed=True, dynamic_allowed=True),
    "IF": ThinkingSupport(levels=("none", "auto", "minimal", "low", "medium", "high", "xhigh")),
    "KB": ThinkingSupport(min_budget=1024, max_budget=32000, zero_allowed=True, dynamic_allowed=True),
    "TG": ThinkingSupport(levels=("none", "auto")),
    "AD": ThinkingSupport(adaptive=True),
    "BM": ThinkingSupport(min_budget=1024, max_budget=32000),
    "NT": ThinkingSupport(),
    "UD": None,
}


def wish(said: str) -> Reasoning | None:
    """``S:x`` stands for a suffix, ``adaptive[:level]`` for Claude's form, a number for a budget."""
    if said == "nothing":
        return None
    if said.startswith("S:"):
        return split_suffix(f"m({said[2:]})")[1]
    if said.startswith("adaptive"):
        return Reasoning(level=said.partition(":")[2] or None, adaptive=True)
    if re.fullmatch(r"-?\d+", said):
        return Reasoning(budget=int(said))
    return Reasoning(level=said)


def outcome(request: IRRequest, target: str) -> str:
    """Render the result in the words of the tables below."""
    reasoning = request.reasoning
    if reasoning is None:
        return "no field"
    if target == "claude" and reasoning.level == "none":
        return "disabled"
    amount = f"level {reasoning.level}" if reasoning.level else f"budget {reasoning.budget}"
    if target == "claude" and reasoning.adaptive:
        return f"adaptive {reasoning.level or '-'}"
    if target in {"gemini", "gemini-cli", "antigravity"}:
        return f"{amount} {'hidden' if reasoning.visible is False else 'shown'}"
    return amount


def applied(client: str, target: str, model: str, said: str, max_output: int | None = 400_000) -> IRRequest:
    request = IRRequest(model=model, messages=[], reasoning=wish(said))
    return apply_thinking(request, MODELS[model], target, source=client, max_output=max_output)


ORACLE = [
    ("openai", "codex", "LV", "nothing", "level medium"),
    ("openai", "codex", "LV", "S:medium", "level medium"),
    ("openai", "codex", "LV", "medium", "level medium"),
    ("openai", "codex", "LV", "none", "level minimal"),
    ("openai", "codex", "LV", "auto", "level medium"),
    ("openai", "codex", "LV", "S:none", "level minimal"),
    ("openai", "codex", "LV", "S:auto", "level medium"),
    ("openai-response", "codex", "LV", "nothing", "no field"),
    ("gemini", "codex", "LV", "8192", "level medium"),
    ("gemini", "codex", "LV", "64000", "level high"),
    ("gemini", "codex", "LV", "0", "level minimal"),
    ("gemini", "codex", "LV", "-1", "level medium"),
    ("claude", "openai", "LV", "nothing", "no field"),
    ("claude", "openai", "LV", "8192", "level medium"),
    ("claude", "openai", "LV", "64000", "level high"),
    ("claude", "openai", "LV", "0", "level minimal"),
    ("claude", "openai", "LV", "-1", "level medium"),
    ("gemini", "openai", "LS", "8192", "level low"),
    ("openai", "codex", "LS", "auto", "level low"),
    ("claude", "gemini", "LS", "1", "level low shown"),
    ("openai", "gemini", "GB", "medium", "budget 8192 shown"),
    ("openai", "gemini", "GB", "xhigh", "budget 20000 shown"),
    ("openai", "gemini", "GB", "none", "budget 128 hidden"),
    ("openai", "gemini", "GB", "auto", "budget -1 shown"),
    ("claude", "gemini", "GB", "8192", "budget 8192 shown"),
    ("claude", "gemini", "GB", "64000", "budget 20000 shown"),
    ("claude", "gemini", "GB", "0", "budget 128 hidden"),
    ("claude", "gemini", "GB", "-1", "budget -1 shown"),
    ("openai", "gemini", "GM", "high", "level high shown"),
    ("openai", "gemini", "GM", "xhigh", "level high shown"),
    ("openai", "gemini", "GM", "none", "level low hidden"),
    ("openai", "gemini", "GM", "auto", "budget -1 shown"),
    ("claude", "gemini", "GM", "8192", "budget 8192 shown"),
    ("claude", "gemini", "GM", "64000", "budget 32768 shown"),
    ("claude", "gemini", "GM", "0", "level low hidden"),
    ("claude", "gemini", "GM", "-1", "budget -1 shown"),
    ("openai", "gemini", "GZ", "none", "no field"),
    ("openai", "claude", "CB", "nothing", "no field"),
    ("openai", "claude", "CB", "medium", "budget 8192"),
    ("openai", "claude", "CB", "xhigh", "budget 32768"),
    ("openai", "claude", "CB", "none", "disabled"),
    ("openai", "claude", "CB", "auto", "budget 64512"),
    ("gemini", "claude", "CB", "8192", "budget 8192"),
    ("gemini", "claude", "CB", "200000", "budget 128000"),
    ("gemini", "claude", "CB", "0", "disabled"),
    ("gemini", "claude", "CB", "-1", "budget 64512"),
    ("gemini", "antigravity", "AG", "medium", "budget 8192 shown"),
    ("gemini", "antigravity", "AG", "xhigh", "budget 20000 shown"),
    ("gemini", "antigravity", "AG", "none", "budget 0 hidden"),
    ("gemini", "antigravity", "AG", "-1", "budget -1 shown"),
    ("openai", "codex", "NT", "high", "no field"),
    ("claude", "gemini", "NT", "S:8192", "no field"),
    ("claude", "openai", "NT", "adaptive:high", "no field"),
    ("gemini", "openai", "UD", "8192", "level medium"),
    ("gemini", "openai", "UD", "64000", "level xhigh"),
    ("gemini", "openai", "UD", "0", "level none"),
    ("gemini", "openai", "UD", "-1", "level auto"),
    ("claude", "codex", "UD", "nothing", "level medium"),
    ("claude", "codex", "UD", "64000", "level xhigh"),
    ("claude", "codex", "UD", "0", "level none"),
    ("claude", "codex", "UD", "-1", "level auto"),
    ("openai", "gemini", "UD", "medium", "budget 8192 shown"),
    ("openai", "claude", "UD", "medium", "budget 8192"),
    ("openai", "claude", "UD", "S:8192", "budget 8192"),
    ("openai", "claude", "UD", "S:medium", "adaptive medium"),
    ("claude", "claude", "UD", "adaptive:high", "adaptive high"),
    ("claude", "claude", "UD", "adaptive", "adaptive -"),
    ("claude", "gemini", "UD", "adaptive", "budget 24576 shown"),
    ("claude", "openai", "UD", "adaptive", "level high"),
    ("gemini", "gemini", "GB", "S:64000", "budget 20000 shown"),
    ("claude", "claude", "CB", "S:200000", "budget 128000"),
    ("openai", "openai", "LN", "none", "level none"),
    ("openai", "openai", "LM", "none", "level low"),
    *(
        (client, target, "NT", said, "no field")
        for client in ("openai", "openai-response", "claude", "gemini")
        for target in ("openai", "codex", "claude", "gemini", "antigravity")
        for said in ("high", "8192", "none", "S:max")
    ),
    ("openai", "claude", "S46", "minimal", "adaptive low"),
    ("openai", "claude", "S46", "low", "adaptive low"),
    ("openai", "claude", "S46", "medium", "adaptive medium"),
    ("openai", "claude", "S46", "high", "adaptive high"),
    ("openai", "claude", "S46", "xhigh", "adaptive high"),
    ("openai", "claude", "S46", "max", "adaptive high"),
    ("openai", "claude", "O46", "xhigh", "adaptive max"),
    ("openai", "claude", "O46", "max", "adaptive max"),
    ("openai", "claude", "O46", "S:xhigh", "adaptive high"),
    ("openai", "claude", "O5", "xhigh", "adaptive xhigh"),
    ("openai", "claude", "O5", "auto", "adaptive high"),
    ("openai", "claude", "O5", "S:auto", "adaptive -"),
    ("claude", "claude", "O5", "8192", "adaptive medium"),
    ("gemini", "claude", "S46", "minimal", "adaptive low"),
    ("gemini", "claude", "S46", "512", "adaptive low"),
    ("gemini", "claude", "S46", "1024", "adaptive low"),
    ("gemini", "claude", "S46", "8192", "adaptive medium"),
    ("gemini", "claude", "S46", "24576", "adaptive high"),
    ("gemini", "claude", "S46", "32768", "adaptive high"),
    ("gemini", "claude", "S46", "0", "disabled"),
    ("gemini", "claude", "S46", "-1", "adaptive high"),
    ("gemini", "claude", "O46", "32768", "adaptive max"),
    ("gemini", "claude", "O46", "xhigh", "adaptive max"),
    ("openai", "claude", "S46", "S:9000", "budget 9000"),
    ("claude", "claude", "S46", "9000", "budget 9000"),
    ("claude", "openai", "LV", "adaptive:minimal", "level minimal"),
    ("claude", "openai", "LV", "adaptive:xhigh", "level high"),
    ("claude", "openai", "LV", "adaptive:max", "level high"),
    ("claude", "codex", "LV", "adaptive", "level high"),
    ("claude", "codex", "LV", "adaptive:max", "level high"),
    ("claude", "gemini", "LS", "adaptive:high", "level high shown"),
    ("claude", "gemini", "LS", "adaptive", "level high shown"),
    ("claude", "gemini", "GB", "adaptive:low", "budget 1024 shown"),
    ("claude", "gemini", "GB", "adaptive:medium", "budget 8192 shown"),
    ("claude", "gemini", "GB", "adaptive:high", "budget 20000 shown"),
    ("claude", "gemini", "GB", "adaptive", "budget 20000 shown"),
    ("claude", "gemini", "GM", "adaptive:high", "level high shown"),
    ("claude", "antigravity", "AG", "adaptive", "budget 20000 shown"),
    ("claude", "claude", "S46", "adaptive:medium", "adaptive medium"),
    ("claude", "claude", "S46", "adaptive", "adaptive -"),
    ("claude", "claude", "O46", "adaptive:max", "adaptive max"),
    ("claude", "claude", "CB", "adaptive:high", "budget 24576"),
    ("claude", "claude", "CB", "adaptive", "budget 24576"),
    ("openai", "xai", "LN", "xhigh", "level high"),
    ("openai", "xai", "LN", "minimal", "level low"),
    ("openai", "iflow", "IF", "auto", "level auto"),
    ("claude", "kimi", "KB", "8192", "level medium"),
    ("claude", "kimi", "KB", "-1", "level auto"),
    ("claude", "kimi", "KB", "0", "level none"),
    ("openai", "kimi", "TG", "high", "level auto"),
    ("openai", "kimi", "TG", "none", "level none"),
    ("claude", "kimi", "TG", "8192", "level auto"),
    ("openai", "kimi", "BM", "none", "level low"),
    ("openai", "claude", "AD", "high", "adaptive -"),
    ("gemini", "claude", "AD", "8192", "adaptive -"),
    ("openai", "claude", "AD", "S:auto", "adaptive -"),
    ("gemini", "kimi", "TG", "-1", "level auto"),
    ("openai", "gemini", "AD", "high", "budget -1 shown"),
    ("claude", "gemini", "AD", "8192", "budget -1 shown"),
    ("openai", "kimi", "AD", "high", "level auto"),
]


@pytest.mark.parametrize(("client", "target", "model", "said", "expected"), ORACLE)
def test_wish_becomes_what_the_model_supports(client, target, model, said, expected):
    assert outcome(applied(client, target, model, said), target) == expected


@pytest.mark.parametrize(
    ("client", "target", "model", "said", "message"),
    [
        (
            "openai",
            "codex",
            "LV",
            "xhigh",
            'level "xhigh" not supported, valid levels: minimal, low, medium, high',
        ),
        ("openai", "codex", "LV", "S:xhigh", 'level "xhigh" not supported'),
        ("openai", "openai", "LV", "xhigh", 'level "xhigh" not supported'),
        ("openai-response", "codex", "LV", "xhigh", 'level "xhigh" not supported'),
        ("gemini", "gemini", "GB", "64000", "budget 64000 out of range [128,20000]"),
        ("gemini", "gemini-cli", "GB", "64000", "budget 64000 out of range"),
        ("gemini", "antigravity", "GB", "64000", "budget 64000 out of range"),
        ("claude", "claude", "CB", "200000", "budget 200000 out of range"),
        ("claude", "claude", "CB", "100", "budget 100 out of range"),
        ("claude", "claude", "S46", "adaptive:max", 'level "max" not supported'),
        ("claude", "claude", "S46", "adaptive:xhigh", 'level "xhigh" not supported'),
        ("claude", "claude", "O46", "adaptive:xhigh", 'level "xhigh" not supported'),
        ("claude", "gemini", "GB", "gigantic", 'unknown level "gigantic"'),
        ("claude", "openai", "LV", "gigantic", 'level "gigantic" not supported'),
        ("openai", "gemini", "UD", "gigantic", 'unknown level "gigantic"'),
        ("gemini", "openai", "LV", "-7", "budget -7 is not a number of tokens"),
    ],
)
def test_wish_that_must_be_refused_is_named(client, target, model, said, message):
    with pytest.raises(DialectError, match=re.escape(message)) as caught:
        applied(client, target, model, said)
    expected = {"openai": "reasoning_effort", "openai-response": "reasoning.effort", "claude": "thinking"}
    param = "model" if said.startswith("S:") else expected.get(client, "generationConfig.thinkingConfig")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("name", "base", "expected"),
    [
        ("m(high)", "m", Reasoning(level="high")),
        ("m(HIGH)", "m", Reasoning(level="high")),
        ("m(0)", "m", Reasoning(level="none")),
        ("m(00)", "m", Reasoning(level="none")),
        ("m(-1)", "m", Reasoning(level="auto")),
        ("m(auto)", "m", Reasoning(level="auto")),
        ("m(-5)", "m", Reasoning()),
        ("m(08192)", "m", Reasoning(budget=8192)),
        ("m(a)(low)", "m(a)", Reasoning(level="low")),
        ("m()", "m", Reasoning()),
        ("m(foo)", "m", Reasoning()),
        ("m(9999999999)", "m", Reasoning()),
        ("m(٣)", "m", Reasoning()),
    ],
)
def test_suffix_is_taken_off_the_name(name, base, expected):
    assert split_suffix(name) == (base, evolve(expected, from_name=True))


@pytest.mark.parametrize("name", ["m(low)x", "gemini-3-pro-high", "m", "", "(high)", ")", "m)"])
def test_name_without_a_suffix_stays_whole(name):
    assert split_suffix(name) == (name, None)


def test_level_at_the_end_of_a_name():
    assert split_level_name("gpt-5-high") == ("gpt-5", Reasoning(level="high", from_name=True))
    assert split_level_name("gpt-5-none") == ("gpt-5", Reasoning(level="none", from_name=True))
    for name in ("gpt-5", "gpt-5-mini", "high", "-high", "gpt-5-auto"):
        assert split_level_name(name) == (name, None)


def test_suffix_overrides_the_amount_and_keeps_the_visibility():
    said = Reasoning(level="high", visible=False, summary="detailed")
    suffix = Reasoning(level="medium", from_name=True)
    assert override(suffix, said) == evolve(suffix, visible=False, summary="detailed")
    assert override(suffix, None) is suffix


def test_suffix_without_meaning_overrides_nothing():
    said = Reasoning(level="high")
    assert override(Reasoning(from_name=True), said) is said


@given(st.sampled_from(LEVELS))
def test_levels_and_budgets_are_inverse_to_each_other(level):
    expected = "xhigh" if level == "max" else level
    assert level_of_budget(budget_of_level(level)) == expected


@pytest.mark.parametrize(
    ("budget", "level"),
    [
        (-1, "auto"),
        (0, "none"),
        (1, "minimal"),
        (512, "minimal"),
        (513, "low"),
        (8193, "high"),
        (24577, "xhigh"),
    ],
)
def test_budget_stands_for_the_level_that_contains_it(budget, level):
    assert level_of_budget(budget) == level


def claude_budget(budget: int, max_tokens: int | None, *, max_output: int | None = None, model: str = "CB"):
    request = IRRequest(
        model=model,
        messages=[],
        reasoning=Reasoning(budget=budget),
        sampling=Sampling(max_tokens=max_tokens),
    )
    return apply_thinking(request, MODELS[model], "claude", source="claude", max_output=max_output)


def test_claude_budget_stays_below_the_length_of_the_answer():
    assert claude_budget(30000, 8000).reasoning.budget == 7999


def test_claude_budget_without_room_is_switched_off():
    """The API wants at least 1024 tokens of thinking, and fewer than the answer may have."""
    result = claude_budget(2048, 1000)
    assert outcome(result, "claude") == "disabled"
    assert result.sampling.max_tokens == 1000


def test_claude_budget_that_fits_is_not_touched():
    """What an older command-line client sends: a budget one below the limit."""
    assert claude_budget(31999, 32000).reasoning.budget == 31999


def test_length_of_the_answer_comes_from_the_model_when_the_client_names_none():
    result = claude_budget(50000, None, max_output=64000)
    assert (result.reasoning.budget, result.sampling.max_tokens) == (50000, 64000)
    assert claude_budget(50000, None).reasoning.budget == 31999


def test_claude_behind_a_gemini_dialect_needs_room_too():
    request = IRRequest(
        model="claude-opus-4-6-thinking",
        messages=[],
        reasoning=Reasoning(budget=8192),
        sampling=Sampling(max_tokens=1000),
    )
    assert apply_thinking(request, MODELS["AC"], "antigravity", source="openai").reasoning is None
    roomy = evolve(request, sampling=Sampling(max_tokens=4000))
    assert apply_thinking(roomy, MODELS["AC"], "antigravity", source="openai").reasoning.budget == 3999


@pytest.mark.parametrize(
    ("client", "target", "said", "expected"),
    [
        ("openai", "codex", Reasoning(level="high"), (True, "auto")),
        ("openai-response", "codex", Reasoning(level="high"), (None, None)),
        (
            "openai-response",
            "codex",
            Reasoning(level="high", visible=True, summary="concise"),
            (True, "concise"),
        ),
        ("openai-response", "gemini", Reasoning(level="high", summary="auto"), (True, "auto")),
        ("openai", "claude", Reasoning(level="high", visible=False), (False, None)),
        ("claude", "claude", Reasoning(level="high", adaptive=True), (None, None)),
        ("claude", "codex", Reasoning(level="high", adaptive=True), (True, "auto")),
        ("gemini", "codex", Reasoning(budget=8192), (None, None)),
        ("gemini", "codex", Reasoning(level="high", from_name=True), (True, "auto")),
        ("gemini", "gemini", Reasoning(budget=8192), (None, None)),
        ("gemini", "gemini", Reasoning(budget=8192, from_name=True), (True, "auto")),
        ("openai-response", "openai-response", Reasoning(level="high", from_name=True), (None, None)),
        ("claude", "codex", Reasoning(level="none"), (False, None)),
    ],
)
def test_thoughts_are_shown_to_those_who_expect_them(client, target, said, expected):
    request = IRRequest(model="m", messages=[], reasoning=said)
    reasoning = apply_thinking(request, None, target, source=client).reasoning
    assert (reasoning.visible, reasoning.summary) == expected


def test_nothing_said_stays_nothing():
    request = IRRequest(model="m", messages=[])
    assert apply_thinking(request, MODELS["LV"], "openai", source="openai") is request
    assert apply_thinking(request, MODELS["NT"], "codex", source="claude") is request


def test_visibility_alone_is_left_alone():
    request = IRRequest(model="m", messages=[], reasoning=Reasoning(visible=True, summary="auto"))
    assert apply_thinking(request, MODELS["LV"], "codex", source="openai-response") is request


def test_claude_must_think_to_have_thoughts_to_show():
    """Codex asks for summaries and leaves the amount to models it does not know."""
    shown = IRRequest(model="m", messages=[], reasoning=Reasoning(visible=True, summary="auto"))
    thinks = apply_thinking(shown, MODELS["O46"], "claude", source="openai-response").reasoning
    assert thinks == Reasoning(adaptive=True, visible=True, summary="auto")
    for model in ("CB", "NT"):
        left = apply_thinking(shown, MODELS[model], "claude", source="openai-response").reasoning
        assert left is None or left == shown.reasoning
    assert apply_thinking(shown, MODELS["O46"], "claude", source="claude") is shown
    hidden = evolve(shown, reasoning=Reasoning(visible=False))
    assert apply_thinking(hidden, MODELS["O46"], "claude", source="openai") is hidden


def test_a_budget_stays_below_an_answer_cut_to_what_the_model_gives():
    request = IRRequest(
        model="m", messages=[], sampling=Sampling(max_tokens=64000), reasoning=Reasoning(budget=40000)
    )
    fitted = apply_thinking(request, MODELS["CB"], "claude", source="gemini", max_output=32000)
    assert fitted.reasoning is not None
    assert fitted.reasoning.budget == 31999
    native = apply_thinking(request, MODELS["CB"], "claude", source="claude", max_output=32000)
    assert native.reasoning is not None
    assert native.reasoning.budget == 40000


def test_record_without_anything_says_that_the_model_does_not_think():
    assert not ThinkingSupport().can_think
    assert ThinkingSupport(max_budget=24576).can_think
    assert ThinkingSupport(adaptive=True).can_think


WISHES = st.builds(
    Reasoning,
    level=st.none() | st.sampled_from((*LEVELS, "none", "auto", "odd")),
    budget=st.none() | st.integers(-3, 300_000),
    adaptive=st.booleans(),
    visible=st.none() | st.booleans(),
    from_name=st.booleans(),
)
DIALECTS = st.sampled_from(
    ["openai", "openai-response", "codex", "claude", "gemini", "antigravity", "xai", ""]
)


@given(WISHES, st.sampled_from(sorted(MODELS)), DIALECTS, DIALECTS)
def test_any_wish_ends_within_the_limits_of_the_model(said, model, client, target):
    support = MODELS[model]
    request = IRRequest(model=model, messages=[], reasoning=said)
    try:
        result = apply_thinking(request, support, target, source=client, max_output=200_000).reasoning
    except DialectError:
        return
    if result is None or support is None or result == said:
        return
    assert support.can_think
    if result.budget is not None and result.budget > 0:
        low, high = support.min_budget or 0, support.max_budget or 0
        assert low <= result.budget <= high
    if result.level in LEVELS and support.efforts:
        assert result.level in support.levels
    assert (result.level, result.budget) != (None, None) or result.adaptive


@given(WISHES, st.sampled_from(sorted(MODELS)), DIALECTS)
def test_a_fitted_wish_fits(said, model, target):
    """What the pass produced is accepted unchanged when it comes in the target's own language."""
    request = IRRequest(model=model, messages=[], reasoning=said)
    try:
        once = apply_thinking(request, MODELS[model], target, max_output=200_000)
    except DialectError:
        return
    again = apply_thinking(once, MODELS[model], target, source=target, max_output=200_000)
    assert again.reasoning == once.reasoning


@pytest.mark.parametrize(
    ("wish", "model", "expected"),
    [
        (Reasoning(level="high", adaptive=True), "S46", True),
        (Reasoning(level="high", adaptive=True), "CB", False),
        (Reasoning(adaptive=True), "CB", False),
        (Reasoning(adaptive=True), "O5", True),
        (Reasoning(budget=31999), "CB", True),
        (Reasoning(budget=31999), "S46", True),
        (Reasoning(budget=31999), "O5", False),
        (Reasoning(budget=64000), "CB", True),
        (Reasoning(budget=10), "CB", True),
        (Reasoning(level="none"), "CB", True),
        (Reasoning(level="none"), "O5", True),
        (Reasoning(level="auto"), "CB", False),
        (Reasoning(level="max", adaptive=True), "S46", True),
        (Reasoning(budget=31999, visible=True), "NT", False),
        (Reasoning(level="high", adaptive=True), "UD", True),
    ],
)
def test_form_of_a_wish_that_a_claude_model_understands(wish, model, expected):
    """An older model knows budgets only, a newer one adaptive thinking; amounts are not judged."""
    assert is_understood(wish, MODELS[model], "claude") is expected
