"""What an emulated model says, by the words of the prompt and by scripts."""

import json

import pytest

from emulators.scenario import Prompt, ToolOffer, choose
from emulators.signing import (
    claude_signature,
    gemini_signature,
    is_claude_signature,
    is_gemini_signature,
    is_openai_encrypted,
    openai_encrypted,
)
from emulators.turns import Call, Decline, Image, Text, Thinking, cut, sample, turn_from_json

TOOLS = (
    ToolOffer("look", {"type": "object", "properties": {"q": {"type": "string"}}}),
    ToolOffer("write", {"type": "object"}),
)


def said(turn):
    return "".join(block.text for block in turn.blocks if isinstance(block, Text))


@pytest.mark.parametrize(
    ("text", "kinds", "finish"),
    [
        ("hello", [Text], "stop"),
        ("please refuse", [Decline], "refusal"),
        ("reach max tokens", [Text], "length"),
        ("stay empty", [], "stop"),
        ("draw it", [Image, Text], "stop"),
        ("think", [Thinking, Text], "stop"),
        ("use a tool", [Call], "tool_calls"),
        ("use write", [Call], "tool_calls"),
        ("tools in parallel", [Call, Call], "tool_calls"),
        ("a tool with preamble", [Text, Call], "tool_calls"),
    ],
)
def test_keywords(text, kinds, finish):
    turn = choose(Prompt(text=text, tools=TOOLS))
    assert [type(block) for block in turn.blocks] == kinds
    assert turn.finish == finish


def test_tool_choice_and_results():
    assert choose(Prompt(text="hi", tools=TOOLS, forced="write")).calls()[0].name == "write"
    assert choose(Prompt(text="hi", tools=TOOLS, forced="*")).calls()[0].name == "look"
    assert choose(Prompt(text="tool", tools=TOOLS, may_call=False)).calls() == ()
    assert len(choose(Prompt(text="parallel", tools=TOOLS, parallel=False)).calls()) == 1
    assert said(choose(Prompt(text="tool", tools=TOOLS, results=("a", "b")))) == "The tool said: a; b"


def test_long_unicode_inspect_and_structured_answers():
    assert len(choose(Prompt(text="long 7")).blocks[0].deltas) == 7
    assert {"\u2028", "\u2029", "\u0085"} <= set(said(choose(Prompt(text="unicode"))))
    seen = json.loads(said(choose(Prompt(text="inspect", system="s", tools=TOOLS, settings={"a": 1}))))
    assert seen == {"system": "s", "roles": [], "tools": ["look", "write"], "media": [], "settings": {"a": 1}}
    wanted = choose(Prompt(text="hi", schema={"type": "array", "items": {"type": "integer"}}))
    assert said(wanted) == "[7]"


def test_cutting_keeps_the_text():
    for text in ("", "a", "a b c", " leading", "two  blanks "):
        assert "".join(cut(text)) == text
        assert "".join(cut(text, 2)) == text


def test_samples_follow_their_schema():
    schema = {
        "type": "object",
        "properties": {
            "fixed": {"const": 3},
            "one": {"enum": ["x", "y"]},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "low": {"type": "integer", "minimum": 2},
            "yes": {"type": ["boolean", "null"]},
        },
    }
    assert sample(schema) == {"fixed": 3, "one": "x", "either": None, "low": 2, "yes": True}


def test_a_scripted_turn():
    turn = turn_from_json(
        {
            "blocks": [
                {"thinking": "hm"},
                {"deltas": ["a", "b"]},
                {"call": "f", "arguments": "not json", "id": "x"},
                {"image": "aaaa", "mime": "image/webp"},
            ],
            "usage": {"input": 9, "reasoning": 2},
        }
    )
    assert [type(block) for block in turn.blocks] == [Thinking, Text, Call, Image]
    assert turn.finish == "tool_calls"
    assert (turn.tally.input, turn.tally.reasoning) == (9, 2)


def test_signatures_are_known_by_their_maker_only():
    claude, gemini, gpt = claude_signature("t"), gemini_signature("t"), openai_encrypted("t")
    assert is_claude_signature(claude, "t")
    assert is_claude_signature(claude, "")
    assert not is_claude_signature(claude, "other")
    assert not any(is_claude_signature(value, "t") for value in (gemini, gpt, "", "x"))
    assert is_gemini_signature(gemini)
    assert not any(is_gemini_signature(value) for value in (claude, gpt, "", "x"))
    assert is_openai_encrypted(gpt)
    assert not any(is_openai_encrypted(value) for value in (claude, gemini, gpt[:-4] + "AAAA", "", "x"))
