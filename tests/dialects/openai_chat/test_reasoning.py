"""Wishes for reasoning on the chat wire."""

import pytest

from cliproxy.dialects.openai_chat.reasoning import (
    decode_reasoning,
    encode_reasoning,
    leftovers,
    patch_reasoning,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Reasoning
from cliproxy.wire.jsontext import DELETE

GOOGLE = {"google": {"thinking_config": {"thinking_budget": 5, "include_thoughts": True}}}

WISHES = {
    "nothing": ({}, None),
    "null": ({"reasoning_effort": None}, None),
    "vendor": ({"reasoning_effort": "High"}, Reasoning(level="high")),
    "off": ({"reasoning_effort": "none"}, Reasoning(level="none")),
    "details": ({"reasoning": {"effort": "low"}}, Reasoning(level="low")),
    "details with a budget": ({"reasoning": {"max_tokens": 100, "effort": "low"}}, Reasoning(budget=100)),
    "enabled": ({"reasoning": {"enabled": True}}, Reasoning(level="auto")),
    "disabled": ({"reasoning": {"enabled": False}}, Reasoning(level="none")),
    "summary": (
        {"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
        Reasoning(level="low", summary="auto"),
    ),
    "vendor first": ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, Reasoning(level="low")),
    "budget of Claude": ({"thinking": {"type": "enabled", "budget_tokens": 99}}, Reasoning(budget=99)),
    "no budget": ({"thinking": {"type": "enabled"}}, Reasoning(level="auto")),
    "adaptive": ({"thinking": {"type": "adaptive"}}, Reasoning(adaptive=True)),
    "Claude off": ({"thinking": {"type": "disabled"}}, Reasoning(level="none")),
    "Claude, something else": ({"thinking": {"type": "x"}}, None),
    "Google": ({"extra_body": GOOGLE}, Reasoning(budget=5, visible=True)),
    "Google at the top": (
        {"google": {"thinking_config": {"thinkingLevel": "LOW", "includeThoughts": False}}},
        Reasoning(level="low", visible=False),
    ),
    "excluded": ({"reasoning": {"exclude": True}}, Reasoning(visible=False)),
    "included": ({"include_reasoning": True}, Reasoning(visible=True)),
    "excluded, although included": (
        {"include_reasoning": True, "reasoning": {"exclude": True}},
        Reasoning(visible=False),
    ),
}


@pytest.mark.parametrize(("body", "wish"), WISHES.values(), ids=WISHES.keys())
def test_reading(body, wish):
    assert decode_reasoning(body) == wish


def test_effort_of_a_wrong_type():
    with pytest.raises(DialectError) as caught:
        decode_reasoning({"reasoning_effort": 3})
    assert caught.value.param == "reasoning_effort"


def request(reasoning: Reasoning | None, said: dict) -> IRRequest:
    return IRRequest(model="m", messages=[], reasoning=reasoning, extras={"openai": said} if said else {})


@pytest.mark.parametrize(
    ("wish", "said", "body"),
    [
        (None, {}, {}),
        (Reasoning(level="low", visible=True, summary="auto"), {}, {"reasoning_effort": "low"}),
        (Reasoning(visible=False), {"include_reasoning": True}, {"include_reasoning": False}),
        (
            Reasoning(level="low", visible=True),
            {"reasoning": {"exclude": True, "x": 1}},
            {"reasoning_effort": "low", "reasoning": {"exclude": False, "x": 1}},
        ),
        (Reasoning(level="low"), {"reasoning": {"x": 1}}, {"reasoning_effort": "low", "reasoning": {"x": 1}}),
    ],
)
def test_writing(wish, said, body):
    assert encode_reasoning(request(wish, said)) == body


def test_what_is_kept_of_the_fields():
    body = {
        "reasoning": {"effort": "low", "exclude": True},
        "include_reasoning": False,
        "thinking": {"type": "enabled"},
        "extra_body": {**GOOGLE, "x": 1},
    }
    assert leftovers(body) == {
        "reasoning": {"exclude": True},
        "include_reasoning": False,
        "extra_body": {"google": {"thinking_config": {"include_thoughts": True}}, "x": 1},
    }
    assert leftovers({"reasoning": {"effort": "low"}}) == {}


def test_patch_replaces_every_rival():
    body = {
        "reasoning_effort": "low",
        "reasoning": {"effort": "low", "exclude": True},
        "thinking": {"type": "enabled"},
        "extra_body": GOOGLE,
        "google": {"x": 1},
    }
    assert patch_reasoning(Reasoning(level="high"), body) == {
        "reasoning_effort": "high",
        "reasoning": {"exclude": True},
        "thinking": DELETE,
        "extra_body": {"google": {"thinking_config": {"include_thoughts": True}}},
    }
    assert patch_reasoning(Reasoning(), {"reasoning": {"effort": "low"}}) == {
        "reasoning_effort": DELETE,
        "reasoning": DELETE,
    }


def test_patch_leaves_what_says_nothing_of_reasoning():
    assert patch_reasoning(Reasoning(level="low"), {"google": {"x": 1}}) == {"reasoning_effort": "low"}
