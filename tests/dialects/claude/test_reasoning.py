"""Wishes to think, read, written, and patched into a raw body."""

import pytest

from cliproxy.dialects.claude.reasoning import effort_of, patch_reasoning, read_reasoning, write_thinking
from cliproxy.ir.request import Reasoning
from cliproxy.wire.jsontext import DELETE, Changes, JsonObject


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({}, None),
        ({"thinking": {"type": "unheard-of"}}, None),
        ({"output_config": {"effort": "high"}}, None),
        ({"thinking": {"type": "disabled"}}, Reasoning(level="none")),
        ({"thinking": {"type": "adaptive"}}, Reasoning(adaptive=True)),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Reasoning(level="max", adaptive=True),
        ),
        ({"thinking": {"type": "auto"}, "output_config": {"effort": ""}}, Reasoning(adaptive=True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, Reasoning(budget=31999)),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, Reasoning(budget=0)),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, Reasoning(budget=-1)),
        ({"thinking": {"type": "enabled"}}, Reasoning(level="auto")),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            Reasoning(adaptive=True, visible=True),
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9, "display": "omitted"}},
            Reasoning(budget=9, visible=False),
        ),
    ],
)
def test_reading(body: JsonObject, wish: Reasoning | None) -> None:
    assert read_reasoning(body) == wish


@pytest.mark.parametrize(
    ("wish", "thinking", "effort"),
    [
        (Reasoning(level="none"), {"type": "disabled"}, None),
        (Reasoning(budget=0, visible=True), {"type": "disabled"}, None),
        (Reasoning(budget=2048), {"type": "enabled", "budget_tokens": 2048}, None),
        (Reasoning(budget=-1), {"type": "enabled"}, None),
        (Reasoning(level="auto"), {"type": "enabled"}, None),
        (Reasoning(adaptive=True), {"type": "adaptive"}, None),
        (Reasoning(level="high", adaptive=True), {"type": "adaptive"}, "high"),
        (Reasoning(level="low"), {"type": "adaptive"}, "low"),
        (Reasoning(adaptive=True, visible=True), {"type": "adaptive", "display": "summarized"}, None),
        (
            Reasoning(budget=2048, visible=False),
            {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            None,
        ),
    ],
)
def test_writing(wish: Reasoning, thinking: JsonObject, effort: str | None) -> None:
    assert write_thinking(wish) == thinking
    assert effort_of(wish) == effort


@pytest.mark.parametrize(
    ("wish", "body", "changes"),
    [
        (
            Reasoning(level="high", adaptive=True),
            {"output_config": {"effort": "low", "format": {"type": "json_schema"}}},
            {
                "thinking": {"type": "adaptive"},
                "output_config": {"format": {"type": "json_schema"}, "effort": "high"},
            },
        ),
        (
            Reasoning(budget=4096),
            {"max_tokens": 8000, "output_config": {"effort": "low"}},
            {"thinking": {"type": "enabled", "budget_tokens": 4096}, "output_config": DELETE},
        ),
        (
            Reasoning(budget=30000),
            {"max_tokens": 8000},
            {"thinking": {"type": "enabled", "budget_tokens": 7999}, "output_config": DELETE},
        ),
        (
            Reasoning(budget=2048),
            {"max_tokens": 1000},
            {"thinking": {"type": "disabled"}, "output_config": DELETE},
        ),
        (
            Reasoning(budget=2048),
            {"max_tokens": 1025},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": DELETE},
        ),
        (Reasoning(level="none"), {}, {"thinking": {"type": "disabled"}, "output_config": DELETE}),
    ],
)
def test_patching(wish: Reasoning, body: JsonObject, changes: Changes) -> None:
    assert patch_reasoning(wish, body) == changes
